"""Sections of ``params.yaml`` as checked, frozen classes."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, fields, is_dataclass
from pathlib import Path
from typing import (
    Annotated,
    Any,
    Literal,
    NoReturn,
    TypeVar,
    cast,
    dataclass_transform,
    get_args,
    get_origin,
    get_type_hints,
)

from pydantic import AfterValidator, BeforeValidator, ConfigDict, GetCoreSchemaHandler, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass as checked_dataclass
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

from sahmr.datasets import CARDS
from sahmr.errors import SettingsError
from sahmr.params_file import describe, read_params, unknown

_T = TypeVar("_T")


@dataclass_transform(kw_only_default=True, frozen_default=True)
def settings(cls: type[_T]) -> type[_T]:
    """Turn a class into a frozen, keyword-only, checked section: unknown keys and wrong types are errors.

    Every number has a range (:class:`Between`), every list a rule (:class:`Listed`); a rule that joins several keys
    stands in ``__post_init__`` and calls :func:`refuse`.
    """
    config = ConfigDict(extra="forbid", allow_inf_nan=False)
    return cast("type[_T]", checked_dataclass(frozen=True, kw_only=True, config=config)(cls))


def _error(allowed: str, **more: str) -> PydanticCustomError:
    return PydanticCustomError("refused", "allowed {allowed}", {"allowed": allowed, **more})


def refuse(key: str, found: Any, allowed: str) -> NoReturn:
    """Refuse one key's value because of another's; for ``__post_init__``. ``allowed`` reads after the word."""
    raise _error(allowed, key=key, found=describe(found))


@dataclass(frozen=True, slots=True)
class Between:
    """``Annotated[int, Between(1, 64)]``: a number within these ends, themselves allowed. Nothing is converted but
    a whole number where any number may stand: no true, no "8", no 8.0 for 8, no infinity, no NaN.
    """

    low: float
    high: float

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        """The check, for ``int`` or ``float``."""
        is_whole = source is int
        allowed = f"{'a whole number' if is_whole else 'a number'} from {self.low:.12g} to {self.high:.12g}"

        def check(value: Any) -> Any:
            is_number = isinstance(value, int) or (isinstance(value, float) and not is_whole)
            if isinstance(value, bool) or not is_number or not self.low <= value <= self.high:
                raise _error(allowed)
            return value if is_whole else float(value)

        return core_schema.no_info_plain_validator_function(check)


@dataclass(frozen=True, slots=True)
class Listed:
    """``Annotated[tuple[X, ...], Listed(least=1)]``: a list of so many different things."""

    least: int = 0
    most: int = 1000
    may_repeat: bool = False

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        """The check, before that of the elements."""
        size = f"{self.least}" if self.least == self.most else f"{self.least} to {self.most}"
        allowed = f"a list of {size} {'values' if self.may_repeat else 'values, each once'}"

        def check(value: Any) -> Any:
            is_list = isinstance(value, list | tuple) and self.least <= len(value) <= self.most
            if not is_list or not (self.may_repeat or len(set(map(repr, value))) == len(value)):
                raise _error(allowed)
            return tuple(value)

        return core_schema.no_info_before_validator_function(check, handler(source))


@dataclass(frozen=True, slots=True)
class Keyed:
    """``Annotated[dict[str, X], Keyed("a", "b")]``: a mapping with these keys, or with some of them."""

    keys: tuple[str, ...]
    all_needed: bool = True

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        """The check, before that of the values."""
        allowed = f"a mapping with {'the keys' if self.all_needed else 'some of the keys'} {', '.join(self.keys)}"

        def check(value: Any) -> Any:
            if not isinstance(value, dict) or not value:
                raise _error(allowed)
            if not set(value) <= set(self.keys) or (self.all_needed and len(value) < len(self.keys)):
                raise _error(allowed, found=f"the keys {', '.join(map(str, value))}"[:200])
            return value

        return core_schema.no_info_before_validator_function(check, handler(source))


def _check_bool(value: Any) -> bool:
    if not isinstance(value, bool):
        raise _error("true or false")
    return value


def _check_text(value: Any) -> str:
    if not isinstance(value, str) or not value.strip() or not value.isprintable():
        raise _error("text that is not empty")
    return value


def _check_line(value: Any) -> str:
    if not isinstance(value, str) or not value.isprintable() or len(value) > 4000:
        raise _error("a line of text, '' for none")
    return value.strip()


def _check_paragraph(value: Any) -> str:
    if not isinstance(value, str) or not value.strip() or not all(line.isprintable() for line in value.splitlines()):
        raise _error("text that is not empty")
    if len(value) > 4000:
        raise _error("at most 4000 characters")
    return value.strip()


def _check_dataset(value: Any) -> str:
    if not isinstance(value, str) or value not in CARDS:
        raise _error(f"one of {', '.join(sorted(CARDS))}")
    return value


def _check_path(value: Any) -> Path:
    text = str(value) if isinstance(value, str | Path) else ""
    if not text or text != text.strip() or not text.isprintable() or len(text) > 4000:
        raise _error("a path")
    if text.startswith("~") or "$" in text:
        raise _error("a path written out: nothing puts in a home folder or a variable")
    return Path(text)


def _check_place(path: Path) -> Path:
    if path.resolve() in (Path.cwd(), *Path.cwd().parents):
        raise _error("a folder of its own, not one that holds this repository")
    return path


def _check_roots(roots: dict[str, Path]) -> dict[str, Path]:
    if not roots:
        raise _error(f"the folder of at least one of {', '.join(CARDS)}")
    for name, root in roots.items():
        for other in roots:
            if name != other and root.resolve().is_relative_to(roots[other].resolve()):
                refuse(name, str(root), f"a folder outside of raw.{other} ({roots[other]})")
    return roots


def _check_model_file(path: Path) -> Path:
    if path.is_absolute() or not path.name:
        raise _error("a file's path from paths.models on, such as sahmr.pt")
    return path


def _check_ends(ends: tuple[float, float]) -> tuple[float, float]:
    if not ends[0] < ends[1]:
        raise _error("two numbers, the smaller one first")
    return ends


Seed = Annotated[int, Between(0, 2**32 - 1)]
Flag = Annotated[bool, BeforeValidator(_check_bool)]
Text = Annotated[str, BeforeValidator(_check_text)]
Line = Annotated[str, BeforeValidator(_check_line)]  # may be empty
Paragraph = Annotated[str, BeforeValidator(_check_paragraph)]  # of lines; spaces around it do not count
Dataset = Annotated[str, BeforeValidator(_check_dataset)]
Split = Literal["train", "val", "test"]
Weight = Annotated[float, Between(0, 1000)]  # of a loss; 0 leaves it out
Share = Annotated[float, Between(0, 1)]
Extent = Annotated[float, Between(0.001, 10_000)]  # metres, or metres a metre
Ends = Annotated[tuple[Extent, Extent], Listed(least=2, most=2), AfterValidator(_check_ends)]
Quarantine = Annotated[int, Between(0, 1_000_000)]
AnyPath = Annotated[Path, BeforeValidator(_check_path)]
RawRoots = Annotated[dict[str, AnyPath], AfterValidator(_check_roots)]
Place = Annotated[AnyPath, AfterValidator(_check_place)]  # an output
ModelFile = Annotated[AnyPath, AfterValidator(_check_model_file)]  # beneath paths.models


def require_some(weights: object) -> None:
    """Refuse a group of which every weight is 0; for ``__post_init__``."""
    names = [field.name for field in fields(cast("Any", weights))]
    if not any(getattr(weights, name) for name in names):
        refuse(names[0], 0.0, f"a number above 0, here or for one of {', '.join(names[1:])}: all are 0")


@settings
class Paths:
    """Section ``paths``: where the stages' outputs lie. No stage tracks it, it cannot change a result."""

    bodies: Place
    frames: Place
    scenes: Place
    shards: Place
    models: Place
    predictions: Place
    scores: Place
    reports: Place
    catalog: Place
    work: Place

    def __post_init__(self) -> None:
        """Stages replace whole folders: none may lie in another's."""
        places = {field.name: Path(getattr(self, field.name)).resolve() for field in fields(self)}
        for name, place in places.items():
            for other, outer in places.items():
                if name != other and place.is_relative_to(outer):
                    refuse(name, str(getattr(self, name)), f"a folder outside of paths.{other} ({outer})")

    def keep_apart(self, key: str, raw: Path) -> None:
        """Insist that no output lies in a folder of raw files, nor around it, where a stage would replace it.

        Raises:
            SettingsError: naming ``key``, that of the raw folder.
        """
        for field in fields(self):
            output, found = getattr(self, field.name).resolve(), raw.resolve()
            if output.is_relative_to(found) or found.is_relative_to(output):
                raise SettingsError(
                    f"params.yaml: {key}: found {str(raw)!r}, allowed a folder outside of paths.{field.name} "
                    f"({getattr(self, field.name)}) and not around it; stages replace what lies there: edit one of them"
                )

    def model(self, file: Path, key: str) -> Path:
        """A checkpoint that params.yaml names.

        Args:
            file: from ``models`` on.
            key: section and key that name it, for the error.

        Raises:
            SettingsError: if it repeats ``models``.
        """
        models = self.models
        if file.resolve().is_relative_to(models.resolve()):
            short = file.resolve().relative_to(models.resolve())
            raise SettingsError(
                f"params.yaml: {key}: found {str(file)!r}, allowed a path from paths.models ({models}) on; "
                f"write {str(short)!r}"
            )
        return Path(os.path.normpath(models / file))  # as DVC does


