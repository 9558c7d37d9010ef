"""The commands: each imports what it needs when it runs, so that ``--help`` starts at once and nothing needs torch."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from catalog import errors
from catalog.app import Json, app, command, print_answer
from sahmr.errors import SahmrError

if TYPE_CHECKING:
    from catalog.graph import Graph
    from catalog.lock import Lock

Key = Annotated[str, typer.Argument(help="A sample's key, as in column key of the frame table.")]


@app.callback()
def _choose(
    repo: Annotated[Path, typer.Option(help="Folder of the repository; default: the current one.")] = Path(),
) -> None:
    try:
        os.chdir(repo)
    except OSError as problem:
        raise errors.MissingError(f"{repo}: {problem.strerror}; name the repository's folder with --repo") from None


@command("ls", "What there is, and where.", "ls", "ls --remote team", "ls --json")
def ls(
    as_json: Json = False,
    remote: Annotated[str | None, typer.Option(help="Also ask this DVC remote what it has (seconds).")] = None,
) -> None:
    """Datasets, versions, splits, frames, scenes, shards, bytes, and where they are."""
    from catalog import text

    cards = _cards(None, remote)
    print_answer(cards if as_json else text.listing(cards), as_json)


@command("show", "Data card of a dataset.", "show rich", "show prox_demo --json")
def show(dataset: Annotated[str, typer.Argument(help="As ls names it, or its entry.")], as_json: Json = False) -> None:
    """Data card: source, licence, owner, status, splits, statistics, columns with units, quirks with counts."""
    from catalog import text

    (card,) = _cards(dataset, None)
    print_answer(card if as_json else text.data_card(card), as_json)


@command(
    "query",
    "SQL over the tables.",
    'query "SHOW TABLES"',
    'query "DESCRIBE frame"',
    'query "SELECT split, count(*) FROM frame GROUP BY split"',
    'query "SELECT key, contact_m FROM metric ORDER BY contact_m DESC LIMIT 5" --csv',
)
def query(
    sql: Annotated[str, typer.Argument(help="One SELECT of DuckDB; tables are named as their schemas.")],
    csv: Annotated[bool, typer.Option("--csv", help="All rows as comma-separated values.")] = False,
    rows: Annotated[int, typer.Option(min=1, max=100_000, help="At most so many rows of text.")] = 40,
) -> None:
    """SQL over the tables, which are only read."""
    from catalog import answers
    from catalog.query import Database
    from catalog.tables import find_tables

    graph, _ = _here()
    names, found = Database(*find_tables(graph, Path())).run(sql)
    if csv:
        answers.write_csv(sys.stdout, names, found)
    else:
        print_answer(answers.first_rows(names, found, rows), as_json=False)


@command("verify", "Is it intact?", "verify", "verify --deep", "verify --json")
def verify(
    deep: Annotated[bool, typer.Option("--deep", help="Also decode every sample, as stage verify does.")] = False,
    as_json: Json = False,
) -> None:
    """Compare every checksum, count and schema; name what is damaged and the command that rebuilds it."""
    from dataclasses import replace

    from catalog import text
    from catalog.source import Source
    from catalog.verify import verify as look

    graph, lock = _here()
    found = look(graph, lock, Path())
    if deep:
        from catalog.deep import verify_deep

        found = replace(found, findings=tuple(sorted({*found.findings, *verify_deep(graph, lock, Path())})))
    print_answer(found if as_json else text.verified(found, Source(root=Path()).place), as_json)
    if found.findings:
        raise typer.Exit(errors.DIFFERS)


@command("diff", "What changed between two states.", "diff HEAD~3 .", "diff v1 v2 --json", "diff . ../other-checkout")
def diff(
    a: Annotated[str, typer.Argument(help="A git revision, or a checkout's folder.")],
    b: Annotated[str, typer.Argument(help="Another one.")] = ".",
    as_json: Json = False,
) -> None:
    """Frames, scenes and scores that were added, removed or changed; outputs, parameters and code."""
    from catalog import text
    from catalog.diff import find_diff
    from catalog.source import find_source

    found = find_diff(find_source(Path(), a), find_source(Path(), b))
    print_answer(found if as_json else text.difference(found), as_json)
    if not found.is_empty:
        raise typer.Exit(errors.DIFFERS)


@command(
    "lineage",
    "Where a sample comes from.",
    "lineage Gym_011_cooking1_0_00180_11",
    "lineage Gym_011_cooking1_0_00180_11 --json",
)
def lineage(key: Key, as_json: Json = False) -> None:
    """Raw files with hashes, rules, parameters, stages and code, shard and offset, predictions and scores."""
    from catalog import text
    from catalog.lineage import find_lineage

    found = find_lineage(*_here(), Path(), key)
    print_answer(found if as_json else text.lineage(found), as_json)


@command(
    "preview",
    "Draw a sample.",
    "preview Gym_011_cooking1_0_00180_11",
    "preview Gym_011_cooking1_0_00180_11 --out one.png",
)
def preview(
    key: Key, out: Annotated[Path | None, typer.Option(help="The PNG; default: <key>.png, here.")] = None
) -> None:
    """Draw crop, person box, scene voxels, mesh, prediction and contact as a PNG, on a CPU, without a display."""
    from catalog.preview import write_preview

    path = out or Path(f"{key}.png")
    if path.suffix.lower() != ".png":
        raise typer.BadParameter(f"found {str(path)!r}, allowed a name that ends in .png", param_hint="--out")
    graph, _ = _here()
    write_preview(graph, Path(), key, path)
    typer.echo(path)


@command("page", "All of it as one HTML file.", "page", "page --no-pictures --out catalog-for-the-web.html")
def page(
    out: Annotated[Path, typer.Option(help="The file; default: catalog.html, here.")] = Path("catalog.html"),
    has_pictures: Annotated[
        bool, typer.Option("--pictures/--no-pictures", help="Show some samples; their licences then bind the file.")
    ] = True,
) -> None:
    """Write data cards, charts, some pictures and a table of all frames as one HTML file that loads nothing."""
    from catalog.page import write_page

    if out.suffix.lower() not in (".html", ".htm"):
        raise typer.BadParameter(f"found {str(out)!r}, allowed a name that ends in .html", param_hint="--out")
    write_page(*_here(), Path(), out, has_pictures=has_pictures)
    typer.echo(out)


@command("croissant", "croissant", "croissant rich", "croissant rich --into ../for-the-web")
def croissant(
    dataset: Annotated[str | None, typer.Argument(help="A name of section raw; default: all that have shards.")] = None,
    into: Annotated[Path | None, typer.Option(help="Gets a folder per dataset; default: that of the stage.")] = None,
) -> None:
    """Write each dataset's Croissant files, versions 1.1 and 1.0, with licence, lineage and every shard's SHA-256."""
    from catalog.croissant_source import write_all

    graph, _ = _here()
    for path in write_all(graph, Path(), into or Path(graph.param("paths.catalog")), dataset):
        typer.echo(path)


def _here() -> tuple[Graph, Lock]:
    """Graph and lock of the current folder."""
    from catalog.graph import read_graph
    from catalog.lock import read_lock
    from catalog.source import Source

    source = Source(root=Path())
    lock = read_lock(source)
    return read_graph(source).in_use(lock.has_run), lock


def _cards(name: str | None, remote: str | None) -> list[Any]:
    """Cards of one dataset, or of all."""
    from catalog.card import find_dataset, make_card, raw_keys
    from catalog.own_entry import find_entries
    from catalog.remote import absent_from
    from catalog.tables import find_tables

    graph, lock = _here()
    entries = find_entries(graph, Path())
    names = list(raw_keys(graph, entries)) if name is None else [find_dataset(graph, entries, name)]
    absent = None if remote is None else absent_from(Path(), remote)
    tables, wrong = find_tables(graph, Path())
    if wrong:
        raise next(iter(wrong.values()))
    return [make_card(graph, lock, Path(), entries, tables, one, absent_remotely=absent) for one in names]


def main(argv: list[str] | None = None) -> None:
    """Run a command; whatever the input or the disk causes is one message and an exit code."""
    try:
        app(argv, prog_name="python -m catalog")
    except errors.CatalogError as problem:
        _stop(str(problem), problem.code)
    except SahmrError as problem:
        _stop(str(problem), errors.DAMAGED)
    except ValueError as problem:
        module = sys.modules.get("schemas.table_check")  # imported here, it would bring pyarrow to every --help
        if module is None or not isinstance(problem, module.SchemaError):
            raise
        _stop(str(problem), errors.DAMAGED)
    except BrokenPipeError:  # whoever read our output has enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
    except OSError as problem:
        _stop(f"{problem.filename or 'disk'}: {problem.strerror}; correct it and run the command again", errors.DAMAGED)
    except KeyboardInterrupt:
        sys.exit(130)


def _stop(message: str, code: int) -> None:
    print(f"error: {message}", file=sys.stderr)
    sys.exit(code)


from catalog import cli_share  # noqa: E402, F401  # its commands stand below these in --help
