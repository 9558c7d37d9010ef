"""Where trainings, predictions and scores read shards and scenes: the stages' own outputs, or a team's share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from sahmr.cache import Cache, default_folder
from sahmr.files import MANIFEST_NAME
from sahmr.published import find_part
from sahmr.remote import Place, Reach
from sahmr.repository import is_repository, wrong_with
from sahmr.settings import AnyPath, Between, Paths, Text, refuse, settings


@settings
class Share:
    """Section ``share`` of params.yaml. What a server sends is compared with its digest, so no stage tracks it.

    Attributes:
        shards: in place of ``paths.shards``: a folder, an address that fsspec knows, or
            ``dvc+REPOSITORY@REVISION#FOLDER``; None: ``paths.shards``.
        scenes: the same for ``paths.scenes``.
        cache: folder of what was fetched; None: :func:`sahmr.cache.default_folder`.
        cache_gb: of 10^9 bytes; 0 keeps nothing.
        connections: requests at a time, of each process.
        patience_s: how long a server that does not answer is asked again.
    """

    shards: Text | None = None
    scenes: Text | None = None
    cache: AnyPath | None = None
    cache_gb: Annotated[float, Between(0, 1_000_000)] = 20.0
    connections: Annotated[int, Between(1, 256)] = 16
    patience_s: Annotated[float, Between(0, 86_400)] = 60.0

    def __post_init__(self) -> None:
        """Addresses are whole."""
        for key in ("shards", "scenes"):
            address = getattr(self, key)
            if address is not None and (allowed := _wrong_with(address)):
                refuse(key, address, allowed)

    def reach(self) -> Reach:
        """How servers are asked."""
        cache = Cache(self.cache or default_folder(), int(self.cache_gb * 1e9)) if self.cache_gb else None
        return Reach(cache=cache, patience_s=self.patience_s, connections=self.connections)


def _wrong_with(address: str) -> str:
    """What is allowed in place of an address; empty: it may be one."""
    if is_repository(address):
        return wrong_with(address)
    if address != address.strip() or address.startswith("~") or "$" in address:
        return "a folder written out, an address such as https://server/shards, or dvc+REPOSITORY@REVISION#FOLDER"
    return ""


LOCAL = Share()  # the stages' own outputs


def find_places(share: Share, paths: Paths, dataset: str) -> tuple[Place, Place]:
    """Shard folder and scene store of a data set.

    A folder is read as it is; ``file://`` before it makes it an address: then it is cached, as slow mounts should be.

    Raises:
        RemoteError: if a share cannot be reached, or has no such data set.
    """
    shards: Place = paths.shards / dataset
    scenes: Place = paths.scenes / f"{dataset}.zarr"
    if share.shards is not None:
        shards = _folder(share, share.shards, f"{dataset}/{MANIFEST_NAME}", "shards", dataset) / dataset
    if share.scenes is not None:
        scenes = _folder(share, share.scenes, f"{dataset}.manifest.json", "scenes", dataset) / f"{dataset}.zarr"
    return shards, scenes


def _folder(share: Share, address: str, manifest: str, stage: str, dataset: str) -> Place:
    """What an address names."""
    if "://" not in address and not is_repository(address):
        return Path(address)
    return find_part(address, manifest, stage=stage, dataset=dataset, reach=share.reach())
