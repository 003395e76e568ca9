"""When rows are looked at again, what a merger that was away makes of the first data, who left, and what else rows teach."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from contracts.features import Signal
from contracts.frames import Presence
from contracts.settings import IngestSettings
from contracts.units import SECOND
from streams.windows.entities import Entities
from streams.windows.merge import FeatureMerger, _presence
from streams.windows.rows import Origin
from streams.windows.rows import frame as partial
from streams.windows.sequence import NEW_LOG_GAP
from tests.unit.streams.windows.support import MS, T0, decoded
from tests.unit.streams.windows.test_merging import SETTINGS, Bench, request, steady, windows

FIRST = T0 // SECOND


def test_a_row_that_waits_is_looked_at_again_after_a_fifth_of_a_second() -> None:
    bench = Bench()
    steady(bench, "busy", range(8))
    bench.requests("dies", 7.6)
    for s in range(8, 11):
        bench.at(s + 0.5)
        bench.requests("busy", s + 0.5)
    waiting = [w for w in bench.merger._open.by_number.values() if len(w.waits)]
    assert waiting
    seen = {w.due_ns - bench.merger.watermarks.merged for w in waiting}
    assert max(seen) <= 200 * MS
    window = waiting[0]
    at = window.due_ns
    bench.merger._open.by_number = {window.index: window}
    held = np.zeros(bench.merger.entities.capacity, np.bool_)
    bench.merger._emit(window, at, held)
    assert window.due_ns == at + 200 * MS
    assert held.any()


class Away:
    """A merger that has seen ten seconds of two services, was saved, and goes on in another process after some time."""

    def __init__(self, away_s: int) -> None:
        bench = Bench()
        for s in range(10):
            bench.at(s + 0.5)
            bench.send(decoded([request(name, T0 + s * SECOND + 500 * MS) for name in ("cart", "web")]))
        bench.at(12.5)
        self.was = bench.merger
        self.merger = FeatureMerger("prod", "spans", SETTINGS)
        self.merger.restore(bench.merger.snapshot())
        self.now = bench.now + away_s * SECOND
        self.source, known = next(iter(self.merger.watermarks.sources.items()))
        self.sequence = known.sequence

    def take(self, *, gap: int, second: int) -> None:
        """The first data: rows of a second."""
        bench, message = Bench(), decoded([request("cart", T0 + second * SECOND + 500 * MS)])
        bench.now = self.now
        bench.builders[0].add(message, bench.received(message), 0)
        frame = next(f for _, _, f in bench.builders[0].flush().partials if f.signal == "spans" and len(f.window_ns))
        self.merger.add(replace(frame, source=self.source, sequence=self.sequence + gap), self.now)


@pytest.mark.parametrize(("gap", "frontier"), [(1, None), (NEW_LOG_GAP - 1, None), (NEW_LOG_GAP, 29)])
def test_what_was_sent_to_a_log_that_is_lost_was_no_silence(gap: int, frontier: int | None) -> None:
    away = Away(20)
    before = away.merger._open.frontier
    away.take(gap=gap, second=30)
    assert away.merger._open.frontier == (before if frontier is None else FIRST + frontier)
    away.take(gap=gap + 2 * NEW_LOG_GAP, second=35)
    assert away.merger._open.frontier == (before if frontier is None else FIRST + frontier), (
        "only the first data say so"
    )


def test_a_merger_that_was_not_away_takes_no_gap_for_one() -> None:
    away = Away(0)
    away.merger = away.was
    before = away.merger._open.frontier
    away.take(gap=NEW_LOG_GAP, second=13)
    assert away.merger._open.frontier == before


def test_who_was_not_there_says_nothing_of_silence_until_something_comes() -> None:
    away = Away(20)
    told = []
    for n in range(50):
        told += away.merger.advance(away.now + n * 100 * MS)
    assert told == [], "who is silent can't be told yet"
    assert away.merger._restored_ns >= 0
    away.now += 5 * SECOND
    away.take(gap=1, second=35)
    assert away.merger._restored_ns == -1
    for n in range(50):
        told += away.merger.advance(away.now + n * 100 * MS)
    assert {f.window_ns // SECOND - FIRST for f in told} == {35, 36}


def test_who_leaves_is_told_by_the_name_of_the_service() -> None:
    """Of a pair that of who calls."""
    for signal, key, name in (("spans", "cart", "cart"), ("edges", "cart", "cart")):
        merger = FeatureMerger("prod", signal, IngestSettings(max_services=2))
        entities: Entities = merger.entities
        entities.most = 4
        for n in range(4):
            entities.number((f"{key}{n}", "" if signal == "spans" else f"peer{n}"))
            entities.seen(np.array([n]), n)
        merger._close(10**15)
        assert merger.left
        assert set(merger.left) <= {f"{name}{n}" for n in range(4)}
        assert merger.counters["service_left"] == len(merger.left)
        merger.advance(T0)
        assert merger.left == []


@pytest.mark.parametrize(
    ("have", "missing", "said"),
    [
        ([True, True], [False, False], []),
        ([True, False], [False, False], [Presence.OBSERVED, Presence.QUIET]),
        ([True, False], [True, True], [Presence.OBSERVED, Presence.MISSING]),
        ([False, False], [True, False], [Presence.MISSING, Presence.QUIET]),
    ],
)
def test_a_row_is_observed_quiet_or_missing(have: list[bool], missing: list[bool], said: list[Presence]) -> None:
    found = _presence(np.array(have), np.array(missing))
    assert (found.tolist(), found.dtype) == ([int(p) for p in said], np.int8)


def test_mergers_know_what_they_had_and_count_nothing_of_nobody() -> None:
    bench = Bench()
    bench.at(0.5)
    bench.send(
        decoded([request("cart", T0 + 500 * MS), request("cart", T0 + 500 * MS), request("web", T0 + 1500 * MS)])
    )
    cart, web = (bench.merger.entities.find((name, "")) for name in ("cart", "web"))
    had = [[bench.merger.has(n, FIRST + s) for s in (-1, 0, 1)] for n in (cart, web, 10**6)]
    assert had == [[False, True, False], [False, False, True], [False] * 3]
    counted = [[bench.merger.counted(n, FIRST + s) for s in (-1, 0, 1)] for n in (cart, web, -1)]
    assert counted == [[0, 2, 0], [0, 0, 1], [0] * 3]
    assert bench.merger.callers(FIRST + 1) == frozenset({"cart"})
    assert bench.merger.callers(FIRST + 2) == frozenset({"cart", "web"})
    assert bench.merger.callers(FIRST + 300) == frozenset({"cart", "web"})
    assert bench.merger.callers(FIRST + 301) == frozenset({"web"})
    assert bench.merger.callers(FIRST + 302) == frozenset()


def test_an_empty_frame_that_comes_again_is_no_redelivery() -> None:
    bench = Bench()
    bench.requests("cart", 0.5)
    source, known = next(iter(bench.merger.watermarks.sources.items()))
    empty = partial(Origin("prod", source, known.sequence, T0), "spans", {})
    bench.merger.add(empty, bench.now)
    assert bench.merger.counters["redelivered_frames"] == 0
    bench.merger.add(replace(empty, services=("cart",)), bench.now)
    assert bench.merger.counters["redelivered_frames"] == 1


def test_a_correction_has_a_revision_of_its_own_and_is_counted() -> None:
    bench = Bench()
    steady(bench, "a", range(5))
    bench.at(6.5)
    for at in (2.2, 2.3):
        bench.requests("a", at)
        bench.at((bench.now - T0) / SECOND + 0.3)
    told = [w for w in windows(bench.frames, "a") if w[0] == 2]
    assert told == [(2, 0, 1.0), (2, 1, 2.0), (2, 2, 3.0)]
    assert (bench.merger.counters["corrected"], bench.merger.counters["rows"]) == (2, len(windows(bench.frames, "a")))
    assert bench.merger.signal == Signal.SPANS
