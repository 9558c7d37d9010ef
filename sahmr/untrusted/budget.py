"""How much a stranger's pickle may make of its bytes."""

from __future__ import annotations

import pickle

ALLOWED = "numbers, text, plain containers, numpy arrays, scipy csc/csr/coo matrices, chumpy arrays"
# What honest pickles make of a byte: arrays 2 bytes, lists of small lists 30, lists of texts of one letter 45.
BYTES_PER_BYTE = 64
SPARE_BYTES = 1 << 24


class RefusedError(pickle.UnpicklingError):
    """A sound pickle holds something that is not allowed."""


class Budget:
    """Bytes that a pickle of ``size`` bytes may still make: at first 64 for each of its own, and 16 MiB.

    Whatever costs time or memory is paid for before it is done: objects at about what Python takes for them, copies at
    their length. So neither can be more than a fixed multiple of the file's size.
    """

    def __init__(self, size: int) -> None:
        """Of a pickle of ``size`` bytes."""
        self.size = size
        self.most = BYTES_PER_BYTE * size + SPARE_BYTES
        self.left = self.most

    def spend(self, count: int) -> None:
        """Pay for ``count`` bytes.

        Raises:
            RefusedError: if too few are left.
        """
        self.left -= count
        if self.left < 0:
            raise self.exceeded()

    def exceeded(self) -> RefusedError:
        """The refusal of a pickle that makes too much."""
        return RefusedError(f"values of more than {self.most:,} bytes in a pickle of {self.size:,}")
