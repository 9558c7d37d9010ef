"""Stage ``catalog``: what the pipeline has made, with rows, bytes and hashes, as a table and as a page."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from catalog.entries import CATALOG_SCHEMA
from catalog.report import readable_size, render
from catalog.scan import Artifact, scan
from pipelines.manifests import data_manifests
from pipelines.stage import log, stage
from sahmr.files import publish_text
from sahmr.published import render_published
from sahmr.raw import load_raw_roots
from sahmr.settings import Paths, load_section
from schemas.tables_write import to_table, write_table


def artifacts(paths: Paths, datasets: Sequence[str]) -> list[Artifact]:
    """Every output of the pipeline, in the order of its stages."""

    def one(path: Path, stage_name: str, kind: str, dataset: str | None = None) -> Artifact:
        return Artifact(path=path, stage=stage_name, kind=kind, dataset=dataset)

    found = [one(paths.bodies, "bodies", "arrays")]
    for name in datasets:
        found += [
            one(paths.frames / f"{name}.parquet", "frames", "table", name),
            one(paths.frames / f"{name}_scenes.parquet", "frames", "table", name),
            one(paths.scenes / f"{name}.zarr", "scenes", "zarr", name),
            one(paths.shards / name, "shards", "shards", name),
        ]
    found += [
        one(paths.models / "rcnet.pt", "train_rcnet", "model"),
        one(paths.models / "sahmr.pt", "train_sahmr", "model"),
    ]
    for name in datasets:
        for path in sorted((paths.predictions / name).glob("*.parquet")):  # whoever made them
            found.append(one(path, "predict" if path.stem == "sahmr" else path.stem, "table", name))
        found.append(one(paths.scores / f"{name}.parquet", "evaluate", "table", name))
    return found


@stage
def main(argv: Sequence[str] | None = None) -> None:
    """Read ``raw`` and ``paths`` and run the stage."""
    argparse.ArgumentParser(description=__doc__).parse_args(argv)
    run(list(load_raw_roots()), load_section("paths", Paths))


def run(datasets: Sequence[str], paths: Paths) -> None:
    """Write ``catalog/catalog.parquet``, ``catalog/<dataset>.manifest.json`` and ``reports/catalog.md``."""
    entries = list(scan(artifacts(paths, datasets)))
    write_table(paths.catalog / "catalog.parquet", to_table(entries, CATALOG_SCHEMA))
    for name in datasets:
        if text := whole_manifest(name, paths):
            publish_text(paths.catalog / f"{name}.manifest.json", text)
    publish_text(paths.reports / "catalog.md", render(entries))
    log.info("catalog: %d artifacts, %s", len(entries), readable_size(sum(entry.bytes for entry in entries)))


def whole_manifest(dataset: str, paths: Paths) -> str:
    """Text of the manifest that makes the folder above ``paths.catalog`` a published dataset; empty: it is not one."""
    manifests, root = data_manifests(dataset, paths), paths.catalog.parent
    outside = [str(path) for path in manifests if not path.is_relative_to(root)]
    if outside:
        log.warning("catalog: %s cannot be published as one folder: %s is outside of %s", dataset, outside[0], root)
    if outside or not all(path.is_file() for path in manifests):
        return ""
    return render_published(root, dataset, manifests)


if __name__ == "__main__":
    main()
