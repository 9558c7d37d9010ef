"""From a dataset's name to its reader; the only door to the reader modules."""

from __future__ import annotations

from pathlib import Path
from pkgutil import resolve_name
from typing import cast

from sahmr.datasets import find_card
from sahmr.readers.base import Reader, Selection


def rules_class(dataset: str) -> type[Selection]:
    """The class of a dataset's group of section ``frames``. Errors as :func:`sahmr.datasets.find_card`."""
    return cast("type[Selection]", resolve_name(find_card(dataset).rules))


def open_reader(dataset: str, raw_root: Path, *, bodies: Path, rules: Selection | None = None) -> Reader:
    """A reader of one raw dataset, of the layout its tree has.

    Args:
        dataset: name of its card.
        raw_root: where the publisher's tree lies.
        bodies: output folder of the stage ``bodies``, needed by measuring and loading.
        rules: which frames are listed; None: the published rules.

    Raises:
        SettingsError: on an unknown name.
    """
    card = find_card(dataset)
    make = resolve_name(card.reader)
    if card.prepared is not None and resolve_name(card.prepared).recognises(raw_root):
        make = resolve_name(card.prepared)
    return cast("Reader", make(root=raw_root, bodies=bodies, rules=rules or rules_class(dataset)()))
