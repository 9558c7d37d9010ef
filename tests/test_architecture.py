"""Imports point down, and each outside library has one door."""

import pytest

from tests import imports

LAYERS = (  # lowest first; modules on one line never import each other
    ("sahmr.files", "sahmr.errors"),  # the standard library alone: schemas and catalog stand on the first
    ("sahmr.cache", "sahmr.repository"),
    ("sahmr.server",),
    ("sahmr.remote",),
    ("sahmr.published",),
    ("schemas", "sahmr.dimensions", "sahmr.units", "sahmr.structures", "sahmr.datasets", "sahmr.readers.own_files"),
    ("sahmr.params_file",),
    ("sahmr.settings",),
    ("sahmr.raw", "sahmr.share"),
    ("sahmr.geometry", "sahmr.untrusted", "sahmr.npz", "sahmr.report.charts", "sahmr.report.html"),
    ("sahmr.report.figures",),
    ("sahmr.body", "sahmr.sparse", "sahmr.scenes", "sahmr.shards", "sahmr.cameras"),
    (
        "sahmr.readers",
        "sahmr.batches",
        "sahmr.network",
        "sahmr.losses",
        "sahmr.metrics",
        "sahmr.targets",
        "sahmr.placement",
        "sahmr.sight",
        "sahmr.detect",
    ),
    ("sahmr.demo", "sahmr.training", "sahmr.baseline", "sahmr.verify", "sahmr.report", "sahmr.export"),
    ("sahmr.inference",),
    ("sahmr.scores", "sahmr.open"),
    ("catalog",),
    ("pipelines.environment",),
    ("pipelines.stage",),
    ("pipelines.conversion",),
    ("pipelines",),
)
# What the catalog stands on: all of it starts without torch.
CATALOG_USES = (
    "schemas",
    "sahmr.files",
    "sahmr.errors",
    "sahmr.datasets",
    "sahmr.params_file",
    "sahmr.settings",
    "sahmr.raw",
    "sahmr.remote",
    "sahmr.published",
    "sahmr.readers.own_files",
    "sahmr.report.charts",
    "sahmr.report.figures",
    "sahmr.report.html",
)
# Some of its commands stand on the library, and are imported when they are asked for.
CATALOG_ON_DEMAND = ("catalog.deep", "catalog.preview", "catalog.thumbnails")
ALLOWED_SIDEWAYS: set[tuple[str, str]] = set()
BELOW_SCHEMAS = {
    *("sahmr.files", "sahmr.errors", "sahmr.cache", "sahmr.repository"),
    *("sahmr.server", "sahmr.remote", "sahmr.published"),
}
DOORS = {
    "fsspec": "sahmr/server.py",
    "dvclive": "pipelines/conversion/curves.py",
    "dask": "pipelines/conversion/cluster.py",
    "distributed": "pipelines/conversion/cluster.py",
    "webdataset": "sahmr/shards/write.py",
    "zarr": "sahmr/scenes",
    "torchsparse": "sahmr/sparse/torchsparse_backend.py",
    "pydantic": "sahmr/settings.py",
    "yaml": "sahmr/params_file.py",
    "embreex": "sahmr/geometry/rays.py",
    "scenepic": "sahmr/report/viewer.py",
    "jinja2": "sahmr/report/html.py",
    "trimesh": "sahmr/export/meshes.py",
    "google_crc32c": "sahmr/shards",
    "ai_edge_litert": "sahmr/detect/network.py",
}
MODULES = imports.modules()


def layer_of(name: str) -> tuple[int, str]:
    found: dict[str, int] = {}
    for level, group in enumerate(LAYERS):
        for prefix in group:
            if name == prefix or name.startswith(prefix + "."):
                found[prefix] = level
    if found:
        longest = max(found, key=len)
        return found[longest], longest
    raise AssertionError(f"{name} belongs to no layer: add it to LAYERS")


@pytest.mark.parametrize("name", sorted(set(MODULES) - {"sahmr"}))
def test_imports_point_down(name: str) -> None:
    level, group = layer_of(name)
    for other in imports.internal_imports(MODULES[name], MODULES) - {"sahmr"}:
        other_level, other_group = layer_of(other)
        if other_group == group or (group, other_group) in ALLOWED_SIDEWAYS:
            continue
        assert other_level < level, f"{name} imports {other}: sideways or up"
        if group == "catalog" and name not in CATALOG_ON_DEMAND:
            assert other_group in CATALOG_USES, f"{name} imports {other}: more than the catalog stands on"
        if other_group == "sahmr.demo":
            assert group == "pipelines", f"{name} imports {other}: only pipelines may know the demo"


def test_each_library_has_one_door() -> None:
    for name, path in MODULES.items():
        where = path.relative_to(imports.ROOT).as_posix()
        for library in {found.split(".")[0] for found in imports.imported_names(path)} & set(DOORS):
            assert where.startswith(DOORS[library]), f"{name} imports {library}; its door is {DOORS[library]}"


def test_schemas_and_catalog_know_no_torch() -> None:
    for name, path in MODULES.items():
        if name in CATALOG_ON_DEMAND:
            continue
        if name.split(".")[0] in ("schemas", "catalog") or name in BELOW_SCHEMAS:
            found = imports.imported_names(path)
            assert not any(library.split(".")[0] == "torch" for library in found), name
            uses = CATALOG_USES if name.startswith("catalog") else BELOW_SCHEMAS
            assert {other for other in found & set(MODULES) if other.startswith("sahmr")} <= set(uses), name


def test_init_files_are_empty() -> None:
    for path in MODULES.values():
        if path.name == "__init__.py":
            assert len(path.read_text().splitlines()) <= 1, f"{path}: a docstring at most"
