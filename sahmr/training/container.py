"""Whether a file of ``torch.save`` is whole and claims no more than it holds; looked at before torch reads it.

``weights_only`` protects from code alone: torch compares no check sums, allocates what a pickle claims, and hashes
whatever a pickle uses as a key.
"""

from __future__ import annotations

import errno
import io
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

_MOST_PICKLE = 4 << 20  # bytes; the largest published file has 0.4 MB, a resume file 0.3 kB per epoch more
_MOST_MEMBERS = 100_000
_BYTES = {
    "DoubleStorage": 8, "FloatStorage": 4, "HalfStorage": 2, "BFloat16Storage": 2, "LongStorage": 8, "IntStorage": 4,
    "ShortStorage": 2, "CharStorage": 1, "ByteStorage": 1, "BoolStorage": 1,
    "ComplexFloatStorage": 8, "ComplexDoubleStorage": 16,
}  # fmt: skip
_LEGACY_PARTS = 5  # pickles before the numbers: magic, protocol, machine, content, names of the storages
_NOT_OURS = (errno.EACCES, errno.EPERM, errno.EIO)  # the disk's fault; zipfile raises others for damaged files


class ContainerError(Exception):
    """What is wrong with a file, in words."""


class ForbiddenError(ContainerError):
    """A sound file holds something that is not read."""


def require_sound(path: Path) -> None:
    """Compare check sums and claims with what is there; nothing of the file is run, or kept in memory.

    A container of torch 1.6 or later is a zip of uncompressed members, each with a CRC-32: together with the tables of
    the zip, which must fit one another, they cover all but the padding. The container of older versions has no check
    sums, so there a changed number is not noticed; claims are checked in both.

    Raises:
        ContainerError: saying what was found.
        OSError: if the file may not or cannot be read.
    """
    size = path.stat().st_size
    if size == 0:
        raise ContainerError("the file is empty, thus incomplete")
    try:
        if zipfile.is_zipfile(path):
            _require_sound_zip(path, size)
        else:
            _require_sound_legacy(path, size)
    except ContainerError:
        raise
    except Exception as error:  # zipfile and pickle raise many types for damaged or foreign files
        if isinstance(error, OSError) and error.errno in _NOT_OURS:
            raise
        reason = str(error).split("\n")[0][:120]
        raise ContainerError(
            f"no file of torch.save, or damaged or incomplete ({type(error).__name__}: {reason})"
        ) from error


def _require_sound_zip(path: Path, size: int) -> None:
    with zipfile.ZipFile(path) as archive:
        members = archive.infolist()
        names = {member.filename.casefold() for member in members}  # torch compares without regard to case
        top = members[0].filename.split("/")[0] if members else ""
        if len(members) > _MOST_MEMBERS or len(names) != len(members):
            raise ContainerError(f"{len(members)} members, some of one name, or more than {_MOST_MEMBERS:,}")
        packed = [member.filename for member in members if member.compress_type or _is_odd(member)]
        if packed or sum(member.file_size for member in members) > size:
            raise ContainerError(
                f"members that torch.save does not write so (compressed, overlapping, encrypted, folders): {packed[:3]}"
            )
        sizes = {member.filename: member.file_size for member in members if member.file_size == member.compress_size}
        if len(sizes) != len(members) or sizes.get(f"{top}/data.pkl", 0) > _MOST_PICKLE:
            raise ContainerError(f"a member has two sizes, or its description more than {_MOST_PICKLE:,} bytes")
        if (damaged := archive.testzip()) is not None:
            raise ContainerError(f"member '{damaged}' does not have its check sum")
        claims = _Claims(archive.read(f"{top}/data.pkl"))
    claims.load()
    for name, claimed in claims.storages.items():
        if sizes.get(f"{top}/data/{name}") != claimed:
            found = sizes.get(f"{top}/data/{name}", "none")
            raise ContainerError(f"storage '{name[:40]}' claims {claimed} bytes, found {found}")


def _is_odd(member: zipfile.ZipInfo) -> bool:
    """Encrypted, or a folder by one of three signs: torch would hand out memory that nobody has written to."""
    return bool(member.flag_bits & 0x61 or member.external_attr & 0x10 or member.filename.endswith(("/", "\\")))


def _require_sound_legacy(path: Path, size: int) -> None:
    with path.open("rb") as stream:
        parts = io.BytesIO(stream.read(_MOST_PICKLE + (1 << 16)))
    claimed = 0
    for _ in range(_LEGACY_PARTS):
        claims = _Claims(parts)
        claims.load()
        claimed += sum(claims.storages.values())
    if claimed > size:
        raise ContainerError(f"tensors claim {claimed} bytes, the file has {size}")


