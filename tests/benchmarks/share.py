"""Training samples from a server that lets 20 ms pass before every answer, against local files. Part of ``make bench``.

Two loaders each time, processes and then threads, on the train split of finished shards; the first two batches, in
which they start, are not counted. ``cold`` fetches everything, ``warm`` finds it in the cache, ``one by one`` is cold
without fetching ahead. Rounds alternate, so that a busy machine is busy for all; medians. Processor time per sample,
all processes of the loader together, is told besides: it does not depend on who else uses the machine.

Which pieces are kept (``--pieces``) is counted without any decoding: bytes fetched in five reshuffled epochs with a
cache of half the data, by ranges of samples and by whole shards.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import multiprocessing
import re
import resource
import statistics
import tempfile
import time
from collections.abc import Sequence
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np

from tests.benchmarks.figures import record

LATENCY_S = 0.02
WORKERS, BATCH, STEPS, ROUNDS, EPOCHS = 2, 16, 8, 3, 5


async def _answer(folder: Path, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Requests of one connection."""
    while head := await reader.readuntil(b"\r\n\r\n"):
        await asyncio.sleep(LATENCY_S)
        path = folder / head.split(b" ", 2)[1].decode().lstrip("/")
        size = path.stat().st_size
        found = re.search(rb"(?i)\r\nrange: bytes=(\d+)-(\d+)", head)
        start, end = (int(found[1]), min(int(found[2]), size - 1)) if found else (0, size - 1)
        with path.open("rb") as stream:
            stream.seek(start)
            data = stream.read(end - start + 1)
        line = f"206 x\r\nContent-Range: bytes {start}-{end}/{size}" if found else "200 OK"
        writer.write(f"HTTP/1.1 {line}\r\nContent-Length: {len(data)}\r\n\r\n".encode() + data)
        await writer.drain()


def serve(folder: Path, told: Connection) -> None:
    """A process that answers with latency: as many requests at a time as come."""

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await _answer(folder, reader, writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    async def run() -> None:
        server = await asyncio.start_server(connected, "127.0.0.1", 0)
        told.send(server.sockets[0].getsockname()[1])
        await server.serve_forever()

    asyncio.run(run())


def _expect_nothing(numbers: Sequence[int], *, more: bool = False) -> None:
    """In place of fetching ahead."""


def samples_per_s(
    folder: Path, dataset: str, url: str, cache: Path | None, *, kind: str, is_ahead: bool = True
) -> tuple[float, float]:
    """Of two workers of a kind, and milliseconds of processor time that all of it took for each.

    An empty ``url``: local files.
    """
    from sahmr.batches.dataset import SampleDataset
    from sahmr.batches.loader import make_loader
    from sahmr.settings import Paths
    from sahmr.share import Share, find_places

    paths = Paths(**{name: folder / name for name in Paths.__dataclass_fields__})
    share = Share(cache=cache, cache_gb=0.0 if cache is None else 20.0)
    if url:
        share = Share(shards=f"{url}/shards", scenes=f"{url}/scenes", cache=cache, cache_gb=share.cache_gb)
    data = SampleDataset(*find_places(share, paths, dataset), "train", is_training=True, seed=1)
    if not is_ahead:
        mock.patch.object(data, "expect", _expect_nothing).start()
    steps, busy = len(data) // BATCH, processor_s()
    workers: dict[str, Any] = {"num_workers": WORKERS, "decode_in": kind}
    loader = make_loader(data, batch_size=BATCH, seed=1, steps_per_epoch=min(steps, 2 + STEPS), **workers)
    running = loader.epoch(0)
    for _ in range(2):
        next(running)
    start, count = time.perf_counter(), 0
    for batch in running:
        count += len(batch.keys)
    rate = count / (time.perf_counter() - start)
    del running, loader  # its processes end, and what they took is known
    gc.collect()
    return rate, (processor_s() - busy) * 1000 / (count + 2 * BATCH)


def processor_s() -> float:
    """Of this process and of those that it started and that have ended."""
    return sum(sum(resource.getrusage(of)[:2]) for of in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))


