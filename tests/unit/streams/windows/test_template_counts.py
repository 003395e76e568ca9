"""How often templates came: summed over sources, the most frequent told, texts once, the same after a restart."""

from __future__ import annotations

from collections import Counter

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from contracts.frames import FeatureFrame
from contracts.units import MILLISECOND
from streams.windows.template_counts import AGAIN, MOST_TOLD, TemplateCounts
from streams.windows.templates import TemplateBook
from tests.unit.streams.windows.support import T0, logs
from tests.unit.streams.windows.test_merging import Bench


def told(frame: FeatureFrame) -> dict[tuple[str, str], int]:
    rows = zip(frame.template_row.tolist(), frame.template_text, frame.template_count.tolist(), strict=True)
    return {(frame.services[row], text): count for row, text, count in rows}


def test_records_that_are_no_errors_are_counted_by_template_and_service() -> None:
    bench = Bench("logs")
    at = T0 + 300 * MILLISECOND
    rows = [
        ("a", at, 9, "stored"),
        ("a", at, 9, "stored"),
        ("b", at, 9, "stored"),
        ("b", at, 13, "slow"),
        ("b", at, 17, "lost"),
    ]
    bench.send(logs(rows))
    bench.at(6)
    [frame] = [f for f in bench.frames if f.window_ns == T0]
    assert told(frame) == {("a", "stored"): 2, ("b", "stored"): 1, ("b", "slow"): 1}


def test_a_text_is_told_once_for_a_while() -> None:
    book, counts = TemplateBook(), TemplateCounts()
    book.tell(7, "stored")
    texts = []
    for window in (1, 2, AGAIN + 1):
        counts.add(window, 0, 7, 3)
        texts.append(counts.columns(window, [0], book)["template_text"])
    assert texts == [("stored",), ("",), ("stored",)]


def test_of_many_templates_the_most_frequent_are_told() -> None:
    book, counts = TemplateBook(), TemplateCounts()
    for template in range(3 * MOST_TOLD):
        counts.add(1, 0, template, 1 + template)
    found = counts.columns(1, [0], book)
    assert found["template_hash"].tolist() == list(range(2 * MOST_TOLD, 3 * MOST_TOLD))


def test_windows_that_are_closed_and_services_that_left_are_forgotten() -> None:
    book, counts = TemplateBook(), TemplateCounts()
    for window in (1, 2):
        for entity in (0, 1):
            counts.add(window, entity, 7, 1)
    counts.close(1)
    counts.forget(1)
    assert counts.columns(1, [0, 1], book) == {}
    assert counts.columns(2, [0, 1], book)["template_row"].tolist() == [0]


def test_a_restart_goes_on_the_same() -> None:
    book, counts, again = TemplateBook(), TemplateCounts(), TemplateCounts()
    counts.add(1, 0, 7, 1)
    counts.columns(1, [0], book)
    counts.add(2, 0, 7, 4)
    again.load(counts.state())
    one, other = (c.columns(2, [0], book) for c in (counts, again))
    assert one.keys() == other.keys()
    assert all(np.array_equal(one[k], other[k]) for k in one)
    assert one["template_text"] == ("",)


def test_the_text_is_told_again_after_exactly_so_many_windows_and_of_the_first_window_at_once() -> None:
    book, counts = TemplateBook(), TemplateCounts()
    book.tell(7, "stored")
    texts = []
    for window in (0, AGAIN - 1, AGAIN):
        counts.add(window, 3, 7, 1)
        texts += counts.columns(window, [3], book)["template_text"]
    assert texts == ["stored", "", "stored"]


def test_a_service_that_takes_the_number_of_another_is_told_with_its_texts() -> None:
    book, counts = TemplateBook(), TemplateCounts()
    book.tell(7, "stored")
    for entity in (1, 2):
        counts.add(1, entity, 7, 1)
    counts.columns(1, [1, 2], book)
    counts.forget(1)
    counts.forget(5)
    for entity in (1, 2):
        counts.add(2, entity, 7, 1)
    assert counts.columns(2, [1, 2], book)["template_text"] == ("stored", "")


