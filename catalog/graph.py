"""The pipeline as DVC knows it: stages with their inputs and outputs, from ``dvc.yaml`` and ``params.yaml`` alone."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from os.path import normpath
from pathlib import PurePosixPath
from typing import Any

from catalog.source import Source
from sahmr.errors import SettingsError
from sahmr.params_file import parse_text

_PLACE = re.compile(r"\$\{([\w.]+)\}")
_MANIFEST = "manifest.json"
MAIN = "dvc.yaml"  # that of the folder itself; all others are side pipelines


@dataclass(frozen=True, slots=True, kw_only=True)
class Output:
    """A file or folder that a stage makes.

    Attributes:
        path: relative to the repository, or absolute.
        stage: its name in dvc.yaml, without ``@<dataset>``.
        dataset: whose; None: shared by all.
        is_cached: DVC keeps it; else it is small and lies among the reports.
        file: the dvc.yaml that its stage stands in.
    """

    path: str
    stage: str
    dataset: str | None
    is_cached: bool
    file: str = MAIN

    @property
    def kind(self) -> str:
        """table | zarr | model | manifest | report | folder, by its name; a report is small."""
        if self.path.endswith(_MANIFEST):
            return "manifest"
        if not self.is_cached:
            return "report"
        by_suffix = {".parquet": "table", ".zarr": "zarr", ".pt": "model", ".json": "report"}
        return by_suffix.get(PurePosixPath(self.path).suffix, "folder")

    @property
    def rebuild(self) -> str:
        """Command that makes it again."""
        name = full_name(self.stage, self.dataset)
        return f"dvc repro {name if self.file == MAIN else f'{self.file}:{name}'}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """A stage for one dataset, or for all.

    Attributes:
        name: as in dvc.yaml.
        dataset: item of its loop; None: it has none.
        file: the dvc.yaml it stands in.
        command: what it runs.
        code, data: inputs: Python files of ours; whatever else.
        params: sections of params.yaml it tracks.
        outputs: in order.
    """

    name: str
    dataset: str | None
    file: str
    command: str
    code: tuple[str, ...]
    data: tuple[str, ...]
    params: tuple[str, ...]
    outputs: tuple[Output, ...]

    @property
    def full_name(self) -> str:
        """As ``dvc repro`` takes it."""
        return full_name(self.name, self.dataset)


def full_name(stage: str, dataset: str | None) -> str:
    """``stage@dataset``, or the stage alone."""
    return stage if dataset is None else f"{stage}@{dataset}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Graph:
    """All stages, in the order of dvc.yaml.

    Attributes:
        stages: each dataset's apart.
        params: params.yaml, every scalar as text.
    """

    stages: tuple[Stage, ...]
    params: dict[str, Any]

    @property
    def datasets(self) -> list[str]:
        """Names in section ``raw``."""
        return list(self.params["raw"])

    @property
    def outputs(self) -> list[Output]:
        """Of all stages."""
        return [output for stage in self.stages for output in stage.outputs]

    def param(self, key: str) -> str:
        """A value of params.yaml by its dotted key. Raises SettingsError if there is none."""
        return _look_up(self.params, key)

    def maker(self, path: str) -> Stage | None:
        """The stage whose output a path is, or lies in."""
        for stage in self.stages:
            if any(path == output.path or path.startswith(f"{output.path}/") for output in stage.outputs):
                return stage
        return None

    def before(self, stage: Stage) -> list[Stage]:
        """All stages that a stage's inputs come from, directly or not, in the order of dvc.yaml; itself is the last."""
        found, todo = {stage.full_name}, [stage]
        while todo:
            one = todo.pop()
            for other in self.stages:
                if other.full_name not in found and any(
                    meets(path, out.path) for path in one.data for out in other.outputs
                ):
                    found.add(other.full_name)
                    todo.append(other)
        return [other for other in self.stages if other.full_name in found and other is not stage] + [stage]

    def in_use(self, ran: Callable[[str], bool]) -> Graph:
        """Without the stages of side pipelines that did not run here, and whose outputs no other stage reads."""
        read = [path for stage in self.stages if stage.file == MAIN for path in stage.data]
        used = {
            stage.file
            for stage in self.stages
            if stage.file == MAIN
            or ran(stage.full_name)
            or any(meets(output.path, path) for output in stage.outputs for path in read)
        }
        return replace(self, stages=tuple(stage for stage in self.stages if stage.file in used))

    def outputs_of(self, dataset: str | None) -> list[Output]:
        """Outputs of one dataset, or of none in particular."""
        return [output for output in self.outputs if output.dataset == dataset]


