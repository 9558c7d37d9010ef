"""The command line of the catalog: the list of its commands, which other modules fill, and how answers are printed."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import asdict
from typing import Annotated, Any, TypeVar

import typer

_F = TypeVar("_F", bound=Callable[..., None])
_EPILOG = (
    "Exit codes: 0 fine; 1 verify found damage, diff a difference; 2 wrong usage; 3 no such key, dataset, revision or "
    "remote; 4 a file is missing, damaged or of another version, or a remote refuses; 5 the SQL fails; 6 a licence "
    "forbids it."
)
app = typer.Typer(
    help="Find data: what there is, what it means, which licence binds it, where it comes from, whether it is intact.",
    epilog=_EPILOG,
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
Json = Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")]


def command(name: str, short: str, *examples: str) -> Callable[[_F], _F]:
    """A command with a line for the list of all, and whose help ends in examples."""
    lines = "\n\n".join(f"  python -m catalog {example}" for example in examples)
    return app.command(name, short_help=short, epilog=f"Examples:\n\n{lines}")


def print_answer(found: Any, as_json: bool) -> None:
    """Lines of text, or a record or several as JSON."""
    if as_json:
        records = [asdict(one) for one in found] if isinstance(found, list) else asdict(found)
        typer.echo(json.dumps(records, indent=2, default=str))
    else:
        lines: Iterable[str] = found
        typer.echo("\n".join(lines))
