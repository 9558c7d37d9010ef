"""Stage ``catalog``: what the pipeline has made, as a table, as data cards and as a page."""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from catalog.artifacts import CATALOG_SCHEMA
from catalog.card import Card, make_card, raw_keys
from catalog.croissant_source import write_all
from catalog.graph import Graph, read_graph
from catalog.lock import Lock, read_lock
from catalog.own_entry import find_entries
from catalog.page import render_page
from catalog.report import readable_size, render
from catalog.scan import list_artifacts, scan
from catalog.source import Source
from catalog.tables import find_tables
from pipelines.manifests import data_manifests
from pipelines.stage import log, stage
from sahmr.files import publish_folder, publish_text
from sahmr.published import render_published
from sahmr.raw import load_raw_roots
from sahmr.settings import Paths, load_section
from schemas.tables_write import to_table, write_table


@stage
def main(argv: Sequence[str] | None = None) -> None:
    """Read ``raw``, ``paths`` and dvc.yaml and run the stage."""
    argparse.ArgumentParser(description=__doc__).parse_args(argv)
    load_raw_roots()  # checks them
    graph = read_graph(Source(root=Path())).in_use(lambda _: False)  # the stage depends on no other side pipeline
    run(graph, load_section("paths", Paths))


def run(graph: Graph, paths: Paths) -> None:
    """Write the catalog's folder: table, page, ``datasets.json``, manifests and Croissant; and ``reports/catalog.md``.

    The latter is written where dvc.yaml has it, as the pipeline of own folders has not.

    Args:
        graph: of the current folder.
        paths: section of params.yaml.

    Raises:
        SettingsError: if a dataset has no entry, or a wrong one.
        SchemaError: if a table is damaged or of another version.
        ShardError: if a sample that the page shows is damaged.
    """
    entries = list(scan(list_artifacts(graph, Path(), "catalog")))
    tables, wrong = find_tables(graph, Path())
    own = [table for table in tables if table.output.stage != "catalog"]
    for name, problem in wrong.items():
        if name != CATALOG_SCHEMA.metadata[b"sahmr.schema"].decode():  # is written now
            raise problem
    reviewed = find_entries(graph, Path())
    cards = [make_card(graph, Lock({}), Path(), reviewed, own, name) for name in raw_keys(graph, reviewed)]
    lock = read_lock(Source(root=Path()))
    page = render_page(graph, lock, Path(), cards, own, has_pictures=True)
    with publish_folder(paths.catalog) as folder:
        write_table(folder / "catalog.parquet", to_table(entries, CATALOG_SCHEMA))
        text = json.dumps({card.dataset: _lasting(card) for card in cards}, indent=2, ensure_ascii=False)
        publish_text(folder / "datasets.json", text + "\n")
        publish_text(folder / "index.html", page)
        write_all(graph, Path(), folder)
        for name in raw_keys(graph, reviewed):
            if text := whole_manifest(name, paths):
                publish_text(folder / f"{name}.manifest.json", text)
    listing = paths.reports / "catalog.md"
    if any(output.path == os.path.normpath(listing) for output in graph.outputs):
        publish_text(listing, render(entries))
    log.info("catalog: %d artifacts, %s", len(entries), readable_size(sum(entry.bytes for entry in entries)))


def _lasting(card: Card) -> dict[str, Any]:
    """A card without what is different on other machines: whose cache has what."""
    found = asdict(card)
    kept = ("path", "stage", "kind", "files", "bytes")
    return found | {"places": [{name: place[name] for name in kept} for place in found["places"]]}


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
