"""Which entries of the reference's checkpoints our network reads, and a strict comparison before loading."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from torch import Tensor

from sahmr.errors import CheckpointError

_PREFIX = "net."  # of every key in a released file
# Never read by the reference's own forward pass: BERT's word embeddings and pooler, HRNet's classifier; and METRO's
# camera head, which only its own file has. Whole names: anything beside them is unknown, not dead.
_DEAD = re.compile(
    r"(?:metro_enhanced\.)?(?:backbone\.classifier\.(?:weight|bias)"
    r"|trans_encoder\.[0-2]\.bert\.(?:pooler\.dense\.(?:weight|bias)|embeddings\.(?:LayerNorm\.(?:weight|bias)"
    r"|(?:word|position|token_type)_embeddings\.weight)))"
    r"|cam_param_fc[23]?\.(?:weight|bias)"
)
_MESH, _TRUNK = "metro_enhanced.", "rcnet.root_net.hrnet."
_NOT_METRO = ("loftr", "linear_cp", "size_head")  # layers that SA-HMR, and we, added to METRO's transformer
_SHOWN = 20


def is_dead(key: str) -> bool:
    """Say whether the authors save this entry but SA-HMR never uses it."""
    return _DEAD.fullmatch(key) is not None


def strip_prefix(state: Mapping[str, Tensor], source: str = "checkpoint") -> dict[str, Tensor]:
    """Drop the ``net.`` that released files put before every key; a state dict without it stays as it is.

    Args:
        state: entries by name.
        source: the file, for the error message.

    Raises:
        CheckpointError: if only some keys carry the prefix; the reference would cut four letters off the others.
    """
    with_prefix = sum(key.startswith(_PREFIX) for key in state)
    if with_prefix not in (0, len(state)):
        plain = [key for key in state if not key.startswith(_PREFIX)]
        raise CheckpointError(
            f"{source}: {len(plain)} keys lack the prefix '{_PREFIX}': {_list(plain)}; this is not a released file"
        )
    return {key.removeprefix(_PREFIX): value for key, value in state.items()}


def metro_sources(network_keys: Iterable[str], metro_keys: Collection[str]) -> dict[str, str]:
    """Where the network's entries come from in METRO's state dict.

    Args:
        network_keys: all names of the network.
        metro_keys: names in the file; decide only about the layers SA-HMR added, which the published file lacks.

    Returns:
        Our name -> METRO's name. Both trunks read METRO's one backbone.
    """
    sources = {}
    for key in network_keys:
        if key.startswith(_TRUNK):
            sources[key] = f"backbone.{key.removeprefix(_TRUNK)}"
        elif key.startswith(_MESH):
            theirs = key.removeprefix(_MESH)
            if theirs in metro_keys or not any(part in key for part in _NOT_METRO):
                sources[key] = theirs
    return sources


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyReport:
    """How a state dict fits a network.

    Attributes:
        used: entries to load, in the network's order.
        dropped: dead entries, ignored on purpose.
        unknown: entries the network has no place for.
        missing: entries of the network that the file lacks.
        mismatched: entries whose shape or type differs, with both.
        not_finite: entries that hold NaN or infinity.
    """

    used: dict[str, Tensor]
    dropped: tuple[str, ...]
    unknown: tuple[str, ...]
    missing: tuple[str, ...]
    mismatched: tuple[str, ...]
    not_finite: tuple[str, ...]

    def require_complete(self, source: str = "checkpoint") -> dict[str, Tensor]:
        """Give the entries to load.

        Args:
            source: the file, for the error message.

        Raises:
            CheckpointError: listing all that is unknown, missing, of another shape or type, or not finite.
        """
        faults = [
            f"{len(keys)} {name}: {_list(keys)}"
            for name, keys in (
                ("unknown", self.unknown),
                ("missing", self.missing),
                ("of other shape or type", self.mismatched),
                ("with NaN or infinity", self.not_finite),
            )
            if keys
        ]
        if faults:
            raise CheckpointError(
                f"{source} does not fit the network; {'; '.join(faults)}. Is it damaged, or for another size "
                "(params.yaml: network.size) or another part?"
            )
        return self.used


def compare_keys(file_state: Mapping[str, Tensor], network_state: Mapping[str, Tensor]) -> KeyReport:
    """Sort the entries of a state dict by what happens to them.

    Args:
        file_state: the file's entries, with or without the ``net.`` prefix.
        network_state: ``state_dict()`` of the network or of the part that is loaded; only names, shapes and types are
            read, so it may be on the ``meta`` device.
    """
    entries = strip_prefix(file_state)
    known = [key for key in network_state if key in entries]
    mismatched = {
        key: f"{key} {_kind(entries[key])} instead of {_kind(network_state[key])}"
        for key in known
        if _kind(entries[key]) != _kind(network_state[key])
    }
    used = {key: entries[key].detach() for key in known if key not in mismatched}
    others = [key for key in entries if key not in network_state]
    return KeyReport(
        used=used,
        dropped=tuple(key for key in others if is_dead(key)),
        unknown=tuple(key for key in others if not is_dead(key)),
        missing=tuple(key for key in network_state if key not in entries),
        mismatched=tuple(mismatched.values()),
        not_finite=tuple(key for key, value in used.items() if not _is_finite(value)),
    )


def group_keys(chosen: Collection[str], among: Iterable[str]) -> list[str]:
    """Tell many names in few words: every subtree that is chosen as a whole becomes one ``prefix.* (count)``.

    Args:
        chosen: the names to tell.
        among: all names, the chosen ones included.

    Returns:
        In order of appearance; groups that differ in one number only are merged, ``block.{0,1}.*``.
    """
    left = {prefix for key in set(among) - set(chosen) for prefix in _prefixes(key)}
    groups: dict[str, int] = {}
    for key in chosen:
        whole = next((f"{prefix}.*" for prefix in _prefixes(key) if prefix not in left), key)
        groups[whole] = groups.get(whole, 0) + 1
    merged: dict[tuple[str, int], list[str]] = {}
    for name, count in groups.items():
        number = re.search(r"(?<=\.)\d+(?=\.)", name)
        pattern = name if number is None else f"{name[: number.start()]}#{name[number.end() :]}"
        merged.setdefault((pattern, count), []).append("" if number is None else number.group())
    return [
        f"{pattern.replace('#', numbers[0] if len(numbers) == 1 else '{' + ','.join(numbers) + '}')} "
        f"({count * len(numbers)})"
        for (pattern, count), numbers in merged.items()
    ]


def _prefixes(key: str) -> list[str]:
    parts = key.split(".")
    return [".".join(parts[:length]) for length in range(1, len(parts))]


def _is_finite(value: Tensor) -> bool:
    # The sum settles it sixteen times faster, unless finite numbers overflow in it.
    return bool(value.sum().isfinite()) or bool(value.isfinite().all())


def _kind(value: Tensor) -> str:
    return f"{tuple(value.shape)} {str(value.dtype).removeprefix('torch.')}"


def _list(keys: list[str] | tuple[str, ...]) -> str:
    more = f" and {len(keys) - _SHOWN} more" if len(keys) > _SHOWN else ""
    return ", ".join(keys[:_SHOWN]) + more