class _Tensor:
    """Stands for a tensor."""

    is_plain = True


class _Odd(_Tensor):
    """Stands for a tensor of a kind that no checkpoint has: sparse, quantized, without memory."""

    is_plain = False


class _Ordered(dict[Any, Any]):
    """Stands for an ``OrderedDict``, which takes attributes."""


def _tensor(*_: object) -> _Tensor:
    return _Tensor()


def _odd(*_: object) -> _Tensor:
    return _Odd()


def _ordered(*pairs: Any) -> _Ordered:
    made = _Ordered()
    for key, value in pairs[0] if pairs else ():
        made[_checked(key, value)] = value
    return made


def _sequence(*parts: Any) -> tuple[Any, ...]:
    return parts


_PLAIN: dict[tuple[str, str], Callable[..., Any]] = {
    ("collections", "OrderedDict"): _ordered,
    ("torch", "Size"): _sequence,
    ("torch", "device"): _sequence,
    ("torch.serialization", "_get_layout"): _sequence,
    **{("torch._utils", f"_rebuild_{name}"): _tensor for name in ("tensor", "tensor_v2", "parameter")},
}


def _checked(key: Any, value: Any) -> Any:
    """A key that is safe to hash, of a value that may stand in a checkpoint."""
    is_small = isinstance(key, int) and -(2**31) <= key < 2**31
    if not (isinstance(key, str) or is_small):
        raise ForbiddenError(f"a key of type {type(key).__name__}, allowed are names and small numbers")
    if isinstance(value, _Odd):
        raise ForbiddenError(f"entry {str(key)[:80]!r} is no ordinary tensor")
    return key


_OPCODES: dict[int, Callable[[Any], None]] = pickle._Unpickler.dispatch


def _set_items(unpickler: Any) -> None:
    items = unpickler.pop_mark()
    if not isinstance(unpickler.stack[-1], dict) or len(items) % 2:
        raise ContainerError("damaged: items for something that is no dict")
    unpickler.stack[-1].update({_checked(k, v): v for k, v in zip(items[::2], items[1::2], strict=True)})


def _set_item(unpickler: Any) -> None:
    value, key = unpickler.stack.pop(), unpickler.stack.pop()
    unpickler.stack[-1][_checked(key, value)] = value


def _make_dict(unpickler: Any) -> None:
    items = unpickler.pop_mark()
    unpickler.append({_checked(k, v): v for k, v in zip(items[::2], items[1::2], strict=True)})


def _refuse_set(_: Any) -> None:
    raise ForbiddenError("a set; only tensors and plain values are read")


class _Claims(pickle._Unpickler):
    """Walks through a pickle with stand-ins for all that torch would make, and adds up what it would allocate."""

    dispatch = {  # noqa: RUF012  # as its base has it
        **_OPCODES,
        pickle.SETITEMS[0]: _set_items,
        pickle.SETITEM[0]: _set_item,
        pickle.DICT[0]: _make_dict,
        **{code[0]: _refuse_set for code in (pickle.EMPTY_SET, pickle.ADDITEMS, pickle.FROZENSET)},
    }

    def __init__(self, content: bytes | io.BytesIO) -> None:
        super().__init__(io.BytesIO(content) if isinstance(content, bytes) else content)
        self.storages: dict[str, int] = {}

    def find_class(self, module: str, name: str) -> Any:
        """The stand-in for a global name."""
        if module == "torch" and name in _BYTES:
            return _BYTES[name]
        if (module, name) in _PLAIN:
            return _PLAIN[module, name]
        if module == "torch._utils" and name.startswith("_rebuild_"):
            return _odd
        if module == "torch" and name.removeprefix("u").startswith(("float", "int", "bool", "complex", "q", "bfloat")):
            return name  # a type of numbers
        raise ForbiddenError(f"it wants to call '{module}.{name}'"[:200])

    def persistent_load(self, pid: Any) -> str:
        """A storage: ``("storage", type, name, device, number of elements, ...)``."""
        kind, width, name, _, count, *_ = pid
        if kind != "storage" or not isinstance(name, str) or not isinstance(width, int) or not 0 <= count < 2**48:
            raise ContainerError(f"a storage with the claim {str(count)[:20]} makes no sense")
        self.storages[name] = max(self.storages.get(name, 0), width * count)
        return name