def load_section(name: str, kind: type[_T], path: Path | None = None) -> _T:
    """Read and check one section of ``params.yaml``, or one group of it: ``frames.rich``.

    Raises:
        SettingsError: one line ``params.yaml: section.key: found X, allowed Y; remedy`` for every unknown, missing or
            impossible value.
    """
    return cast("_T", _load(name, kind, path))


def load_roots(path: Path | None = None) -> dict[str, Path]:
    """Section ``raw``: the folder of each dataset. Errors as :func:`load_section`."""
    return cast("dict[str, Path]", _load("raw", RawRoots, path))


def _load(name: str, kind: Any, path: Path | None) -> Any:
    path = path or Path("params.yaml")
    found: Any = read_params(path)
    done: list[str] = []
    for key in name.split("."):
        if key not in found:
            where = ".".join([*done, key])
            raise SettingsError(f"{path}: {where}: found no such section, allowed one; the repository's own shows it")
        found = found[key]
        done.append(key)
        if not isinstance(found, dict):
            raise SettingsError(
                f"{path}: {'.'.join(done)}: found {describe(found)}, allowed a mapping of keys; the repository's own "
                "shows it"
            )
    return check_mapping(found, kind, path, name)


def check_mapping(found: Any, kind: Any, path: Path, name: str = "") -> Any:
    """What a YAML file says, as the class or type ``kind``.

    Args:
        found: nested dicts.
        kind: a class marked :func:`settings`, or a type of pydantic.
        path: the file, for errors.
        name: its section, for errors; empty: the whole file.

    Raises:
        SettingsError: as :func:`load_section`.
    """
    try:
        return TypeAdapter(kind).validate_python(found)
    except ValidationError as error:
        lines = [_line(path, name, kind, cast("dict[str, Any]", item)) for item in error.errors()]
        raise SettingsError("\n".join(lines)) from None


