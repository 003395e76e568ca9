"""Rows as one text: what may be packed is, and what may not goes as it is."""

from hypothesis import given
from hypothesis import strategies as st

from graph.cypher import names, statement
from graph.stores.packing import CELL, HEAD, ROW, packed, packed_parts, parameters

CALL = {"caller_key": "e|a", "callee_key": "e|b", "valid_from": 1, "last_seen": 2, "source": "spans", "confidence": 0.5}


def test_every_write_begins_as_the_packer_expects() -> None:
    writes = [statement(name) for name in names() if statement(name).columns]
    assert len(writes) > 5
    for write in writes:
        assert all(part.count(HEAD) == 1 for part in write.parts), write.name


def test_columns_keep_their_place_and_type() -> None:
    write = statement("upsert_calls")
    (part,), text = parameters(write, write.bind([CALL]))
    cells = dict(zip(write.bound_columns, text.split(CELL), strict=True))
    assert cells["callee_key"] == "e|b"
    assert cells["callee_environment"] == "e"
    assert cells["valid_to"] == "0"
    assert "caller_key: v[0]" in part
    assert "confidence: toFloat(v[12])" in part


def test_lists_and_separators_go_unpacked() -> None:
    causes, services = statement("upsert_causes"), statement("upsert_services")
    assert packed_parts(causes) is None
    for sign in (ROW, CELL):
        rows = services.bind([{"key": f"e|a{sign}b"}])
        assert parameters(services, rows) == (services.parts, rows)


@given(st.lists(st.lists(st.text(), min_size=2, max_size=2), min_size=1))
def test_what_is_packed_comes_apart_again(rows: list[list[str]]) -> None:
    text = packed([dict(enumerate(row)) for row in rows])  # type: ignore[misc]
    if any(sign in cell for sign in (ROW, CELL) for row in rows for cell in row):
        assert text is None or [line.split(CELL) for line in text.split(ROW)] == rows
    else:
        assert text is not None
        assert [line.split(CELL) for line in text.split(ROW)] == rows
