"""dvc.yaml, params.yaml and the stage modules agree; tests/test_docs.py has README and docs/."""

import copy
import importlib
import re
from pathlib import Path

import pytest
import yaml

from tests import imports
from tests.pipelines import code_deps

ROOT = imports.ROOT
STAGES = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]
DEMO = yaml.safe_load((ROOT / "pipelines/demo/dvc.yaml").read_text())["stages"]
OWN = code_deps.stages(code_deps.OWN)
OWN_PARAMS = yaml.safe_load((ROOT / "pipelines/own/params.yaml").read_text())
PARAMS = yaml.safe_load((ROOT / "params.yaml").read_text())
MODULES = imports.modules()
# How this machine works and where things are cannot change a result, so no stage tracks these.
UNTRACKED_SECTIONS = {"raw", "paths", "parallel", "share"}
# Run by hand, no stage: README or docs/ have their command lines.
TOOLS = {
    *("pipelines.convert_checkpoint", "pipelines.prune_work", "pipelines.raw_check", "pipelines.demo.pretrain"),
    *("pipelines.align", "pipelines.detect", "pipelines.import_predictions"),
    *("pipelines.export", "pipelines.loader", "pipelines.predict_photo", "pipelines.view"),
    "pipelines.demo.prepared",
}
SHARED_SECTIONS = {"network"}  # read by the two trainings


def body(name: str) -> dict:
    stage = {**STAGES, **DEMO}[name]
    return stage.get("do", stage)


def module_of(name: str) -> str:
    return re.search(r"python -m (\S+)", body(name)["cmd"]).group(1)


@pytest.mark.parametrize("name", code_deps.stages())
def test_stage_declares_the_code_it_runs(name: str) -> None:
    stage = code_deps.stages()[name]
    assert code_deps.declared_code(stage) == code_deps.needed_code(stage), "run: python -m tests.pipelines.code_deps"


@pytest.mark.parametrize("name", OWN)
def test_stage_of_own_folders_declares_the_code_it_runs(name: str) -> None:
    assert code_deps.declared_code(OWN[name]) == code_deps.needed_code(OWN[name]), (
        "run: python -m tests.pipelines.code_deps"
    )


def test_own_folders_run_the_same_stages() -> None:
    """Beside the capture, the page and the catalog, every stage has the command and data of the main pipeline's."""
    for name in set(OWN) - {"capture", "show", "catalog"}:
        ours, theirs = OWN[name], code_deps.stages()[name]
        assert ours["cmd"] == theirs["cmd"]
        data = [[dep for dep in stage["deps"] if not code_deps.is_code(dep)] for stage in (ours, theirs)]
        assert data[0] == data[1], name
    tracked = {section.split(".")[0] for stage in OWN.values() for section in stage.get("params", ())}
    assert tracked == set(OWN_PARAMS) - UNTRACKED_SECTIONS


@pytest.mark.parametrize("section", sorted(set(OWN_PARAMS) - {"raw", "frames"}))
def test_own_params_are_what_their_classes_take(section: str) -> None:
    from sahmr.settings import load_section

    load_section(section, settings_class(section), ROOT / "pipelines/own/params.yaml")


@pytest.mark.parametrize("name", [*STAGES, *DEMO])
def test_stage_has_a_main(name: str) -> None:
    module = module_of(name)
    module = f"{module}.__main__" if f"{module}.__main__" in MODULES else module
    assert callable(importlib.import_module(module).main)


def test_stage_modules_and_sections_match() -> None:
    tracked = {section.split(".")[0] for name in [*STAGES, *DEMO] for section in body(name).get("params", [])}
    assert tracked == set(PARAMS) - UNTRACKED_SECTIONS
    for name in STAGES:
        own = name.removesuffix("_rich").removesuffix("_prox").removesuffix("_data")
        assert {section.split(".")[0] for section in body(name).get("params", [])} <= {own} | SHARED_SECTIONS, name


def test_every_command_is_a_stage_or_a_tool() -> None:
    stages = {module_of(name) for name in [*STAGES, *DEMO]}
    stages |= {code_deps.module_of(stage).removesuffix(".__main__") for stage in OWN.values()}
    commands = {
        name.removesuffix(".__main__")
        for name, path in MODULES.items()
        if name.startswith("pipelines.") and "\ndef main(" in path.read_text()
    }
    assert commands - stages == TOOLS
    pages = "".join(path.read_text() for path in (ROOT / "README.md", *(ROOT / "docs").glob("*.md")))
    for tool in TOOLS:
        assert f"python -m {tool}" in pages, f"neither README nor docs/ say how to run {tool}"


SECTIONS = sorted({*PARAMS, *(f"frames.{name}" for name in PARAMS["frames"])} - {"demo", "frames", "raw"})


@pytest.mark.parametrize("section", SECTIONS)
def test_unknown_key_is_an_error_naming_it(section: str, tmp_path: Path) -> None:
    from sahmr.errors import SettingsError
    from sahmr.settings import load_section

    changed = copy.deepcopy(PARAMS)
    group = changed
    for key in section.split("."):
        group = group[key]
    group["tpyo"] = 1
    path = tmp_path / "params.yaml"
    path.write_text(yaml.safe_dump(changed))
    kind = settings_class(section)
    load_section(section, kind)
    with pytest.raises(SettingsError, match=rf"{section}\.tpyo"):
        load_section(section, kind, path)


def test_every_dataset_has_a_card_and_rules(tmp_path: Path) -> None:
    from sahmr.datasets import CARDS
    from sahmr.errors import SettingsError
    from sahmr.raw import load_raw_roots

    assert list(PARAMS["raw"]) == list(PARAMS["frames"])
    assert list(CARDS) == [*PARAMS["raw"], *OWN_PARAMS["raw"]]
    (tmp_path / "params.yaml").write_text("raw: {rihc: somewhere}")
    with pytest.raises(
        SettingsError, match=r"raw\.rihc: found an unknown dataset, allowed rich, prox, own; write rich"
    ):
        load_raw_roots(tmp_path / "params.yaml")


@pytest.mark.parametrize("content", [b"\xff\xfe raw", b"raw: [1", b"a: b: c", b"\0"])
def test_unreadable_params_are_told(content: bytes, tmp_path: Path) -> None:
    from sahmr.errors import SettingsError
    from sahmr.params_file import read_params

    path = tmp_path / "params.yaml"
    path.write_bytes(content)
    with pytest.raises(SettingsError, match=r"params\.yaml: not a readable YAML file"):
        read_params(path)


def settings_class(section: str) -> type:
    """The class a section is checked with: found by its docstring, so that each section has exactly one."""
    word = "Group" if "." in section else "Section"
    found = set()
    for name, path in MODULES.items():
        if f"{word} ``{section}``" in path.read_text():
            module = importlib.import_module(name)
            found |= {
                item
                for item in vars(module).values()
                if isinstance(item, type) and (item.__doc__ or "").startswith(f"{word} ``{section}``")
            }
    assert len(found) == 1, f"section {section} has the classes {found}"
    return found.pop()