_ALLOWED: dict[str, Callable[[dict[str, Any]], str]] = {
    "refused": lambda item: str(item["ctx"]["allowed"]),
    "literal_error": lambda item: str(item["ctx"]["expected"]),
    "dataclass_type": lambda _: "a mapping of keys",
}


def _line(path: Path, section: str, kind: Any, item: dict[str, Any]) -> str:
    """One error of pydantic in our words."""
    context, steps = item.get("ctx", {}), [str(step) for step in item["loc"] if step != "[key]"]
    key = ".".join([*([section] if section else []), *steps, *([context["key"]] if "key" in context else [])])
    if item["type"] == "unexpected_keyword_argument":
        return unknown(path, key, _keys(kind, steps[:-1]), "key")
    if item["type"] == "missing":
        return f"{path}: {key}: found no such key, allowed a value; add it, the repository's own params.yaml shows it"
    if item["type"] in _ALLOWED:
        allowed = _ALLOWED[item["type"]](item)
    else:
        allowed = str(item["msg"]).removeprefix("Input should be ")
    found = context.get("found", describe(item["input"]))
    return f"{path}: {key}: found {found}, allowed {allowed}; edit the value"


def _keys(kind: Any, steps: list[str]) -> list[str]:
    """Keys of the group that ``steps`` lead to."""
    for step in steps:
        kind = get_args(kind)[0] if get_origin(kind) is Annotated else kind
        if get_origin(kind) is dict:
            kind = get_args(kind)[1]
        else:
            kind = get_type_hints(kind).get(step) if is_dataclass(kind) else None
    return list(kind.__dataclass_fields__) if is_dataclass(kind) else []
