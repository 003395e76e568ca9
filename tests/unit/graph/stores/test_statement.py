"""Named texts: headers, and rows on their way into them."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.errors import InvalidQuery, UnknownName
from contracts.verdicts import AnomalyPhase
from graph.cypher import names, statement, text
from graph.cypher.statement import parse

HEADER = "// row: k_key text, n int, x float, b bool, l texts\n// unique: k_key\nUNWIND $rows AS r RETURN r; RETURN 2"


def test_every_text_is_a_question_or_a_write_with_a_unique_key() -> None:
    for name in names():
        found = statement(name)
        writes = any("UNWIND $rows" in part for part in found.parts)
        assert writes == bool(found.columns) == bool(found.unique), name
        if not writes:
            assert text(name) == found.parts[0]


def test_rows_get_all_columns_typed_and_in_order() -> None:
    found = parse("t", HEADER)
    assert len(found.parts) == 2
    rows = found.bind(
        [{"n": np.int64(7), "k_key": "e|ns/a|b", "x": 1, "l": ("a", AnomalyPhase.OPENED)}, {"k_key": "bare"}]
    )
    assert rows == [
        {
            "k_key": "e|ns/a|b",
            "k_environment": "e",
            "k_service": "ns/a|b",
            "n": 7,
            "x": 1.0,
            "b": False,
            "l": ["a", "opened"],
        },
        {"k_key": "bare", "k_environment": "", "k_service": "bare", "n": 0, "x": 0.0, "b": False, "l": []},
    ]
    assert [type(v) for v in rows[0].values()] == [type(v) for v in rows[1].values()]
    assert type(rows[0]["l"][1]) is str


@pytest.mark.parametrize(
    "row",
    [
        {"n": True},
        {"n": 1.5},
        {"n": 2**63},
        {"x": float("nan")},
        {"x": float("inf")},
        {"x": "1"},
        {"b": 1},
        {"l": "abc"},
        {"l": [1]},
        {"k_key": 5},
        {"k_key": None},
    ],
)
def test_wrong_values_are_refused_by_name(row: dict[str, object]) -> None:
    with pytest.raises(InvalidQuery, match=next(iter(row))):
        parse("t", HEADER).bind([{"k_key": "a"} | row])


def test_unknown_names() -> None:
    with pytest.raises(UnknownName, match="did you mean 'k_key'"):
        parse("t", HEADER).bind([{"key": "a"}])
    with pytest.raises(UnknownName, match="did you mean 'upsert_calls'"):
        statement("upsert_call")
    with pytest.raises(UnknownName, match="type of column a"):
        parse("t", "// row: a number\nRETURN 1")
    with pytest.raises(UnknownName, match="column of t"):
        parse("t", "// row: a text\n// unique: b\nRETURN 1")


@given(st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 9))))
def test_rounds_keep_the_order_of_rows_about_one_thing(pairs: list[tuple[str, int]]) -> None:
    found = parse("t", "// row: k text, n int\n// unique: k\nRETURN 1")
    batches = found.rounds(found.bind([{"k": k, "n": n} for k, n in pairs]))
    assert all(len({row["k"] for row in batch}) == len(batch) for batch in batches)
    for key in "abc":
        assert [row["n"] for batch in batches for row in batch if row["k"] == key] == [n for k, n in pairs if k == key]
