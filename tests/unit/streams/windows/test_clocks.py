"""Clocks of senders that are off are found, corrected and told of; who merely sends late is not taken for one of them."""

from __future__ import annotations

import heapq
import itertools
import random
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np
import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import TracesData

from contracts.events import ClockOffset, decode
from contracts.features import ERROR_RATE
from contracts.frames import FeatureFrame, unpack
from contracts.ports import Record
from contracts.settings import load
from contracts.topics import CLOCKS, FEATURES, OTLP_METRICS, OTLP_SPANS, TOPICS
from contracts.units import SECOND
from homeostat.wiring import perceive_specs
from streams.in_memory import MemoryPipeline
from streams.windows.clocks import AHEAD_NS, SLOT_NS, STEP_NS, TOLD_FOR_NS, TOLERANCE_NS, Clocks, ClockSource
from streams.windows.collect import Receipt
from tests.representatives import representatives
from tests.unit.connectors.otlp import builders
from tests.unit.streams.windows.support import CLIENT, MS, SERVER, T0, Span, decoded, otlp

pytestmark = pytest.mark.slow
PARTITIONS, PER_SECOND, FAILS_FROM = 2, 8, 40
Clock = Callable[[float], float]
"""By how many seconds a clock is off, at a second."""


def right(_: float) -> float:
    return 0.0


@dataclass(frozen=True)
class Sender:
    """A process: its service, its clock, and how often it sends what it has."""

    service: str
    instance: str = ""
    clock: Clock = right
    every_s: float = 1.0
    held_s: float = 0.0
    """Whatever it sends is held up for so long on its way, as by a sampler."""


