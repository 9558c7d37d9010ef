"""Strangers' JSON, XML and plain text: bounded before they are parsed, and nothing they name is fetched."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ElementTree
from pathlib import Path
from typing import Any, NoReturn
from xml.parsers import expat

from sahmr.errors import RawDataError
from sahmr.untrusted.regular import read_regular

MOST_BYTES = 1 << 20  # of a calibration or description; published ones have less than 10 kB
MOST_TABLE_BYTES = 1 << 24  # of a table; the largest published one has 100 kB
_DEEPEST = 32  # levels; published files have 4


def read_text(path: Path, *, remedy: str = "fetch it again", most_bytes: int = MOST_TABLE_BYTES) -> str:
    """A text file in UTF-8, without its byte-order mark.

    Raises:
        RawDataError: if it is missing, unreadable, too large, or no text; then ``remedy`` says what to do.
    """
    content = read_regular(path, most_bytes=most_bytes)
    try:
        text = content.decode("utf-8-sig")
    except ValueError as problem:
        raise RawDataError(f"{path}: not a text file ({problem}); {remedy}") from None
    if "\0" in text:
        raise RawDataError(f"{path}: not a text file (it holds zero bytes, as UTF-16 does); {remedy}")
    return text


def read_json(path: Path, *, most_bytes: int = MOST_BYTES) -> Any:
    """A JSON file: UTF-8, finite numbers, no key twice.

    Raises:
        RawDataError: if it is missing, unreadable, too large, or anything else.
    """
    content = read_regular(path, most_bytes=most_bytes)
    try:
        return json.loads(
            content.decode("utf-8"),
            parse_constant=_no_constant,
            parse_float=_finite,
            parse_int=_whole,
            object_pairs_hook=_once,
        )
    except RecursionError:
        raise RawDataError(f"{path}: not a JSON file (nested too deeply); fetch it again") from None
    except ValueError as problem:
        raise RawDataError(f"{path}: not a JSON file ({problem}); fetch it again") from None


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no number of JSON")


def _finite(text: str) -> float:
    number = float(text)
    if abs(number) == float("inf"):
        raise ValueError(f"the number {text[:40]} is too large")
    return number


def _whole(text: str) -> int:
    if len(text) > 20:  # of 64 bits, with its sign
        raise ValueError(f"a whole number of {len(text)} digits")
    return int(text)


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict[str, Any]()
    for key, value in pairs:
        if key in made:
            raise ValueError(f"key {key[:40]!r} is given twice")
        made[key] = value
    return made


def read_xml(path: Path) -> ElementTree.Element:
    """The root of an XML file without a document type: no entity is expanded, nothing outside it is read.

    Raises:
        RawDataError: if it is missing, unreadable, nested deeper than 32 elements, or not XML.
    """
    content = read_regular(path, most_bytes=MOST_BYTES)
    try:
        return _parse_xml(content)
    except Exception as problem:  # the parser, of damaged text; an unknown encoding is a LookupError
        raise RawDataError(f"{path}: not an XML file ({problem}); fetch it again") from None


def _parse_xml(content: bytes) -> ElementTree.Element:
    builder, parser, depth = ElementTree.TreeBuilder(), expat.ParserCreate(), 0

    def start(tag: str, attributes: dict[str, str]) -> None:
        nonlocal depth
        depth += 1
        if depth > _DEEPEST:
            raise ValueError(f"nested deeper than {_DEEPEST} elements")
        builder.start(tag, attributes)

    def end(tag: str) -> None:
        nonlocal depth
        depth -= 1
        builder.end(tag)

    def no_type(*_: object) -> NoReturn:
        raise ValueError("it declares a document type, which calibrations have not")

    parser.buffer_text = True
    parser.StartElementHandler, parser.EndElementHandler, parser.CharacterDataHandler = start, end, builder.data
    parser.StartDoctypeDeclHandler = no_type
    parser.Parse(content, True)
    root: ElementTree.Element = builder.close()
    return root
