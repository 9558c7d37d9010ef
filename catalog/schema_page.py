"""The page of all formats, ``docs/schemas.md``, out of the schemas themselves: ``python -m catalog.schema_page``."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa

from catalog.artifacts import CATALOG_SCHEMA
from sahmr.files import publish_text
from schemas.fields import PURE_NUMBERS
from schemas.registry import STORED, TABLE, Stored

PAGE = Path("docs/schemas.md")
ALL = (
    *STORED,
    Stored(
        schema=CATALOG_SCHEMA,
        kind=TABLE,
        where=("data/catalog/catalog.parquet",),
        what="What the pipeline has made, one artifact per row.",
    ),
)
_OPENING = """# Formats

Made by `python -m catalog.schema_page` from the modules of `schemas/`; do not edit. Folders are those that section
`paths` of `params.yaml` has by default.

Every table and file says its schema's version (`major.minor`): an older minor version is read, a newer one and another
major one are refused with the command that writes the file again. Writers refuse what its schema does not say: a field
too many or too few, another type or length, a lost unit or frame, a null where none may be, a number that is not
finite.

Frames: *world* (metres, axes of the scan), *camera* (metres; x right, y down, z forward), *full image* (pixels of the
image as published, un-mirrored), *stored region* (pixels of the picture in a shard). Matrices are row-major.
"""


def render() -> str:
    """The page as Markdown: contents, then a section per schema."""
    contents = [f"* [{each.name}](#{each.name}): {each.what}" for each in ALL]
    return "\n".join([_OPENING, *contents, *(line for each in ALL for line in _section(each))]) + "\n"


def _section(stored: Stored) -> Iterator[str]:
    places = ", ".join(f"`{place}`" for place in stored.where)
    commands = ", ".join(f"`dvc repro {stage}`" for stage in stored.stages)
    yield from ("", f"## {stored.name}", "", stored.what, "")
    yield f"{stored.kind} {places}; version {stored.version}; written by {commands}."
    yield from ("", "| field | type | unit | frame | null | meaning |", "|---|---|---|---|---|---|")
    for field in stored.schema:
        meta = {key.decode(): text.decode() for key, text in (field.metadata or {}).items()}
        missing = "may be absent" if "absent" in meta else "yes" if field.nullable else ""
        meaning = meta.get("note", "").replace("|", "\\|")
        if "since" in meta:
            meaning += f" (since {meta['since']}; before: {meta['default']})"
        cells = (f"`{field.name}`", _type(field.type), _unit(field, meta), meta.get("frame", ""), missing, meaning)
        yield "| " + " | ".join(cell.strip() for cell in cells) + " |"


def _unit(field: pa.Field, meta: dict[str, str]) -> str:
    """As stated; 1 for floats that are pure numbers."""
    return meta.get("unit", "1" if field.name.endswith(PURE_NUMBERS) else "")


def _type(kind: pa.DataType) -> str:
    """As people write it: ``float64[9]``, ``float32[n][3]``, ``object of int64``."""
    if pa.types.is_map(kind):
        return f"object of {_type(kind.item_type)}"
    if pa.types.is_struct(kind):
        inner = [kind.field(place) for place in range(kind.num_fields)]
        return "{" + ", ".join(f"{field.name}: {_type(field.type)}" for field in inner) + "}"
    lengths = ""
    while pa.types.is_list(kind) or pa.types.is_fixed_size_list(kind):
        lengths += f"[{kind.list_size if pa.types.is_fixed_size_list(kind) else 'n'}]"
        kind = kind.value_type
    return {"double": "float64", "float": "float32"}.get(str(kind), str(kind)) + lengths


def main() -> None:
    """Write the page."""
    publish_text(PAGE, render())


if __name__ == "__main__":
    main()
