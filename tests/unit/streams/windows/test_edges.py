"""Which pairs of spans are calls, and what a call measures."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest

from contracts.frames import PartialFrame
from contracts.settings import IngestSettings
from contracts.units import SECOND
from streams.windows.collect import Receipt
from streams.windows.edges import EdgeJoiner
from streams.windows.partials import PartialBuilder
from tests.unit.streams.windows.support import CLIENT, CONSUMER, INTERNAL, MS, PRODUCER, SERVER, T0, Span, decoded

SETTINGS = IngestSettings(join_horizon_s=5)


class Joining:
    """A builder of one source whose spans go to one joiner."""

    def __init__(self, source: str = "otlp_spans/0", joiner: EdgeJoiner | None = None) -> None:
        self.builder = PartialBuilder(source, SETTINGS, 1)
        self.joiner = joiner or EdgeJoiner("prod", SETTINGS, 1)
        self.now, self.offset = T0 + 2 * SECOND, 0

    def send(self, *spans: Span, logged: int = 0) -> list[PartialFrame]:
        self.builder.add(decoded(list(spans)), Receipt(self.now, logged or self.now), self.offset)
        flushed = self.builder.flush()
        for _, _, frame in flushed.spans:
            self.joiner.add(frame, self.now)
        self.offset += 1
        joined = self.joiner.flush("telemetry.spans/0", self.offset, self.now)
        return [f for _, _, f in [*flushed.partials, *joined] if f.signal == "edges" and len(f.count)]


def edges(frames: list[PartialFrame]) -> list[tuple[str, str, int, int, int, int, int]]:
    """(caller, callee, count, errors, duration ms, gap ms, gap count) of each row."""
    found = []
    for f in frames:
        columns = (f.count, f.errors, f.duration_ns // MS, f.gap_ns // MS, f.gap_count)
        names = [(f.services[s], f.services[p]) for s, p in zip(f.service, f.peer, strict=True)]
        found += [(*pair, *(int(c[i]) for c in columns)) for i, pair in enumerate(names)]
    return found


def span(service: str, number: int, parent: int, kind: int, start: int, end: int, **more) -> Span:
    return Span(service, 77, number, parent, kind, T0 + start * MS, T0 + end * MS, **more)


CALLER = span("a", 1, 9, CLIENT, 0, 100)
CALLEE = span("b", 2, 1, SERVER, 20, 90)


@pytest.mark.parametrize("order", list(itertools.permutations([CALLER, CALLEE])))
def test_both_orders_of_arrival(order) -> None:
    joining = Joining()
    assert joining.send(order[0]) == []
    assert edges(joining.send(order[1])) == [("a", "b", 1, 0, 100, 30, 1)]
    assert joining.joiner.counters["calls"] == 1


@pytest.mark.parametrize(("behind_s", "found"), [(30, True), (120, False)])
def test_the_other_half_may_come_from_a_partition_that_catches_up(behind_s: int, found: bool) -> None:
    """Its spans are as old as they are because it was away: halves wait for it longer than for one that keeps up, not for ever."""
    ahead = Joining()
    behind = Joining("otlp_spans/1", ahead.joiner)
    behind.send(span("c", 8, 0, SERVER, 0, 10))
    ahead.send(CALLER)
    for second in range(1, behind_s + 1):
        ahead.now = behind.now = T0 + second * SECOND
        ahead.send(span("a", 100 + second, 0, SERVER, 1000 * second, 1000 * second + 10))
    assert edges(behind.send(CALLEE, logged=T0 + SECOND)) == ([("a", "b", 1, 0, 100, 30, 1)] if found else [])
    assert (ahead.joiner.counters["orphans"] == 0) == found


def test_in_one_message() -> None:
    assert edges(Joining().send(CALLER, CALLEE)) == [("a", "b", 1, 0, 100, 30, 1)]


def test_a_window_is_that_of_the_callees_end() -> None:
    [frame] = Joining().send(span("a", 1, 0, CLIENT, 500, 1400), span("b", 2, 1, SERVER, 600, 900))
    assert frame.window_ns.tolist() == [T0]
    [frame] = Joining().send(span("a", 1, 0, CLIENT, 500, 1400), span("b", 2, 1, SERVER, 600, 1300))
    assert frame.window_ns.tolist() == [T0 + SECOND]


@pytest.mark.parametrize(
    ("caller", "callee", "is_call"),
    [
        (CLIENT, SERVER, True),
        (CLIENT, INTERNAL, True),
        (PRODUCER, INTERNAL, True),
        (INTERNAL, SERVER, True),
        (SERVER, CONSUMER, True),
        (INTERNAL, INTERNAL, False),
        (SERVER, CLIENT, False),
    ],
)
def test_kinds(caller: int, callee: int, is_call: bool) -> None:
    found = Joining().send(span("a", 1, 0, caller, 0, 10), span("b", 2, 1, callee, 0, 10))
    assert bool(edges(found)) == is_call


def test_within_a_service_there_is_no_call() -> None:
    assert Joining().send(span("a", 1, 0, CLIENT, 0, 10), span("a", 2, 1, SERVER, 0, 10)) == []


def test_another_trace_is_another_call() -> None:
    other = Span("b", 78, 2, 1, SERVER, T0, T0 + MS)
    assert Joining().send(CALLER, other) == []


@pytest.mark.parametrize(("at_caller", "at_callee"), [(True, False), (False, True), (True, True)])
def test_either_side_may_fail(at_caller: bool, at_callee: bool) -> None:
    caller = span("a", 1, 9, CLIENT, 0, 100, error=at_caller)
    assert edges(Joining().send(caller, span("b", 2, 1, SERVER, 20, 90, error=at_callee)))[0][3] == 1


def test_a_caller_of_several() -> None:
    found = edges(Joining().send(span("a", 1, 0, INTERNAL, 0, 50), *(span("b", i, 1, SERVER, 0, i) for i in (2, 3, 4))))
    assert found == [("a", "b", 3, 0, 9, 0, 0)]


def test_peers_that_send_no_spans() -> None:
    found = Joining().send(
        span("a", 1, 9, CLIENT, 0, 5, peer="db:postgresql/orders"),
        span("a", 2, 9, PRODUCER, 0, 1, peer="messaging:kafka/orders"),
        span("b", 3, 8, CONSUMER, 0, 7, peer="messaging:kafka/orders"),
    )
    assert sorted(edges(found)) == [
        ("a", "db:postgresql/orders", 1, 0, 5, 0, 0),
        ("a", "messaging:kafka/orders", 1, 0, 1, 0, 0),
        ("messaging:kafka/orders", "b", 1, 0, 7, 0, 0),
    ]


def test_the_same_span_from_two_partitions_counts_once() -> None:
    joining = Joining()
    twin = PartialBuilder("otlp_spans/1", SETTINGS, 1)
    twin.add(decoded([CALLER, CALLEE]), Receipt(T0, T0), 0)
    for _, _, frame in twin.flush().spans:
        joining.joiner.add(frame, T0)
    assert edges(joining.send(CALLER, CALLEE)) == [("a", "b", 1, 0, 100, 30, 1)]
    assert joining.joiner.counters["duplicates"] == 2


def test_who_never_finds_its_caller_is_an_orphan() -> None:
    joining = Joining()
    joining.send(CALLEE)
    for i in range(1, 12):
        joining.now += SECOND
        joining.send(Span("a", 100 + i, i, 0, SERVER, joining.now - MS, joining.now))
    assert joining.joiner.counters["orphans"] == 1
    assert joining.send(CALLER) == []


def test_nothing_grows_without_end() -> None:
    joining = Joining()
    rng = np.random.default_rng(1)
    sizes = []
    for _ in range(60):
        joining.now += 500 * MS
        ids = rng.integers(1, 1 << 62, (20, 3)).tolist()
        joining.send(*(Span("a", t, s, p, SERVER, joining.now - MS, joining.now) for t, s, p in ids))
        sizes.append(len(joining.joiner.snapshot()))
    assert max(sizes[30:]) < 1.5 * max(sizes[15:30])
    assert joining.joiner.counters["orphans"] > 800


def test_of_services_for_which_there_is_no_room_there_are_no_calls() -> None:
    joining = Joining()
    joining.joiner = EdgeJoiner("prod", IngestSettings(join_horizon_s=5, max_services=1), 1)
    services = "abcde"
    spans = [span(s, i + 1, i, SERVER, 10 * i, 100 - 10 * i) for i, s in enumerate(services)]
    assert sorted((a, b) for a, b, *_ in edges(joining.send(*spans))) == [("a", "b"), ("b", "c"), ("c", "d")]


def test_spans_that_are_delivered_again_are_counted_as_that_and_an_empty_frame_is_not() -> None:
    joining = Joining()
    joining.builder.add(decoded([CALLER, CALLEE]), Receipt(joining.now, joining.now), 0)
    [(_, _, frame)] = joining.builder.flush().spans
    counted = []
    for again in (frame, frame, replace(frame, span=frame.span[:0]), frame):
        joining.joiner.add(again, joining.now)
        counted.append(joining.joiner.counters["redelivered_frames"])
    assert counted == [0, 1, 1, 2]
    assert joining.joiner.flush("telemetry.spans/0", 1, joining.now)
    assert joining.joiner.counters["calls"] == 1
