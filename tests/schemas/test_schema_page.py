"""The page of formats is what the schemas say."""

from catalog.schema_page import PAGE, render
from tests.imports import ROOT


def test_the_page_is_as_the_schemas_are() -> None:
    assert (ROOT / PAGE).read_text() == render(), "write it with: python -m catalog.schema_page"


def test_rows_by_hand() -> None:
    lines = render().splitlines()
    assert "| `person_box` | float64[4] | px | full image |  | left top right bottom, not clipped |" in lines
    assert any(line.startswith("| `vertices.npy` | float32[6890][3] | m | world | may be absent |") for line in lines)
    assert any(line.startswith("| `sdf` | float32[n][n][n] | m | world |  | signed distance") for line in lines)
    assert any(line.startswith("| `files` | object of {bytes: int64, sha256: string} |") for line in lines)
