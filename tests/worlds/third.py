"""A third dataset, as a user would add one: a reader of its own; here RICH's layout under another name."""

from dataclasses import dataclass, field

from sahmr.datasets import DatasetCard
from sahmr.readers.rich import RichReader


@dataclass(frozen=True, slots=True, kw_only=True)
class ThirdReader(RichReader):
    dataset: str = field(default="third", init=False)


CARD = DatasetCard(
    name="third",
    title="Third",
    reader="tests.worlds.third:ThirdReader",
    rules="sahmr.readers.rich_listing:RichRules",
    licence_notice="free of licences",
    splits=("train",),
    is_mirrored=True,
)