def meets(one: str, other: str) -> bool:
    """Whether two paths are the same, or one lies in the other."""
    return one == other or one.startswith(f"{other}/") or other.startswith(f"{one}/")


def read_graph(source: Source) -> Graph:
    """Read and expand every dvc.yaml of a source.

    Raises:
        SettingsError: if a file is no YAML, or names a key that params.yaml lacks.
        MissingError: if a file is not there.
    """
    params = parse_text(source.text("params.yaml"), "params.yaml")
    if not isinstance(params.get("raw"), dict) or not params["raw"]:
        raise SettingsError("params.yaml: raw: found no datasets, allowed a folder for each; take the repository's own")
    stages: list[Stage] = []
    for file in source.pipelines():
        found = parse_text(source.text(file), file).get("stages")
        if not isinstance(found, dict):
            raise SettingsError(f"{file}: stages: found none, allowed a mapping; restore it from git")
        try:
            for name, body in found.items():
                stages += _expand(file, name, body, params)
        except (KeyError, TypeError, AttributeError, ValueError) as problem:
            raise SettingsError(f"{file}: not stages as DVC has them ({problem!r}); restore it from git") from None
    return Graph(stages=tuple(_makers_first(stages)), params=params)


def _makers_first(stages: list[Stage]) -> list[Stage]:
    """Side pipelines that read what the main one makes come last."""
    made = [output.path for stage in stages if stage.file == MAIN for output in stage.outputs]
    late = {
        stage.file
        for stage in stages
        if stage.file != MAIN and any(meets(path, output) for path in stage.data for output in made)
    }
    return sorted(stages, key=lambda stage: stage.file in late)


def _expand(file: str, name: str, body: dict[str, Any], params: dict[str, Any]) -> Iterator[Stage]:
    """A stage, or one for each item of its loop."""
    if "foreach" not in body:
        yield _stage(file, name, None, body, params)
        return
    group = _look_up(params, _PLACE.fullmatch(body["foreach"])[1])  # type: ignore[index]  # else: TypeError
    for key, item in group.items():  # type: ignore[attr-defined]  # a mapping, else: AttributeError
        yield _stage(file, name, key, body["do"], {**params, "key": key, "item": item})


def _stage(file: str, name: str, dataset: str | None, body: dict[str, Any], values: dict[str, Any]) -> Stage:
    folder = normpath(PurePosixPath(file).parent / body.get("wdir", "."))

    def resolve(path: str) -> str:
        filled = _fill(path, values) if "$" in path else path
        return normpath(filled if folder == "." or filled.startswith("/") else f"{folder}/{filled}")

    deps = [resolve(path) for path in body.get("deps", ())]
    return Stage(
        name=name,
        dataset=dataset,
        file=file,
        command=_fill(body["cmd"], values),
        code=tuple(path for path in deps if path.endswith(".py")),
        data=tuple(path for path in deps if not path.endswith(".py")),
        params=tuple(_fill(key, values) for key in body.get("params", ())),
        outputs=tuple(
            Output(
                path=resolve(path),
                stage=name,
                dataset=dataset,
                is_cached=group == "outs" and details.get("cache") != "false",
                file=file,
            )
            for group in ("outs", "metrics", "plots")
            for path, details in map(_named, body.get(group, ()))
        ),
    )


def _named(item: str | dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """An output's path and what is said of it."""
    if isinstance(item, str):
        return item, {}
    ((path, details),) = item.items()
    return path, details or {}


def _fill(text: str, values: dict[str, Any]) -> str:
    return _PLACE.sub(lambda found: _look_up(values, found[1]), text)


def _look_up(values: dict[str, Any], key: str) -> str:
    found: Any = values
    for part in key.split("."):
        if not isinstance(found, dict) or part not in found:
            raise SettingsError(
                f"params.yaml: {key}: found no such key, allowed a value; dvc.yaml refers to it: add it"
            )
        found = found[part]
    return found  # type: ignore[no-any-return]
