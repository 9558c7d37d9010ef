"""Conditions on the index: what they mean, and that nothing else is ever understood."""

import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sahmr.errors import ShardError
from sahmr.shards.where import named_columns, parse_where, select_rows

TABLE = pa.table(
    {
        "key": ["a", "b", "c", "d"],
        "scene_key": pa.array(["Gym", "Gym", "BBQ", "Pool"]).dictionary_encode(),
        "length": [512, 1024, 512, 2048],
        "has_body": [True, True, False, True],
        "has_contact": pa.array([True, False, False, None]),
    }
)


@pytest.mark.parametrize(
    ("text", "rows"),
    [
        ("scene_key == 'Gym'", [0, 1]),
        ("scene_key == 'Gym' and has_contact", [0]),
        ("not has_contact", [1, 2]),  # null is not true
        ("scene_key in ('BBQ', \"Pool\") or key == 'a'", [0, 2, 3]),
        ("scene_key not in ['BBQ'] and has_body == true", [0, 1, 3]),
        ("512 < length <= 2048", [1, 3]),
        ("'b' <= key != 'd'", [1, 2]),
        ("not (length >= 1024 or has_body == False)", [0]),
        ("key == 'x'", []),
    ],
)
def test_conditions_mean_what_they_say(text: str, rows: list[int]) -> None:
    assert select_rows(TABLE, parse_where(text)).tolist() == rows


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("__import__('os').system('x')", "is not understood"),
        ("key.upper() == 'A'", "in a way that is not understood"),
        ("(lambda: has_body)()", "is not understood"),
        ("has_body if has_contact else has_body", "is not understood"),
        ("f'{key}' == key", "compared with a column of another kind"),
        ("key", "'key' is a column of texts or numbers"),
        ("True", "is not understood"),
        ("colour == 'red'", "'colour' is no column of the index; allowed: key, split"),
        ("split == 1", "expected a text in quotes"),
        ("length == '1'", "expected a whole number"),
        ("length == True", "expected a whole number"),
        ("has_body == 1", "expected true or false"),
        ("key == split", "write: column == value"),
        ("'a' == 'a'", "write: column == value"),
        ("key is 'a'", "write: column == value"),
        ("key in 'abc'", "write: column == value"),
        ("key ==", "cannot be read"),
        ("", "cannot be read"),
        ("key == 'a'\nsplit == 'b'", "cannot be read"),
        ("key == '\0'", "cannot be read"),
        ("(" * 900 + "has_body" + ")" * 900, "cannot be read"),
        ("not " * 490 + "key", "condition"),
        ("has_body and " * 300 + "has_body", "allowed at most 2000"),
        ("length == 99999999999999999999999", "cannot be read"),
    ],
)
def test_everything_else_is_refused_in_one_line(text: str, reason: str) -> None:
    with pytest.raises(ShardError) as found:
        parse_where(text)
    assert reason in str(found.value)
    assert "\n" not in str(found.value)


@settings(max_examples=60, deadline=None)
@given(st.text(max_size=40) | st.text("keysplithaby_ ='()<>!,01\"andornti", max_size=40))
def test_any_text_is_a_condition_or_an_error(text: str) -> None:
    try:
        assert isinstance(parse_where(text), pc.Expression)
    except ShardError as error:
        assert "\n" not in str(error)


def test_columns_of_a_condition_are_known() -> None:
    assert named_columns("has_contact and not scene_key in ('split',)") == ["has_contact", "scene_key"]
