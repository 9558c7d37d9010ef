"""Section ``raw`` of params.yaml: where the publishers' trees are."""

from __future__ import annotations

from pathlib import Path

from sahmr.datasets import CARDS
from sahmr.errors import SettingsError
from sahmr.settings import load_section


def load_raw_roots(path: Path | None = None) -> dict[str, Path]:
    """Section ``raw`` of params.yaml: the root of the publisher's tree of every dataset in use, in the order given.

    Raises:
        SettingsError: if a name has no card.
    """
    roots = load_section("raw", dict[str, Path], path)
    for name in sorted(set(roots) - set(CARDS)):
        raise SettingsError(f"{path or 'params.yaml'}: raw.{name}: no such dataset; allowed: {', '.join(CARDS)}")
    return roots


def raw_root(dataset: str, path: Path | None = None) -> Path:
    """Root of one dataset's tree.

    Raises:
        SettingsError: as :func:`load_raw_roots`, or if section ``raw`` lacks the dataset.
    """
    roots = load_raw_roots(path)
    if dataset not in roots:
        raise SettingsError(f"{path or 'params.yaml'}: raw.{dataset} is missing, found {sorted(roots)}; add its folder")
    return roots[dataset]
