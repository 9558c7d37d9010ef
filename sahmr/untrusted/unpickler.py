"""A stranger's pickle as plain data: none of its code runs, and a few bytes cannot claim time or memory."""

from __future__ import annotations

import io
import pickle
from typing import Any

from sahmr.untrusted.budget import Budget, RefusedError
from sahmr.untrusted.names import GLOBALS
from sahmr.untrusted.opcodes import OPCODES
from sahmr.untrusted.resolve import StandIn, plain


def read(content: bytes) -> Any:
    """The plain value of one pickle; text of Python 2 as latin1.

    Raises:
        RefusedError: if it holds what is not allowed.
        Exception: any other, if it is damaged.
    """
    budget = Budget(len(content))
    return plain(RestrictedUnpickler(content, budget).load(), budget)


class RestrictedUnpickler(pickle._Unpickler):
    """Finds the names of the table above and stand-ins for chumpy; everything else is refused.

    Built on Python's own implementation: the one in C claims a table as long as the largest index into its memo, 32 GB
    for a pickle of ten bytes. Arrays are one step each, so little is lost.
    """

    dispatch = OPCODES

    def __init__(self, content: bytes, budget: Budget) -> None:
        """From memory: a file would set aside whatever a length claims before it reads."""
        super().__init__(io.BytesIO(content), encoding="latin1")
        self.budget = budget

    def find_class(self, module: str, name: str) -> Any:
        """The stand-in or function for a global name."""
        if (module, name) in GLOBALS:
            return GLOBALS[module, name]
        if module.split(".", 1)[0] == "chumpy":
            return StandIn
        raise RefusedError(f"class '{module[:40]}.{name[:40]}'")
