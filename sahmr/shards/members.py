"""Members of a sample's tar headers, the plain case: several times as fast as the standard library's module.

It never decides that bytes are damaged: of whatever it does not know for sure it says nothing, and ``tarfile`` looks.
"""

from __future__ import annotations

_BLOCK = 512  # bytes
_EMPTY = bytes(_BLOCK)
_SUM = slice(148, 156)  # where a header has its own sum, for which it counts as spaces
_MAGIC = (b"ustar\x0000", b"ustar  \x00")
_SPACES = 8 * 32
_OCTAL = frozenset(b"01234567")


def plain_members(data: bytes) -> list[tuple[str, int, int]] | None:
    """Name, first byte and size of each member; None unless all are plain files with short names, each once.

    Args:
        data: tar headers and members, to their end or to the two empty blocks that end a tar.
    """
    found: list[tuple[str, int, int]] = []
    names: set[bytes] = set()
    place = 0
    while place + _BLOCK <= len(data):
        header = data[place : place + _BLOCK]
        if header == _EMPTY:
            return found or None
        name, size = header[:100].rstrip(b"\0"), _number(header[124:136])
        is_plain = header[156:157] == b"0" and header[257:265] in _MAGIC and header[345] == 0
        if not is_plain or size is None or not _is_name(name) or _number(header[_SUM]) != _sum(header):
            return None
        extension = name.partition(b".")[2]
        end = place + _BLOCK + size
        if extension in names or end > len(data):
            return None
        names.add(extension)
        found.append((name.decode("ascii"), place + _BLOCK, size))
        place = end + -end % _BLOCK
    return found if found and place == len(data) else None


def _sum(header: bytes) -> int:
    return sum(header) - sum(header[_SUM]) + _SPACES


def _is_name(name: bytes) -> bool:
    return 0 < len(name) < 100 and name.isascii() and b"\0" not in name and not name.endswith(b"/")


def _number(text: bytes) -> int | None:
    digits = text.rstrip(b"\0 ")
    return int(digits, 8) if digits and _OCTAL.issuperset(digits) else None
