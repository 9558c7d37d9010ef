"""Make the page of one person-image: photograph, overlays, and both meshes in the scan, to be turned in a browser.

Run by hand: ``python -m pipelines.view KEY``.
"""

from __future__ import annotations

import argparse
import difflib
from collections.abc import Sequence
from pathlib import Path

from pipelines.report import draw_card
from pipelines.stage import log, stage
from pipelines.truths import Tables
from sahmr.batches.dataset import SampleDataset
from sahmr.errors import ShardError
from sahmr.files import publish_text
from sahmr.raw import load_raw_roots
from sahmr.report.page import Group, Page, render
from sahmr.scores.predictions import find_predictions, missing_truth, read_predictions
from sahmr.settings import Paths, load_section
from sahmr.shards.reader import INDEX_NAME, read_index
from schemas.fields import TableFile
from schemas.prediction import PREDICTION_SCHEMA, SPLIT

_NEAREST = 5  # keys that are suggested


@stage
def main(argv: Sequence[str] | None = None) -> None:
    """Read ``KEY`` and ``paths`` and say where the page is."""
    in_use = list(load_raw_roots())
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("key", metavar="KEY", help="of a person-image, as the tables of frames and scores have it")
    parser.add_argument("--dataset", choices=in_use, help="look in this one alone")
    parser.add_argument("--predictor", help="whose mesh; default: the first method that is scored")
    asked = parser.parse_args(argv)
    path = run(asked.key, [asked.dataset] if asked.dataset else in_use, load_section("paths", Paths), asked.predictor)
    log.info("view: %s", path)


def run(key: str, datasets: Sequence[str], paths: Paths, predictor: str | None = None) -> Path:
    """Write ``reports/<dataset>/<key>.html``.

    Args:
        key: of the person-image.
        datasets: where to look for it.
        paths: all folders but those of raw frames and models.
        predictor: whose mesh; None: the first that is scored.

    Returns:
        The page.

    Raises:
        ShardError: if no data set has the key (the nearest ones are named), it was not predicted, or has no truth.
        SchemaError, StoreError: if tables or scenes are missing or damaged.
    """
    dataset, split = _find(key, datasets, paths)
    samples = SampleDataset(paths.shards / dataset, paths.scenes / f"{dataset}.zarr", split)
    keys = samples.entries.table.column("key")
    place = keys.to_pylist().index(key)
    if not samples.entries[place].has_body:
        raise missing_truth([key], source=str(paths.shards / dataset))
    table = _table_of(paths.predictions / dataset, predictor)
    found = TableFile(table, PREDICTION_SCHEMA, ["key"]).metadata.get(SPLIT.encode(), b"").decode(errors="replace")
    if found != split:
        raise ShardError(
            f"{table}: predictions of split {found!r}, but {key} is of split {split!r}; choose a key of the first, or "
            "set predict.split and run dvc repro predict"
        )
    predictions = read_predictions(table, split, keys)
    if predictions is None:
        raise ShardError(f"{table}: no rows; choose another with --predictor")
    tables = Tables(samples, dataset, paths)
    page = Page(
        title=key,
        subtitle=f"{tables.card.title}, split {split}: prediction of {predictions.predictor}",
        report=None,
        frames_title="",
        groups=(Group(title="", cards=(draw_card(tables, predictions, place, 0),)),),
        notice=f"Pictures and meshes are {tables.card.licence_notice}.",
    )
    path = paths.reports / dataset / f"{key}.html"
    publish_text(path, render(page))
    return path


def _find(key: str, datasets: Sequence[str], paths: Paths) -> tuple[str, str]:
    """Data set and split of a key."""
    known: list[str] = []
    for dataset in datasets:
        if (paths.shards / dataset / INDEX_NAME).is_file():
            table = read_index(paths.shards / dataset).table
            keys = table.column("key").to_pylist()
            if key in keys:
                return dataset, str(table.column("split")[keys.index(key)].as_py())
            known += keys
    if not known:
        raise ShardError(f"{paths.shards}: no shards of {', '.join(datasets)}; make them with: dvc repro shards")
    nearest = difflib.get_close_matches(key, known, _NEAREST, cutoff=0.0)
    raise ShardError(
        f"{key!r} is no person-image of {', '.join(datasets)} ({len(known)} keys); the nearest are {', '.join(nearest)}"
    )


def _table_of(folder: Path, predictor: str | None) -> Path:
    tables = {path.stem: path for path in find_predictions(folder)}
    if predictor is not None and predictor not in tables:
        raise ShardError(f"{folder}: no predictions of {predictor!r}; there are {', '.join(tables)}")
    return tables[predictor] if predictor is not None else next(iter(tables.values()))


if __name__ == "__main__":
    main()
