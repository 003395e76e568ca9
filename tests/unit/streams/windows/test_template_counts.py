"""How often templates came: summed over sources, the most frequent told, texts once, the same after a restart."""

from __future__ import annotations

import numpy as np

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
