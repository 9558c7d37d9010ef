"""Stage ``catalog``: what the pipeline has made, with rows, bytes and hashes, as a table and as a page."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from catalog.entries import CATALOG_SCHEMA
from catalog.report import readable_size, render
from catalog.scan import Artifact, scan
from pipelines.stage import DATASETS, log, stage
from sahmr.files import publish_text
from sahmr.settings import Paths, load_section
from schemas.fields import to_table, write_table


def artifacts(paths: Paths) -> list[Artifact]:
    """Every output of the pipeline, in the order of its stages."""

    def one(path: Path, stage_name: str, kind: str, dataset: str | None = None) -> Artifact:
        return Artifact(path=path, stage=stage_name, kind=kind, dataset=dataset)

    found = [one(paths.bodies, "bodies", "arrays")]
    for name in DATASETS:
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
    for name in DATASETS:
        for path in sorted((paths.predictions / name).glob("*.parquet")):  # whoever made them
            found.append(one(path, "predict" if path.stem == "sahmr" else path.stem, "table", name))
        found.append(one(paths.scores / f"{name}.parquet", f"evaluate_{name}", "table", name))
    return found


@stage
def main(argv: Sequence[str] | None = None) -> None:
    """Write ``catalog/catalog.parquet`` and ``reports/catalog.md``."""
    argparse.ArgumentParser(description=__doc__).parse_args(argv)
    paths = load_section("paths", Paths)
    entries = list(scan(artifacts(paths)))
    write_table(paths.catalog / "catalog.parquet", to_table(entries, CATALOG_SCHEMA))
    publish_text(paths.reports / "catalog.md", render(entries))
    log.info("catalog: %d artifacts, %s", len(entries), readable_size(sum(entry.bytes for entry in entries)))


if __name__ == "__main__":
    main()
