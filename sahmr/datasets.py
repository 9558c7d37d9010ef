"""One card per dataset: the only place that spells their names. ``raw`` in params.yaml chooses which are used."""

from __future__ import annotations

from dataclasses import dataclass

from sahmr.errors import SettingsError


@dataclass(frozen=True, slots=True, kw_only=True)
class DatasetCard:
    """What the code has to know of a dataset beside its files.

    Attributes:
        name: as in ``raw`` of params.yaml, in file names and stage names.
        title: as its publishers write it.
        reader, rules: ``module:class`` of its reader and of its group of section ``frames``; named and not imported,
            so that nothing that reads finished shards depends on them (:mod:`sahmr.readers.registry` imports them).
        prepared: ``module:class`` of the reader of the folder that the authors of SA-HMR prepared, where they did; a
            tree is of that layout if the class ``recognises`` it.
        licence_notice: what every shard and store made from it says of itself.
        splits: that its reader may give.
        ignored_parts: contact part ids that its labels never mean; the reference leaves the hands out on PROX.
        is_mirrored: its image files are mirror images.
        is_own: a folder of a user's own: scans of any format and unit, and point clouds.
        rough_up: the axis of its scans' frames that is within 45 degrees of up, length 1; :mod:`sahmr.scenes.upright`
            finds the rest in a scan. RICH's frame is the first camera's (y down), PROX's scans stand upright. None:
            that of each photograph, as people take them upright.
    """

    name: str
    title: str
    reader: str
    rules: str
    licence_notice: str
    splits: tuple[str, ...]
    prepared: str | None = None
    ignored_parts: tuple[int, ...] = ()
    is_mirrored: bool = False
    is_own: bool = False
    rough_up: tuple[float, float, float] | None = (0.0, 0.0, 1.0)


CARDS = {
    card.name: card
    for card in (
        DatasetCard(
            name="rich",
            title="RICH",
            reader="sahmr.readers.rich:RichReader",
            rules="sahmr.readers.rich_listing:RichRules",
            licence_notice="derived from RICH; research use only, redistribution forbidden by the RICH licence",
            splits=("train", "val", "test"),
            prepared="sahmr.readers.rich_prepared:RichPreparedReader",
            rough_up=(0.0, -1.0, 0.0),
        ),
        DatasetCard(
            name="prox",
            title="PROX",
            reader="sahmr.readers.prox:ProxReader",
            rules="sahmr.readers.prox:ProxRules",
            licence_notice="derived from PROX; research use only, redistribution forbidden by the PROX licence",
            splits=("train", "test"),
            prepared="sahmr.readers.prox_prepared:ProxPreparedReader",
            ignored_parts=(3, 4),
            is_mirrored=True,
        ),
        DatasetCard(
            name="own",
            title="Own scenes",
            reader="sahmr.readers.own:OwnReader",
            rules="sahmr.readers.own:OwnRules",
            licence_notice="made from a user's own scans and photographs; they say who may see them",
            splits=("train", "val", "test"),
            is_own=True,
            rough_up=None,
        ),
    )
}


def find_card(name: str) -> DatasetCard:
    """The card of a dataset.

    Raises:
        SettingsError: if there is none of this name.
    """
    if name not in CARDS:
        raise SettingsError(f"dataset '{name}' is unknown; allowed: {', '.join(sorted(CARDS))}")
    return CARDS[name]
