"""params.yaml: every number has ends, every name is known, and whatever is wrong is one line before any work."""

from __future__ import annotations

import copy
import dataclasses
import importlib
import json
import math
import re
import types
import typing
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipelines.sections import CLASSES, check_params
from sahmr.datasets import CARDS
from sahmr.errors import SettingsError
from sahmr.params_file import SECTIONS, read_params
from sahmr.readers.registry import rules_class
from sahmr.settings import Between, Listed, load_roots, load_section
from tests import imports, settings_cases
from tests.worlds.small import hashes

PARAMS = yaml.safe_load((imports.ROOT / "params.yaml").read_text())
TEXT = json.dumps(PARAMS)
LINE = re.compile(r"params\.yaml: [a-z_0-9.]*[^ ]*: found .+, allowed .+; .+")


def changed(key: str, value: Any) -> dict[str, Any]:
    """The repository's params.yaml with one key set; ``key`` without dots is a section."""
    params = json.loads(TEXT)
    params["network"]["initial_checkpoint"] = None  # it lies in the repository, tests run elsewhere
    *groups, last = key.split(".")
    place = params
    for group in groups:
        place = place[group]
    place[last] = value
    return params


def write(folder: Path, params: Any) -> Path:
    path = folder / "params.yaml"
    path.write_text(yaml.safe_dump(params) if isinstance(params, dict) else params)
    return path


def message(path: Path) -> str:
    with pytest.raises(SettingsError) as caught:
        check_params(path)
    return str(caught.value).replace(f"{path}", "params.yaml")


def test_the_repository_s_own_is_sound() -> None:
    check_params(imports.ROOT / "params.yaml")
    assert list(PARAMS) == [name for name in SECTIONS if name in PARAMS] == list(SECTIONS)
    assert {"raw", "frames", *CLASSES} == set(SECTIONS)