@dataclass
class Town:
    """gateway calls checkout calls payment (one sender of several at random), which fails half of the time from a second on."""

    payments: tuple[Sender, ...]
    gateway: Sender = field(default_factory=lambda: Sender("gateway"))
    checkout: Sender = field(default_factory=lambda: Sender("checkout"))
    fails_from: ClassVar[int] = FAILS_FROM

    def messages(self, seconds: int) -> Iterator[tuple[int, bytes]]:
        """What is received, and when."""
        rng = random.Random(5)
        waiting: dict[Sender, list[Span]] = {s: [] for s in (self.gateway, self.checkout, *self.payments)}
        for n in range(seconds * PER_SECOND):
            for sender, span in self._trace(rng, n / PER_SECOND):
                waiting[sender].append(span)
        sent = [m for sender, spans in waiting.items() for m in self._sent(sender, spans, seconds)]
        yield from heapq.merge(sorted(sent))

    def _trace(self, rng: random.Random, at: float) -> list[tuple[Sender, Span]]:
        trace, ids = rng.getrandbits(63) | 1, [rng.getrandbits(63) | 1 for _ in range(5)]
        payment, bad = rng.choice(self.payments), at >= self.fails_from and rng.random() < 0.5
        rows = [
            (self.gateway, ids[0], 0, SERVER, 0, 34),
            (self.gateway, ids[1], ids[0], CLIENT, 2, 32),
            (self.checkout, ids[2], ids[1], SERVER, 4, 30),
            (self.checkout, ids[3], ids[2], CLIENT, 6, 28),
            (payment, ids[4], ids[3], SERVER, 8, 26),
        ]
        begun = T0 + int(at * SECOND)
        return [
            (s, Span(s.service, trace, span, parent, kind, begun + a * MS, begun + b * MS, bad))
            for s, span, parent, kind, a, b in rows
        ]

    @staticmethod
    def _sent(sender: Sender, spans: list[Span], seconds: int) -> Iterator[tuple[int, bytes]]:
        every = int(sender.every_s * SECOND)
        batches: dict[int, list[Span]] = {}
        for span in spans:
            batches.setdefault((span.end - T0) // every + 1, []).append(span)
        for number, batch in batches.items():
            sent = T0 + number * every
            told = []
            for s in batch:
                off = int(sender.clock((s.end - T0) / SECOND) * SECOND)
                told.append(Span(s.service, s.trace, s.span, s.parent, s.kind, s.start + off, s.end + off, s.error))
            payload = otlp(told)
            if sender.instance:
                payload = _with_instance(payload, sender.instance)
            yield sent + int(sender.held_s * SECOND) + 50 * MS, payload


def _with_instance(payload: bytes, instance: str) -> bytes:
    message = TracesData.FromString(payload)
    for entry in message.resource_spans:
        entry.resource.attributes.add(key="service.instance.id").value.string_value = instance
    return message.SerializeToString()


@dataclass
class Seen:
    """What came of a town: rows of payment by second, offsets told, counters."""

    errors: dict[int, float] = field(default_factory=dict)
    calls: dict[int, int] = field(default_factory=dict)
    requests: dict[int, int] = field(default_factory=dict)
    told: list[ClockOffset] = field(default_factory=list)
    counters: Counter[tuple[str, str]] = field(default_factory=Counter)

    def take(self, record: Record) -> None:
        if record.topic == CLOCKS:
            self.told.append(decode(ClockOffset, record.value))
        if record.topic != FEATURES:
            return
        frame = unpack(FeatureFrame, record.value)
        second = (frame.window_ns - T0) // SECOND
        for i, service in enumerate(frame.services):
            if frame.signal == "spans" and service == "payment":
                self.requests[second] = int(frame.counts[i])
                self.errors[second] = float(frame.values[i, frame.features.index(ERROR_RATE)])
            if frame.signal == "edges" and frame.peers[i] == "payment":
                self.calls[second] = int(frame.counts[i])


def run(town: Town, seconds: int = 60, partitions: int = PARTITIONS) -> Seen:
    """The stages up to features, on the messages of a town."""
    seen = Seen()
    specs = perceive_specs(load(), dict.fromkeys(TOPICS, partitions))[:3]
    pipeline, now = MemoryPipeline(specs, partitions, seen.take), T0
    for n, (at, payload) in enumerate(town.messages(seconds)):
        while now + 200 * MS <= at:
            now += 200 * MS
            pipeline.tick(now)
        now = max(now, at)
        pipeline.feed(OTLP_SPANS, payload, now, partition=n % partitions)
    for _ in range(75):
        now += 200 * MS
        pipeline.tick(now)
    seen.counters = pipeline.host.totals()
    return seen


def failing_since(seen: Seen) -> int:
    """The second from which payment fails, by its own spans."""
    return min(s for s, share in seen.errors.items() if np.isfinite(share) and share > 0)


OFF: dict[str, tuple[Clock, float]] = {
    "behind": (lambda _: -30.0, -30),
    "a little behind": (lambda _: -5.0, -5),
    "far behind": (lambda _: -300.0, -300),
    "drifting behind": (lambda s: -20.0 - 0.02 * s, -21),
    "ahead": (lambda _: 30.0, 0),
    "a little ahead": (lambda _: 4.0, 0),
    "drifting ahead": (lambda s: 10.0 + 0.02 * s, 0),
}


@pytest.mark.parametrize("case", representatives(OFF, "drifting behind", "ahead"))
def test_a_clock_that_is_off_is_corrected(case: str) -> None:
    clock, off_s = OFF[case]
    seen = run(Town((Sender("payment", clock=clock),)))
    assert abs(failing_since(seen) - FAILS_FROM) <= 1
    assert seen.counters["features", "late"] <= 0.1 * seen.counters["ingest", "spans"]
    later = range(15, 55)
    assert [s for s in later if not seen.requests.get(s)] == [], "rows where there were requests"
    assert [s for s in later if not seen.calls.get(s)] == [], "calls in the same windows"
    assert max(seen.requests.get(s, 0) for s in later) <= 2 * PER_SECOND, "nothing twice"
    if off_s:
        assert {o.service for o in seen.told} == {"payment"}
        assert all(abs(o.offset_ns / SECOND - off_s) < 1 for o in seen.told[-2:] if o.time_ns < T0 + 65 * SECOND)


def test_a_clock_that_is_set_right_is_right_at_once() -> None:
    for off in (-30.0, 30.0):
        seen = run(Town((Sender("payment", clock=lambda s, off=off: off if s < 30 else 0.0),)))
        assert failing_since(seen) == FAILS_FROM
        assert [s for s in range(32, 55) if not seen.requests.get(s)] == []


def test_one_of_several_pods() -> None:
    pods = tuple(Sender("payment", f"payment-{n}", right if n else lambda _: -30.0) for n in range(3))
    seen = run(Town(pods))
    assert failing_since(seen) == FAILS_FROM
    assert {(o.service, o.instance) for o in seen.told} == {("payment", "payment-0")}
    assert sum(seen.requests.get(s, 0) for s in range(20, 50)) == 30 * PER_SECOND


def test_the_caller_may_be_the_one_who_is_behind() -> None:
    seen = run(Town((Sender("payment"),), gateway=Sender("gateway", clock=lambda _: -30.0)))
    assert {o.service for o in seen.told} == {"gateway"}
    assert failing_since(seen) == FAILS_FROM


def test_two_in_a_row_on_one_host_may_be_behind() -> None:
    behind = Sender("checkout", clock=lambda _: -30.0)
    seen = run(Town((Sender("payment", clock=lambda _: -30.0),), checkout=behind))
    assert {o.service for o in seen.told} == {"checkout", "payment"}
    assert failing_since(seen) == FAILS_FROM


@pytest.mark.parametrize(("every_s", "held_s"), representatives(itertools.product([0.2, 5, 15, 60], [0, 30]), (5, 30)))
def test_who_sends_late_is_late_and_no_more(every_s: float, held_s: float) -> None:
    seen = run(Town((Sender("payment", every_s=every_s, held_s=held_s),)))
    assert seen.told == []
    assert seen.counters["ingest", "clock_corrected"] == 0


def test_calls_that_time_out_are_no_sign_of_a_clock() -> None:
    """Callers give up after a tenth of what their callee takes; it sends late, too."""

    class Slow(Town):
        def _trace(self, rng: random.Random, at: float) -> list[tuple[Sender, Span]]:
            *rest, (payment, s) = super()._trace(rng, at)
            late = Span(s.service, s.trace, s.span, s.parent, s.kind, s.start, s.end + 8 * SECOND, s.error)
            return [*rest, (payment, late)]

    seen = run(Slow((Sender("payment", every_s=5),), checkout=Sender("checkout", every_s=5)))
    assert seen.told == []


def test_browsers_have_many_clocks_and_one_name() -> None:
    """Each batch counts for itself: one that is ahead does not move the others."""
    source, now = ClockSource(), T0
    floors = [-30 * SECOND, SECOND // 10, -60 * SECOND, SECOND // 5, -5 * SECOND]
    shifts = []
    for floor in floors * 5:
        now += SECOND
        source.heard(floor, now)
        shifts.append(source.shift_ns(floor, now))
    assert shifts[5:] == [min(f, 0) for f in floors] * 4


def test_a_batch_is_never_shifted_ahead() -> None:
    rng = random.Random(1)
    for _ in range(300):
        source, now = ClockSource(), T0
        source.told_ns, source.told_at_ns = rng.randrange(-60, 60) * SECOND, T0
        for _ in range(10):
            now += rng.randrange(2 * SLOT_NS)
            floor = rng.randrange(-90, 90) * SECOND
            source.heard(floor, now)
            shift = source.shift_ns(floor, now)
            assert floor - shift >= min(0, floor) if shift > 0 else floor - shift >= -AHEAD_NS


def test_metrics_of_a_clock_ahead_are_shifted_too() -> None:
    seen: list[FeatureFrame] = []
    specs = perceive_specs(load(), dict.fromkeys(TOPICS, 1))[:3]
    pipeline = MemoryPipeline(
        specs, 1, lambda r: seen.append(unpack(FeatureFrame, r.value)) if r.topic == FEATURES else None
    )
    for second in range(20):
        now = T0 + second * SECOND
        resource = {"service.name": "cart", "deployment.environment.name": "prod"}
        message, scope = builders.metrics(resource)
        builders.gauge(scope, "process.cpu.utilization", 0.5, "1", now + 40 * SECOND)
        pipeline.feed(OTLP_METRICS, message.SerializeToString(), now)
        for step in range(5):
            pipeline.tick(now + step * 200 * MS)
    assert {f.window_ns for f in seen if f.signal == "metrics"} >= {T0 + s * SECOND for s in range(1, 15)}
    assert TOLERANCE_NS >= AHEAD_NS


def behind(environment: str, service: str, offset_ns: int) -> ClockOffset:
    """What is told of a clock."""
    return ClockOffset(environment=environment, service=service, instance="", offset_ns=offset_ns, time_ns=T0, pairs=9)


def judgement(clocks: Clocks, off_s: dict[str, float], second: int) -> list[tuple[str, str, int, int]]:
    """What is said of a message of each of two environments with the clocks of some services: how far each was shifted."""
    now, found = T0 + second * SECOND, []
    for environment in ("prod", "stage"):
        spans = [
            Span(s, n + 1, n + 1, 0, SERVER, now + int(off * SECOND) - 10 * MS, now + int(off * SECOND))
            for n, (s, off) in enumerate(off_s.items())
        ]
        message, tags = clocks.correct(decoded(spans, environment), Receipt(now, now), now + 3600 * SECOND)
        assert message.spans is not None
        for i, resource in enumerate(message.resources):
            tag = tags.clocks[tags.of[i]] if tags.of[i] >= 0 else None
            shifted = int(message.spans.end_ns[message.spans.resource == i][0]) - now
            found.append((environment, resource.service, shifted, tag.floor_ns if tag else 0))
    return found


@pytest.mark.parametrize("at", representatives(range(0, 45, 4), 16))
def test_after_a_restart_clocks_are_judged_as_before(at: int) -> None:
    """Those ahead, those behind, those that were set right, and those only told of; in every environment."""

    def clock_of(second: int) -> dict[str, float]:
        clocks = {"well": 0.0, "ahead": 40.0, "behind": -30.0, "told": -30.0, "set right": 40.0 if second < 20 else 0.0}
        return clocks | {"several": 20.0 if second % 2 else -20.0}

    def say(clocks: Clocks, second: int) -> None:
        if second == 3:
            for service, offset in (("told", -30), ("well", -5)):
                clocks.told(behind("prod", service, offset * SECOND), T0 + second * SECOND)

    first, second_life = Clocks(100), Clocks(100)
    said = []
    for second in range(45):
        if second == at:
            second_life.load(first.state())
            assert second_life.state() == first.state()
        say(first, second)
        said.append(judgement(first, clock_of(second), second))
        if second >= at:
            say(second_life, second)
            assert judgement(second_life, clock_of(second), second) == said[-1]
    last = {(environment, service): shifted for environment, service, shifted, _ in said[-1]}
    assert last["prod", "told"] == 0, "it was told of"
    assert last["stage", "told"] == -30 * SECOND, "nobody told of it there"
    assert last["prod", "ahead"] == last["stage", "ahead"] == 0
    assert last["prod", "set right"] == 0


@pytest.mark.parametrize(
    ("told_s", "floor_s", "after_ns", "shift_s"),
    [
        (30, 30, 0, 30),
        (30, 30, TOLD_FOR_NS - 1, 30),
        (30, 30, TOLD_FOR_NS, 0),  # it is true no more, unless it is told again
        (30, 20, 0, 20),  # no further than up to now
        (30, -0.25, 0, 0),
        (0, 30, 0, 0),
        (0, -0.25, 0, 0),  # a little ahead is no matter
        (0, -0.75, 0, -0.75),
    ],
)
def test_what_was_told_of_a_clock_holds_for_a_while(
    told_s: float, floor_s: float, after_ns: int, shift_s: float
) -> None:
    source = ClockSource(told_ns=int(told_s * SECOND), told_at_ns=T0)
    now = T0 + after_ns
    source.heard(int(floor_s * SECOND), now)
    assert source.shift_ns(int(floor_s * SECOND), now) == int(shift_s * SECOND)


@pytest.mark.parametrize(("differs_ns", "taken"), [(0, False), (STEP_NS - 1, False), (STEP_NS, True), (-STEP_NS, True)])
def test_small_changes_of_what_is_told_are_not_taken_and_hold_it_up(differs_ns: int, taken: bool) -> None:
    clocks = Clocks(9)
    clocks.told(behind("prod", "cart", -30 * SECOND), T0)
    clocks.told(behind("prod", "cart", -30 * SECOND - differs_ns), T0 + SECOND)
    [source] = clocks.sources["prod"].values()
    assert (source.told_ns, source.told_at_ns) == (30 * SECOND + (differs_ns if taken else 0), T0 + SECOND)


def test_who_was_not_heard_of_for_longest_is_forgotten() -> None:
    clocks = Clocks(3)
    for second, service in enumerate(["a", "b", "c", "a", "d", "e"]):
        clocks.told(behind("prod", service, -SECOND), T0 + second * SECOND)
        clocks.told(behind("stage", "a", -SECOND), T0 + second * SECOND)
    assert [name.split("\x1f")[0] for name in clocks.sources["prod"]] == ["a", "d", "e"]
    assert list(clocks.sources) == ["prod", "stage"]


@pytest.mark.parametrize(
    "by_s", representatives([-60.0, -20.0, -5.0, -2.0, -1.0, 1.0, 2.0, 5.0, 20.0, 60.0], -1.0, 60.0)
)
def test_a_clock_that_is_set_wrong_is_corrected_within_seconds(by_s: float) -> None:
    seen = run(Town((Sender("payment", clock=lambda s: by_s if s >= 30 else 0.0),)), 50)
    assert abs(failing_since(seen) - FAILS_FROM) <= 1
    assert [s for s in range(34, 48) if not seen.requests.get(s)] == [], "rows where there were requests"
    if by_s < 0:
        first = min(o.time_ns for o in seen.told if o.service == "payment")
        assert first - T0 <= 34 * SECOND


@pytest.mark.parametrize("by_s", representatives([-20.0, -3.0, 3.0, 20.0], -20.0, 3.0))
def test_of_several_pods_only_the_one_that_was_set_wrong_is_shifted(by_s: float) -> None:
    """On four partitions, the usual number: on some others those who call it are told of, too, where a pod is set ahead."""
    pods = tuple(
        Sender("payment", f"payment-{n}", right if n else lambda s: by_s if s >= 30 else 0.0) for n in range(3)
    )
    seen = run(Town(pods), 50, 4)
    assert {o.instance for o in seen.told if o.offset_ns} <= {"payment-0"}
    assert failing_since(seen) >= FAILS_FROM - 1
    assert sum(seen.requests.get(s, 0) for s in range(44, 49)) == 5 * PER_SECOND


def durations(clocks: Clocks, clock: Clock, seconds: float, told: bool) -> dict[float, float]:
    """By second, how long spans of 100 ms seem to have taken, by a clock that may be told of; nothing where they are not timed."""
    found = {}
    for half in range(int(2 * seconds)):
        at = half / 2
        true = [(at - 0.1 - k / 10, at - k / 10) for k in range(5)]
        spans = [
            Span("a", n + 1, n + 1, 0, SERVER, *(T0 + int((t + clock(t)) * SECOND) for t in times))
            for n, times in enumerate(true)
        ]
        now = T0 + int(at * SECOND) + 50 * MS
        if told and clock(at) < -1:
            clocks.told(behind("prod", "a", int(clock(at) * SECOND)), now)
        batch = clocks.correct(decoded(spans), Receipt(now, now), now + 3600 * SECOND)[0].spans
        assert batch is not None
        if not batch.untimed.any():
            found[at] = float((batch.end_ns - batch.start_ns).mean()) / SECOND
    return found


@pytest.mark.parametrize(
    ("rate", "begins"),
    representatives(itertools.product([0.5, 0.7, 1.5, 2.0, 3.0], [0, 20]), (0.5, 20), (0.7, 0), (3.0, 20)),
)
def test_what_a_clock_of_another_pace_measured_is_corrected(rate: float, begins: int) -> None:
    found = durations(Clocks(9), lambda s: (rate - 1) * max(0.0, s - begins), 40, told=True)
    settled = [took for at, took in found.items() if at > begins + 6]
    assert len(settled) > 20
    assert all(took == pytest.approx(0.1, rel=0.1) for took in settled), "as others measure it"
    assert all(took == pytest.approx(0.1, rel=0.1) for at, took in found.items() if at <= begins)


@pytest.mark.parametrize("rate", representatives([1.5, 2.0, 3.0], 2.0))
def test_while_a_pace_is_not_known_yet_nothing_is_timed_by_it(rate: float) -> None:
    found = durations(Clocks(9), lambda s: (rate - 1) * max(0.0, s - 20), 40, told=False)
    assert all(took == pytest.approx(0.1, rel=0.25) for at, took in found.items() if at >= 21)


@pytest.mark.parametrize("by_s", representatives([-20.0, -3.0, 3.0, 20.0], -3.0, 20.0))
def test_a_clock_that_was_set_goes_as_before(by_s: float) -> None:
    found = durations(Clocks(9), lambda s: by_s if s >= 20 else 0.0, 40, told=True)
    assert all(took == pytest.approx(0.1, rel=0.05) for at, took in found.items() if not 20 <= at < 21)
    assert sum(at >= 21 for at in found) >= 34, "and is hardly ever in doubt"


def test_a_backlog_that_grows_or_shrinks_is_no_pace() -> None:
    for delays in ([0.5 * n for n in range(40)], [20 - 0.5 * n for n in range(40)]):
        clocks = Clocks(9)
        for n, late in enumerate(delays):
            now = T0 + n * SECOND
            end = now - int(late * SECOND) - 10 * MS
            batch = clocks.correct(
                decoded([Span("a", n + 1, n + 1, 0, SERVER, end - 100 * MS, end)]), Receipt(now, now), now + SECOND
            )[0].spans
            assert batch is not None
            assert int(batch.end_ns[0] - batch.start_ns[0]) == 100 * MS
            assert not batch.untimed.any()


@pytest.mark.parametrize("ahead_s", [2.0, 20.0])
def test_a_source_with_little_to_send_whose_clock_is_off_measures_as_ever(ahead_s: float) -> None:
    """Its newest record is up to a second old, or more: some of those delays lie on a straight line by chance."""
    r = random.Random(7)
    clocks, took = Clocks(9), []
    for n in range(1500):
        now = T0 + n * SECOND // 2
        end = now - int((min(r.expovariate(2.0), 2.0) - ahead_s) * SECOND)
        batch = clocks.correct(
            decoded([Span("a", n + 1, n + 1, 0, SERVER, end - 100 * MS, end)]), Receipt(now, now), now + 3600 * SECOND
        )[0].spans
        assert batch is not None
        took.append(int(batch.end_ns[0] - batch.start_ns[0]))
    assert set(took[20:]) == {100 * MS}
