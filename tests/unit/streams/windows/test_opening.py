"""Which windows are opened as time goes on: from the first data on all that it passes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from contracts.frames import Presence
from contracts.settings import IngestSettings
from contracts.units import SECOND
from streams.windows.collect import Receipt
from streams.windows.merge import FeatureMerger
from streams.windows.partials import PartialBuilder
from streams.windows.rows import UNIT
from tests.unit.streams.windows.support import T0, decoded
from tests.unit.streams.windows.test_merging import Bench, request, windows


def test_from_the_first_data_on_each_window_has_a_row() -> None:
    """Of data that came in one message, before time was told."""
    bench = Bench()
    for second in (0.5, 4.5, 5.9):
        bench.now = T0 + round(second * SECOND)
        bench.requests("a", second)
    bench.at(9.0)
    assert [w for w, _, _ in windows(bench.frames, "a")][:6] == [0, 1, 2, 3, 4, 5]
    rows = {(f.window_ns - T0) // SECOND: f for f in bench.frames if f.revision == 0}
    assert [bool(len(rows[n].presence)) for n in (0, 4)] == [False, False]
    assert all(rows[n].presence.tolist()[0] != Presence.OBSERVED for n in (1, 2, 3))


def test_what_a_sender_did_not_know_of_yet_is_nothing_beside_what_others_know() -> None:
    """As during an upgrade: frames of an earlier release lack columns, in whatever order they come."""
    builders = [PartialBuilder(f"otlp/{n}", IngestSettings(), 1) for n in range(3)]
    merger, frames = FeatureMerger("prod", "spans", IngestSettings()), []
    for n, builder in enumerate(builders):
        builder.add(
            decoded([request(f"s{n}", T0 + 500_000_000, error=n == 1) for _ in range(n + 1)]),
            Receipt(T0 + SECOND, T0 + SECOND),
            0,
        )
        frames += [f for _, _, f in builder.flush().partials if f.signal == "spans"]
    none = np.empty(0, np.int64)
    frames[0] = replace(frames[0], known=none, level=none, pace=none)
    for frame in frames:
        merger.add(frame, T0 + SECOND)
    merger.absorb()
    keys = [merger.entities.find((f"s{n}", "")) for n in range(3)]
    assert [merger.counted(key, T0 // SECOND) for key in keys] == [1, 2, 3]


def test_services_past_the_room_of_older_windows_are_served_there_too() -> None:
    bench = Bench()
    bench.requests("s0", 0.5)
    for n in range(1, 70):
        bench.requests(f"s{n}", 1.5)
    bench.now = T0 + 2 * SECOND
    bench.at(5.0)
    told = {s: f for f in bench.frames if f.revision == 0 and f.window_ns == T0 + SECOND for s in f.services}
    assert {f"s{n}" for n in range(1, 70)} == set(told)


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_spans_that_stand_for_more_and_others_that_do_not_may_be_merged_at_once(order: tuple[int, int]) -> None:
    merger, frames = FeatureMerger("prod", "spans", IngestSettings()), []
    for n in range(2):
        builder, message = (
            PartialBuilder(f"otlp/{n}", IngestSettings(), 1),
            decoded([request("cart", T0 + SECOND // 2)]),
        )
        assert message.spans is not None
        weight = np.array([10 * UNIT], np.int32)
        message = replace(message, spans=replace(message.spans, weight=weight)) if n else message
        builder.add(message, Receipt(T0 + SECOND, T0 + SECOND), 0)
        frames += [f for _, _, f in builder.flush().partials if f.signal == "spans"]
    for n in order:
        merger.add(frames[n], T0 + SECOND)
    found = [f for tick in range(2, 30) for f in merger.advance(T0 + tick * SECOND)]
    assert (found[0].values[0, 0], found[0].counts[0]) == (11.0, 2)


def test_rows_that_are_sent_are_counted_and_corrections_beside() -> None:
    bench = Bench()
    for second in range(6):
        bench.at(second + 0.5)
        bench.requests("a", second + 0.5)
        bench.requests("b", second + 0.5)
    bench.requests("a", 2.7)
    bench.at(9)
    rows = sum(len(f.services) for f in bench.frames)
    assert (bench.merger.counters["rows"], bench.merger.counters["corrected"]) == (rows, 1)
    assert sum(len(f.services) for f in bench.frames if f.revision) == 1


def test_callers_are_those_of_the_last_five_minutes() -> None:
    bench = Bench()
    for second in range(4):
        bench.at(second + 0.5)
        bench.requests("a", second + 0.5)
        if second < 2:
            bench.requests("b", second + 0.5)
    first = T0 // SECOND
    found = [bench.merger.callers(first + window) for window in (0, 1, 4, 301, 302, 303, 304)]
    both, a = frozenset({"a", "b"}), frozenset({"a"})
    assert found == [frozenset(), both, both, both, a, a, frozenset()]