@pytest.mark.parametrize(("key", "value", "said"), settings_cases.VALUES, ids=lambda value: str(value)[:40])
def test_one_line_names_the_key(key: str, value: Any, said: str, tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.chdir(tmp_path)
    found = message(write(tmp_path, changed(key, value)))
    assert re.match(rf"params\.yaml: {re.escape(key)}[a-z_0-9.]*: ", found) and said in found
    assert LINE.fullmatch(found)


@pytest.mark.parametrize("section", SECTIONS)
@pytest.mark.parametrize("value", settings_cases.SECTIONS_AS, ids=str)
def test_a_section_is_a_mapping(section: str, value: Any, tmp_path: Path) -> None:
    key = "frames.rich" if section == "frames" else section
    found = message(write(tmp_path, changed(key, value)))
    assert f"params.yaml: {key}: found " in found and "allowed a mapping of keys" in found
    assert all(LINE.fullmatch(line) for line in found.splitlines())


def test_a_section_may_not_be_missing(tmp_path: Path) -> None:
    for section in SECTIONS:
        path = write(tmp_path, {name: value for name, value in PARAMS.items() if name != section})
        assert f"params.yaml: {section}" in message(path) and "found no such section" in message(path)
    path = write(tmp_path, changed("frames", {"rich": PARAMS["frames"]["rich"]}))
    assert message(path).startswith("params.yaml: frames.prox: found no such section")
    del (params := copy.deepcopy(PARAMS))["verify"]["box_tolerance"]
    assert message(write(tmp_path, params)).startswith("params.yaml: verify.box_tolerance: found no such key")
    assert "raw: found a mapping, allowed the folder of at least one of rich, prox, own" in message(
        write(tmp_path, changed("raw", {}))
    )


def test_everything_wrong_is_told_at_once(tmp_path: Path) -> None:
    params = changed("shards.jpeg_quality", 0)
    params["predict"]["batch_size"], params["paths"]["work"] = -1, ""
    found = message(write(tmp_path, params)).splitlines()
    assert [line.split(":")[1] for line in found] == [" paths.work", " shards.jpeg_quality", " predict.batch_size"]


@pytest.mark.parametrize(("content", "said"), settings_cases.FILES, ids=lambda value: str(value)[:40])
def test_a_file_that_is_no_params(content: bytes, said: str, tmp_path: Path) -> None:
    path = tmp_path / "params.yaml"
    path.write_bytes(content)
    with pytest.raises(SettingsError) as caught:
        load_section("verify", importlib.import_module("sahmr.verify").Verify, path)
    found = str(caught.value)
    assert found.startswith(f"{path}: ") and said in found and "\n" not in found and len(found) < 600


@pytest.mark.parametrize(("text", "value"), settings_cases.READINGS)
def test_text_is_read_as_dvc_reads_it(text: str, value: Any, tmp_path: Path) -> None:
    found = read_params(write(tmp_path, f"verify:\n  box_tolerance: {text}\n"))["verify"]["box_tolerance"]
    assert found == value and type(found) is type(value)


def test_dvc_reads_numbers_and_words_the_same(tmp_path: Path) -> None:
    from dvc.utils.serialize import load_yaml

    differ = (
        "1_000",
        "010",
        "0x10",
        "2026-01-02",
        "=",
    )  # not text to DVC; refused here
    words = [(text, value) for text, value in settings_cases.READINGS if text not in differ]
    text = "verify:\n" + "".join(f"  k{place}: {word}\n" for place, (word, _) in enumerate(words))
    path = write(tmp_path, text)
    assert load_yaml(str(path)) == read_params(path)


# ------------------------------------------------------------------ introspection


def settings_classes() -> list[type]:
    """Every class that ``@settings`` made, wherever it stands."""
    found = []
    for name, path in imports.modules().items():
        if "\n@settings\n" in path.read_text():
            module = importlib.import_module(name)
            found += [
                item
                for item in vars(module).values()
                if isinstance(item, type) and hasattr(item, "__pydantic_validator__") and item.__module__ == name
            ]
    return found


def leaves(kind: Any, marks: tuple[Any, ...] = ()) -> Iterator[tuple[Any, tuple[Any, ...]]]:
    """Plain types that an annotation is made of, each with what its ``Annotated`` say."""
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin is Annotated:
        yield from leaves(arguments[0], (*kind.__metadata__, *marks))
    elif origin is Literal:
        yield Literal, arguments
    elif origin in (typing.Union, types.UnionType):
        for argument in arguments:
            yield from leaves(argument, marks)
    elif origin in (tuple, list):
        yield origin, marks
        for argument in arguments:
            if argument is not Ellipsis:
                yield from leaves(argument)
    elif origin is dict:
        yield dict, marks
        yield from leaves(arguments[1])
    else:
        yield kind, marks


@pytest.mark.parametrize("made", settings_classes(), ids=lambda made: made.__name__)
def test_every_field_is_bounded(made: type) -> None:
    fields = typing.get_type_hints(made, include_extras=True)
    assert fields
    for name, annotation in fields.items():
        for kind, marks in leaves(annotation):
            where = f"{made.__name__}.{name}"
            if kind in (int, float):
                ends = [mark for mark in marks if isinstance(mark, Between)]
                assert len(ends) == 1, f"{where}: a number without ends: Annotated[..., Between(low, high)]"
                assert math.isfinite(ends[0].low) and math.isfinite(ends[0].high) and ends[0].low < ends[0].high, where
            elif kind in (tuple, list):
                assert any(isinstance(mark, Listed) for mark in marks), f"{where}: a list of any length: Listed(...)"
            elif kind in (str, bool, Path, dict):
                assert marks, f"{where}: any {kind.__name__}; use Literal, Text, Flag, AnyPath, Keyed"
            else:
                assert kind in (Literal, type(None)) or dataclasses.is_dataclass(kind), f"{where}: what is {kind}?"


def test_all_settings_classes_are_looked_at() -> None:
    words = sum(path.read_text().count("\n@settings\n") for path in imports.modules().values())
    assert len(settings_classes()) == words >= 18


# ------------------------------------------------------------------ whatever comes: accepted within the ends, or a line


def keys(place: Any = None, above: tuple[str, ...] = ()) -> Iterator[str]:
    for key, value in (PARAMS if place is None else place).items():
        yield ".".join([*above, key])
        if isinstance(value, dict):
            yield from keys(value, (*above, key))


NUMBERS = (0, -1, 1, 2, 10**6, 10**30, -(10**30), 0.0, 0.5, -0.5, 1.0, 1e-300, 1e300, math.inf, -math.inf, math.nan)
WRONG: tuple[Any, ...] = (
    None, True, False, "", " ", "8", "text", "5e-4x", [], [[]], [0], ["train"], ["a", "a"], {}, {"": 1}, {"train": {}},
    {"a": {"b": {"c": [None, {"d": []}]}}}, [1, "2", None], "\x00", "a" * 5000,
)  # fmt: skip
# A stage for every section: run as users run it, in this process.
STAGES = {
    "raw": ("catalog", []), "paths": ("catalog", []), "parallel": ("verify", ["--dataset", "rich"]),
    "share": ("predict", ["--dataset", "rich"]),
    "frames": ("frames", ["--dataset", "rich"]), "network": ("train_rcnet", []), "demo": ("demo.__main__", []),
    **{name: (name, []) for name in ("bodies", "train_rcnet", "train_sahmr")},
    **{
        name: (name, ["--dataset", "rich"])
        for name in ("scenes", "shards", "verify", "predict", "baseline", "evaluate", "report")
    },
}  # fmt: skip


def annotation_of(key: str) -> Any:
    """What a settings class says of a key; None for sections, groups and what has keys of its own."""
    section, *steps = key.split(".")
    if section == "frames":
        kind: Any = rules_class(steps.pop(0)) if steps else None
    else:
        kind = None if section == "raw" else importlib.import_module(CLASSES[section].split(":")[0])
        kind = kind and getattr(kind, CLASSES[section].split(":")[1])
    for step in steps:
        kind = typing.get_type_hints(kind, include_extras=True).get(step) if dataclasses.is_dataclass(kind) else None
    return kind


def must_be_refused(key: str, value: Any) -> bool:
    """By the ends that the class states, worked out anew; only of keys that are one number or one word."""
    found = list(leaves(annotation_of(key)))
    if len(found) != 1:
        return False
    kind, marks = found[0]
    if kind is Literal:
        return value not in marks or not isinstance(value, str)
    if kind not in (int, float):
        return False
    ends = next(mark for mark in marks if isinstance(mark, Between))
    right_type = type(value) is int or (type(value) is float and kind is float)
    return not (right_type and ends.low <= value <= ends.high)


@settings(
    max_examples=120, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(key=st.sampled_from(sorted(keys())), value=st.sampled_from(NUMBERS + WRONG) | st.floats() | st.integers())
def test_any_value_is_accepted_in_its_range_or_refused_in_one_line(
    key: str, value: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    section = key.split(".")[0]
    path = write(tmp_path, json.dumps(changed(key, value)).replace("NaN", ".nan").replace("Infinity", ".inf"))
    name = ".".join(key.split(".")[:2]) if section == "frames" and key.count(".") >= 1 else section
    try:
        if section == "raw":
            load_roots(path)
        elif name == "frames":
            load_section("frames.rich", rules_class("rich"), path)
        elif section == "frames":
            load_section(name, rules_class(key.split(".")[1]), path)
        else:
            module, _, kind = CLASSES[section].partition(":")
            load_section(section, getattr(importlib.import_module(module), kind), path)
    except SettingsError as error:
        _check_refusal(error, name, section, path, capsys)
    else:
        assert not must_be_refused(key, value)


def _check_refusal(
    error: SettingsError, name: str, section: str, path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The line has its form, a stage says the same and nothing else, and leaves every file as it was."""
    lines = str(error).replace(str(path), "params.yaml").splitlines()
    assert all(LINE.fullmatch(line) or "not a readable YAML file" in line for line in lines)
    stage, arguments = STAGES[section]
    if name == "frames.prox":
        arguments = ["--dataset", "prox"]
    sentinel = path.parent / "data/shards/rich/sentinel"
    sentinel.parent.mkdir(parents=True, exist_ok=True)
    sentinel.write_text("mine")
    before = hashes(path.parent)
    with pytest.raises(SystemExit, match="1"):
        importlib.import_module(f"pipelines.{stage}").main(arguments)
    told = capsys.readouterr().err
    assert told.count(" error: params.yaml: ") == 1 and "Traceback" not in told
    assert told.strip().split(" error: ", 1)[1].splitlines() == lines
    assert hashes(path.parent) == before


def test_every_dataset_of_the_cards_has_a_name_in_the_lists() -> None:
    assert set(CARDS) - {"own"} == set(PARAMS["raw"]) == set(PARAMS["frames"])