def test_what_was_told_long_ago_is_not_remembered() -> None:
    book, counts = TemplateBook(), TemplateCounts()
    for window in (0, 1):
        counts.add(window, 3, 10 + window, 1)
        counts.columns(window, [3], book)
    for window in range(AGAIN):
        counts.close(window)
    assert counts.state()["told"] == [[3, [(10, 0), (11, 1)]]]
    counts.close(AGAIN)
    assert counts.state() == {"open": [], "told": [[3, [(11, 1)]]]}


def test_a_snapshot_of_before_there_were_counts_has_none() -> None:
    counts = TemplateCounts()
    counts.add(1, 0, 7, 2)
    counts.load({})
    assert counts.state() == {"open": [], "told": []}


LOGGED = st.tuples(st.integers(0, 2), st.integers(0, 3), st.integers(0, MOST_TOLD + 8), st.integers(0, 3))


@given(st.lists(LOGGED, max_size=120), st.permutations(range(4)))
def test_counts_are_those_of_a_plain_table(logged: list[tuple[int, int, int, int]], order: list[int]) -> None:
    """The most frequent of each service, of as frequent ones the lower hashes, in the order of the rows and of hashes."""
    book, counts, model = TemplateBook(), TemplateCounts(), Counter[tuple[int, int, int]]()
    for window, entity, template, count in logged:
        counts.add(window, entity, template, count)
        model[window, entity, template] += count
        again = TemplateCounts()
        again.load(counts.state())
        counts = again
    for window in range(3):
        expected = []
        for row, entity in enumerate(order):
            mine = {t: n for (w, e, t), n in model.items() if (w, e) == (window, entity) and n}
            kept = sorted(mine, key=lambda t: (-mine[t], t))[:MOST_TOLD]
            expected += [(row, t, mine[t]) for t in sorted(kept)]
        found = counts.columns(window, order, book)
        parts = [found[f"template_{name}"].tolist() for name in ("row", "hash", "count")] if found else [[], [], []]
        assert list(zip(*parts, strict=True)) == expected
        assert len(found.get("template_text", ())) == len(expected)


def test_columns_have_the_types_of_frames() -> None:
    counts = TemplateCounts()
    counts.add(1, 0, 2**64 - 1, 2)
    found = counts.columns(1, [0], TemplateBook())
    assert {k: v.dtype for k, v in found.items() if k != "template_text"} == {
        "template_row": np.int32,
        "template_hash": np.uint64,
        "template_count": np.int64,
    }
    assert found["template_text"] == ("template ffffffffffffffff",)


def test_a_window_that_was_told_of_a_new_template_is_corrected_where_it_came_earlier() -> None:
    bench = Bench("logs")
    for second in range(61, 70):
        bench.at(second + 0.5)
        bench.send(logs([("a", bench.now, 9, "known"), ("b", bench.now, 9, "known")]))
    for second in range(140, 143):
        bench.at(second + 0.5)
        lines = [("a", bench.now, 9, "known"), ("b", bench.now, 9, "known")]
        bench.send(logs([*lines, ("b", bench.now, 9, "fresh")] if second == 142 else lines))
    bench.at(146)
    before = len(bench.frames)
    bench.send(logs([("b", T0 + 141 * 1000 * MILLISECOND, 9, "fresh")]))
    bench.at(148)
    told = {(f.window_ns - T0) // (1000 * MILLISECOND): f for f in bench.frames[before:] if f.revision}
    assert sorted(told) == [141, 142]
    assert {w: f.services for w, f in told.items()} == {141: ("b",), 142: ("b",)}
    assert [told[w].notes for w in (141, 142)] == [("fresh",), ("",)]
