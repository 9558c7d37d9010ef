"""The commands that move data between machines; each imports what it needs when it runs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from catalog.app import Json, command, print_answer


@command(
    "pull",
    "Copy a published dataset.",
    "pull https://server/data rich",
    "pull s3://bucket/data prox --into ../prox --split test",
    "pull ssh://server/srv/data rich --sequence BBQ_001_guitar --sequence Gym_011_cooking1",
)
def pull(
    url: Annotated[
        str, typer.Argument(help="Folder that holds catalog/, or its manifest: a path, s3://, ssh://, http://.")
    ],
    dataset: Annotated[str | None, typer.Argument(help="Its name there; not needed if there is one alone.")] = None,
    into: Annotated[Path | None, typer.Option(help="Folder that gets it; default: the dataset's name, here.")] = None,
    split: Annotated[list[str] | None, typer.Option(help="Only shards of this split; can be repeated.")] = None,
    sequence: Annotated[list[str] | None, typer.Option(help="Only shards of this sequence; can be repeated.")] = None,
    as_json: Json = False,
) -> None:
    """Copy a dataset, or some of it, by its manifests, without DVC; every file is compared; killed, it goes on."""
    from catalog import text
    from catalog.pull import pull as copy
    from sahmr.published import find_published

    parts_of = dataset or find_published(url).dataset
    found = copy(url, into or Path(parts_of), parts_of, splits=split or (), sequences=sequence or ())
    print_answer(found if as_json else text.pulled(found, str(into or parts_of)), as_json)


@command(
    "push", "Send to a DVC remote what may go there.", "push", "push shards@rich -r team", "push data/models/sahmr.pt"
)
def push(
    targets: Annotated[list[str] | None, typer.Argument(help="Stages, outputs, files in them; none: all.")] = None,
    remote: Annotated[str | None, typer.Option("--remote", "-r", help="Its name; default: DVC's default.")] = None,
    jobs: Annotated[int | None, typer.Option("--jobs", "-j", min=1, help="Uploads at a time.")] = None,
) -> None:
    """Run dvc push, unless a licence forbids that: what may not be redistributed needs a remote marked private."""
    from catalog.push import push as send

    send(Path(), targets or (), remote, jobs)


@command("share-check", "Prove a DVC remote.", "share-check", "share-check team")
def share_check(
    remote: Annotated[str | None, typer.Argument(help="Its name; default: DVC's default.")] = None,
) -> None:
    """Write a little to a remote, read it back, compare, remove it: url, credentials and rights are in order."""
    from catalog.share_check import check_remote

    check_remote(Path(), remote, typer.echo)
