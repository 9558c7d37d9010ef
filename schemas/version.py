"""Versions "major.minor" of what is stored: older minor ones are read, newer ones and other majors are refused."""

from __future__ import annotations

import re


class VersionError(ValueError):
    """Something stored has a version that this software does not read."""


def readable_minor(found: object, current: str, *, rebuild: str) -> int:
    """Minor version of something stored.

    Args:
        found: its version; a plain number, written before there were minor ones, is that major's 0; None: it has none.
        current: "major.minor" that this software writes.
        rebuild: command that writes it again.

    Raises:
        VersionError: if the major version is another one, or the minor version is newer than ``current``.
    """
    major, newest = (int(number) for number in current.split("."))
    parts = re.fullmatch(r"(\d+)(?:\.(\d+))?", str(found))
    if parts is None or int(parts[1]) != major:
        raise VersionError(f"has version {found}, allowed: {major}.0 to {current}; rebuild with: {rebuild}")
    minor = int(parts[2] or 0)
    if minor > newest:
        raise VersionError(
            f"has version {found}, written by a newer version of this software, which reads {major}.0 to {current}: "
            "update the software"
        )
    return minor
