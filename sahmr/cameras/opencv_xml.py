"""Matrices of OpenCV's XML files."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from pathlib import Path

import numpy as np

from sahmr.cameras.checks import Array
from sahmr.errors import RawDataError


def xml_matrix(path: Path, root: ElementTree.Element, name: str, shape: tuple[int, int]) -> Array:
    """The matrix of a node, whose shape is known.

    Raises:
        RawDataError: if the node is missing, or holds anything else.
    """
    node = root.find(name)
    data = node.findtext("data") if node is not None else None
    if node is None or data is None:
        found = sorted(child.tag for child in root)
        raise RawDataError(f"{path}: no node '{name}' with 'data'; found {found}")
    try:
        values = np.array(data.split(), dtype=np.float64)
        stated = (int(node.findtext("rows") or 0), int(node.findtext("cols") or 0))
    except ValueError:
        raise RawDataError(f"{path}: '{name}' holds something that is not a number") from None
    if values.size != shape[0] * shape[1] or stated != shape or not np.isfinite(values).all():
        raise RawDataError(f"{path}: '{name}' is {stated[0]}x{stated[1]} with {values.size} numbers, expected {shape}")
    return values.reshape(shape)