def rates(folder: Path, dataset: str, kind: str) -> dict[str, float]:
    """Medians by way, and their ratio to local files, by processes or threads."""
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe()
    server = context.Process(target=serve, args=(folder, there), daemon=True)
    server.start()
    url = f"http://127.0.0.1:{here.recv()}"
    found: dict[str, list[float]] = {}
    taken: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory() as name:
        samples_per_s(folder, dataset, "", None, kind=kind)  # the disk's first reads
        for number in range(ROUNDS):
            cache = Path(name) / str(number)
            ways: dict[str, tuple[str, bool]] = {
                "local": ("", True), "cold": (url, True), "warm": (url, True), "one by one": (url, False)
            }  # fmt: skip
            for way, (address, is_ahead) in ways.items():
                at = Path(name) / f"other{number}" if way == "one by one" else cache
                rate_now, busy = samples_per_s(folder, dataset, address, at, kind=kind, is_ahead=is_ahead)
                found.setdefault(way, []).append(rate_now)
                taken.setdefault(way, []).append(busy)
    server.terminate()
    server.join()
    rate = {way: statistics.median(values) for way, values in found.items()}
    ratios = {way: [value / local for value, local in zip(found[way], found["local"], strict=True)] for way in found}
    shares = {f"{way} / local": round(statistics.median(values), 3) for way, values in ratios.items()}
    cpu = {f"{way}, cpu ms": round(statistics.median(values), 2) for way, values in taken.items()}
    return {**{way: round(value, 1) for way, value in rate.items()}, **shares, **cpu}


def pieces(shards: Path) -> dict[str, float]:
    """Bytes fetched per byte of data and epoch, after the first epoch, by what one entry of the cache is."""
    from sahmr.shards.reader import read_index

    entries = [(entry.sha256, entry.shard, entry.length) for entry in read_index(shards)]
    total = sum(length for _, _, length in entries)
    sizes = {shard: sum(length for _, each, length in entries if each == shard) for _, shard, _ in entries}
    by_digest = sorted(entries)
    kept = {name for at, (name, *_) in enumerate(by_digest) if sum(row[2] for row in by_digest[: at + 1]) <= total / 2}
    order, ranges, recent, whole = np.random.default_rng(0), 0, dict[str, None](), 0
    for epoch in range(EPOCHS):
        for number in order.permutation(len(entries)).tolist():
            sha256, shard, length = entries[number]
            ranges += length * (epoch > 0 and sha256 not in kept)
            whole += sizes[shard] * (epoch > 0 and shard not in recent)
            recent.pop(shard, None)
            recent[shard] = None
            while sum(sizes[name] for name in recent) > total / 2 and len(recent) > 1:
                del recent[next(iter(recent))]
    rest = (EPOCHS - 1) * total
    return {"ranges": round(ranges / rest, 2), "whole shards": round(whole / rest, 2), "shards": len(sizes)}


def main() -> None:
    """Print and record the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, default=Path("data"), help="that holds shards/ and scenes/")
    parser.add_argument("--dataset", default="rich")
    parser.add_argument("--pieces", action="store_true", help="only count what is fetched")
    parser.add_argument("--kinds", nargs="+", choices=("processes", "threads"), default=("processes", "threads"))
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    shards = args.folder / "shards" / args.dataset
    if not shards.is_dir():
        print(f"{shards}: no shards; run make repro first")
        return
    figures: dict[str, Any] = {"fetched_per_epoch": pieces(shards)}
    print(f"{'fetched':<12}{figures['fetched_per_epoch']}")
    for kind in () if args.pieces else args.kinds:
        name = "samples_per_s" if kind == "processes" else f"samples_per_s, {kind}"
        figures[name] = rates(args.folder, args.dataset, kind)
        print(f"{kind:<12}{figures[name]}", flush=True)
    record(args.out, "python -m tests.benchmarks.share", figures)


if __name__ == "__main__":
    main()
