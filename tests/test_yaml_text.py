"""Settings files that claim time or memory, or say two things at once, are one error."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from sahmr.errors import SettingsError
from sahmr.settings import read_params
from sahmr.yaml_text import load_yaml
from tests import imports

BOMB = "a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"{name}: &{name} [{','.join(['*' + before] * 9)}]\n" for before, name in zip("abcdefgh", "bcdefghi", strict=True)
)
CASES = {
    "aliases of aliases": (BOMB, "more than 100,000 values"),
    "merged aliases": (f"a: &a {{{','.join(f'k{k}: 1' for k in range(999))}}}\nb:\n" + "- {<<: *a}\n" * 200, "100,000"),
    "an alias of itself": ("a: &a [*a]", "an alias inside of what it stands for"),
    "an alias of itself as a key": ("? &a {x: *a}\n: 1", "an alias inside of what it stands for"),
    "deep lists": ("a: " + "[" * 100_000, "nested deeper than 32 levels"),
    "deep dicts": ("{a: " * 100_000, "nested deeper than 32 levels"),
    "deep blocks": ("- " * 100_000, "nested deeper than 32 levels"),
    "a key twice": ("a: 1\na: 2", "key 'a' is given twice"),
    "a key twice, below": ("a: {b: 1, c: 2, b: 3}", "key 'b' is given twice"),
    "digits": ("a: " + "9" * 5_000, "a number of 5,000 characters"),
    "hexadecimal digits": ("a: 0x" + "f" * 100_000, "a number of 100,002 characters"),
    "base 60": ("a: 1" + ":59" * 100_000, "a number of 300,001 characters"),
    "no number": ("a: !!int ''", "IndexError"),
    "a day that is none": ("a: 2001-13-45", "month must be in 1..12"),
    "a list as key": ("? [a]\n: 1", "unhashable"),
    "a command": ("a: !!python/object/apply:os.system [x]", "could not determine a constructor"),
    "zero bytes": ("a: \0", "unacceptable character"),
    "two megabytes": ("a: " + "x" * 2_000_000, "2,000,003 characters, allowed: 1,048,576"),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_refused(tmp_path: Path, name: str) -> None:
    text, says = CASES[name]
    (tmp_path / "params.yaml").write_text(text)
    with pytest.raises(SettingsError, match=rf"(?s)params\.yaml: not a readable YAML file: .*{says}"):
        read_params(tmp_path / "params.yaml")


def test_what_is_sound_is_read_as_ever() -> None:
    for name in ("params.yaml", "dvc.yaml"):
        text = (imports.ROOT / name).read_text()
        assert load_yaml(text) == yaml.safe_load(text)
    assert load_yaml("a: &a {x: 1, y: 2}\nb: {<<: *a, y: 3}\nc: [*a, *a]") == {
        "a": {"x": 1, "y": 2}, "b": {"x": 1, "y": 3}, "c": [{"x": 1, "y": 2}] * 2,
    }  # fmt: skip
