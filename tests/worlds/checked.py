"""While the suite runs, beartype checks the shapes and types in signatures; outside of it nobody does.

Importing this module switches that on for every module of ``sahmr`` that is loaded later, but for the demo: it names no
shapes, and its remeshing calls functions of three numbers a million times. ``JAXTYPING_DISABLE=1`` switches it off.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from jaxtyping import config, install_import_hook

from tests import imports

# An int may stand for a float, as mypy sees it.
_CHECKER = "beartype.beartype(conf=beartype.BeartypeConf(is_pep484_tower=True))"
_OURS = {".".join(name.split(".")[:2]) for name in imports.modules() if name.startswith("sahmr.")}

if early := sorted(name for name in sys.modules if name.startswith("sahmr.")):
    raise ImportError(f"loaded before the switch, so unchecked: {early[:3]}; import tests.worlds.checked first")
install_import_hook(sorted(_OURS - {"sahmr.demo"}), _CHECKER)


@contextmanager
def unchecked() -> Iterator[None]:
    """Let wrong shapes through to the checks of our own, whose messages users see."""
    config.update("jaxtyping_disable", True)
    try:
        yield
    finally:
        config.update("jaxtyping_disable", False)
