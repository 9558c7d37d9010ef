"""The hand-written entry of each dataset, ``catalog/entries/<name>.yaml``: what no program can find out by itself."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from sahmr.errors import SettingsError
from sahmr.params_file import read_yaml
from sahmr.settings import Listed, Paragraph, Text, check_mapping, refuse, settings

FOLDER = Path(__file__).parent / "entries"

Use = Literal[
    "any-use",
    "non-commercial-research",
    "non-commercial-education",
    "non-commercial-art",
    "commercial-use",
    "redistribution",
    "military-use",
    "surveillance",
    "pornography",
    "defamation",
    "training-for-forbidden-uses",
    "reverse-engineering",
]


@settings
class Licence:
    """What binds the data, and everything made from it.

    Attributes:
        name, url: as the publisher calls it, and where its text stands.
        spdx: identifier, for a licence that has one.
        notice: what every copy says of itself.
        permits, forbids: uses it names; no use is in both.
        basis: from where we know it; the text at ``url`` decides.
    """

    name: Text
    url: Text
    spdx: Text | None
    notice: Paragraph
    permits: Annotated[tuple[Use, ...], Listed(least=1)]
    forbids: Annotated[tuple[Use, ...], Listed()]
    basis: Paragraph

    def __post_init__(self) -> None:
        """No use is both permitted and forbidden."""
        for use in self.permits:
            if use in self.forbids:
                refuse("forbids", use, f"uses that are not also in permits, where {use} stands")

    @property
    def may_be_shared(self) -> bool:
        """Whether the data may go where others than the licensee can read it."""
        return "redistribution" in self.permits


@settings
class Citation:
    """How to cite it: one line for people, one record for BibTeX."""

    text: Paragraph
    bibtex: Paragraph
    url: Text


@settings
class Contact:
    """Whom to ask: a name, and a mail address or a page where there is one."""

    name: Text
    email: Text | None
    url: Text | None


@settings
class Quirk:
    """A property of the data that surprises people.

    Attributes:
        text: what, and what the pipeline does about it.
        count: SQL whose single number says how often, over this dataset's own tables, named as their schemas
            (``frame``, ``scene``, ``shard_index``, ``metric``, ...); null: nothing to count.
    """

    text: Paragraph
    count: Paragraph | None


@settings
class Responsible:
    """What a careful reader asks before using pictures of people; the fields of Croissant's RAI vocabulary.

    Attributes:
        collection: how the data came to be.
        collection_type: kinds of collection, in Croissant's words.
        annotation: who or what made the labels.
        preprocessing: what was done before the data reaches a reader of the shards.
        personal: personal or sensitive information in it.
        biases, limitations: known ones.
        use_cases: what it is good for, and what it was checked for.
        social_impact: what it can do to people.
        maintenance: who looks after it, and how a new version comes.
    """

    collection: Paragraph
    collection_type: Annotated[tuple[Text, ...], Listed(least=1)]
    annotation: Paragraph
    preprocessing: Paragraph
    personal: Paragraph
    biases: Paragraph
    limitations: Paragraph
    use_cases: Paragraph
    social_impact: Paragraph
    maintenance: Paragraph


@settings
class Entry:
    """A dataset as its reviewed YAML file describes it.

    Attributes:
        name: that of the file.
        title: as the publisher writes it.
        raw: key of params.yaml that says where the publisher's tree lies: ``raw.rich``, ``bodies.raw``.
        made_by: stage that makes that tree; null: people download it.
        twin_of: entry whose layout this one imitates; null: it is an original.
        description: one paragraph.
        keywords: for search.
        publisher, source, published: who published it, where, and when (a year or a date, ISO 8601).
        citation, licence: how to cite it, what binds it.
        owner: who answers for our conversion.
        contact: who answers for the data.
        status, superseded_by: whether new work should use it; the entry that replaces it.
        quirks: known ones.
        responsible: where the data comes from and what it does to people.
    """

    name: Text
    title: Text
    raw: Text
    made_by: Text | None
    twin_of: Text | None
    description: Paragraph
    keywords: Annotated[tuple[Text, ...], Listed(least=1)]
    publisher: Text
    source: Text
    published: Text
    citation: Citation
    licence: Licence
    owner: Text
    contact: Contact
    status: Literal["active", "deprecated", "superseded"]
    superseded_by: Text | None
    quirks: Annotated[tuple[Quirk, ...], Listed()]
    responsible: Responsible

    def __post_init__(self) -> None:
        """A superseded dataset names its successor, no other does."""
        if (self.status == "superseded") != (self.superseded_by is not None):
            refuse("superseded_by", self.superseded_by, "an entry's name where status is superseded, else null")

    @property
    def is_private(self) -> bool:
        """Whether its bytes must stay with the licensee."""
        return not self.licence.may_be_shared


def read_entry(path: Path) -> Entry:
    """One entry.

    Raises:
        SettingsError: if the file is missing, has an unknown, missing or impossible value, or another entry's name.
    """
    entry: Entry = check_mapping(read_yaml(path), Entry, path)
    if entry.name != path.stem:
        raise SettingsError(
            f"{path}: name: found {entry.name!r}, allowed {path.stem!r}, the file's own; edit the value"
        )
    return entry


def read_entries(folder: Path = FOLDER) -> dict[str, Entry]:
    """All entries by name, sorted.

    Raises:
        SettingsError: as :func:`read_entry`, or if an entry refers to one that is not there.
    """
    entries = {path.stem: read_entry(path) for path in sorted(folder.glob("*.yaml"))}
    for name, entry in entries.items():
        for key in ("twin_of", "superseded_by"):
            other = getattr(entry, key)
            if other is not None and (other not in entries or other == name):
                raise SettingsError(
                    f"{folder / name}.yaml: {key}: found {other!r}, allowed another entry: "
                    f"{', '.join(sorted(set(entries) - {name}))}; edit the value"
                )
    return entries


def choose_entry(entries: dict[str, Entry], raw: str, made_by: str | None) -> Entry:
    """The entry of the tree that a key of params.yaml leads to.

    Args:
        entries: all.
        raw: the key: ``raw.rich``.
        made_by: the stage whose output lies there; None: nobody's.

    Raises:
        SettingsError: if there is none, or more than one.
    """
    found = [entry for entry in entries.values() if (entry.raw, entry.made_by) == (raw, made_by)]
    if len(found) != 1:
        whose = f"made by stage {made_by}" if made_by else "made by no stage"
        raise SettingsError(
            f"{FOLDER}: found {len(found)} entries for {raw}, {whose}, allowed one; write catalog/entries/<name>.yaml"
        )
    return found[0]
