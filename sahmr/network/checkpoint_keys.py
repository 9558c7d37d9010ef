"""Which entries of the reference's checkpoints our network reads, and a strict comparison before loading."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor

from sahmr.errors import CheckpointError

_PREFIX = "net."  # of every key in a released file
# Never read by the reference's own forward pass: BERT's word embeddings and pooler, HRNet's classifier.
_DEAD = re.compile(r"(^|\.)(trans_encoder\.\d+\.bert\.(embeddings|pooler)|backbone\.classifier)\.")
_SHOWN = 8


def is_dead(key: str) -> bool:
    """Say whether the reference saves this entry but never uses it."""
    return _DEAD.search(key) is not None


def strip_prefix(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Drop the ``net.`` that released files put before every key; a state dict without it stays as it is.

    Raises:
        CheckpointError: if only some keys carry the prefix; the reference would cut four letters off the others.
    """
    with_prefix = sum(key.startswith(_PREFIX) for key in state)
    if with_prefix not in (0, len(state)):
        plain = [key for key in state if not key.startswith(_PREFIX)]
        raise CheckpointError(f"some keys lack the prefix '{_PREFIX}': {_list(plain)}; this is not a released file")
    return {key.removeprefix(_PREFIX): value for key, value in state.items()}


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyReport:
    """How a reference state dict fits a network.

    Attributes:
        used: entries to load.
        dropped: dead entries, ignored on purpose.
        unknown: entries the network has no place for.
        missing: entries of the network that the file lacks.
        mismatched: entries whose shapes differ, with both shapes.
    """

    used: dict[str, Tensor]
    dropped: tuple[str, ...]
    unknown: tuple[str, ...]
    missing: tuple[str, ...]
    mismatched: tuple[str, ...]

    def require_complete(self) -> dict[str, Tensor]:
        """Give the entries to load.

        Raises:
            CheckpointError: listing what is unknown, missing or of another shape.
        """
        faults = [
            f"{len(keys)} {name}: {_list(keys)}"
            for name, keys in (
                ("unknown", self.unknown),
                ("missing", self.missing),
                ("of other shape", self.mismatched),
            )
            if keys
        ]
        if faults:
            raise CheckpointError(
                f"checkpoint does not fit the network; {'; '.join(faults)}. Is it for another size or another part?"
            )
        return self.used


def compare_keys(file_state: Mapping[str, Tensor], network_state: Mapping[str, Tensor]) -> KeyReport:
    """Sort the entries of a reference state dict by what happens to them.

    Args:
        file_state: the file's entries, with or without the ``net.`` prefix.
        network_state: ``state_dict()`` of the network or of the part that is loaded.
    """
    entries = strip_prefix(file_state)
    dropped = tuple(key for key in entries if is_dead(key) and key not in network_state)
    known = [key for key in entries if key in network_state]
    mismatched = [key for key in known if entries[key].shape != network_state[key].shape]
    return KeyReport(
        used={key: entries[key] for key in known if key not in set(mismatched)},
        dropped=dropped,
        unknown=tuple(key for key in entries if key not in network_state and key not in set(dropped)),
        missing=tuple(key for key in network_state if key not in entries),
        mismatched=tuple(
            f"{key} {tuple(entries[key].shape)} instead of {tuple(network_state[key].shape)}" for key in mismatched
        ),
    )


def _list(keys: list[str] | tuple[str, ...]) -> str:
    more = f" and {len(keys) - _SHOWN} more" if len(keys) > _SHOWN else ""
    return ", ".join(keys[:_SHOWN]) + more
