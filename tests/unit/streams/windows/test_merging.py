"""When rows come out of the merger, and what corrects them; driven with frames of the builder."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from contracts.features import BY_SIGNAL, Signal
from contracts.frames import FeatureFrame, Presence
from contracts.frames.latency import UNPLACED, midpoint
from contracts.settings import IngestSettings
from contracts.units import SECOND
from streams.windows.calls import ASKED, CALLS
from streams.windows.clocks import timed
from streams.windows.collect import Receipt
from streams.windows.merge import FeatureMerger
from streams.windows.partials import PartialBuilder
from streams.windows.rows import Origin
from streams.windows.rows import frame as partial
from tests.unit.streams.windows.support import (
    CLIENT,
    INTERNAL,
    MS,
    SERVER,
    T0,
    Span,
    decoded,
    histograms,
    logs,
    points,
    rows_of,
)

SETTINGS = IngestSettings()
METRICS = {name: i for i, name in enumerate(BY_SIGNAL[Signal.METRICS])}


class Bench:
    """Builders of some source partitions and one merger, on one clock."""

    def __init__(self, signal: str = "spans", sources: int = 1, settings: IngestSettings = SETTINGS) -> None:
        self.builders = [PartialBuilder(f"otlp/{i}", settings, 1) for i in range(sources)]
        self.merger = FeatureMerger("prod", signal, settings)
        self.signal = signal
        self.offsets = [0] * sources
        self.frames: list[FeatureFrame] = []
        self.now = T0

    def send(self, message, source: int = 0, environment: str = "prod") -> None:
        self.builders[source].add(message, self.received(message), self.offsets[source])
        self.offsets[source] += 1
        for _, _, frame in self.builders[source].flush().partials:
            if frame.signal == self.signal and frame.environment == environment:
                self.merger.add(frame, self.now)
        self.merger.absorb()

    def received(self, message) -> Receipt:
        """A little after what is in it, as the clock here goes in steps; a message from the far future comes now."""
        newest = max(int(times.max()) for _, times in timed(message))
        now = newest if self.now < newest < self.now + 5 * SECOND else self.now
        return Receipt(now, now)

    def requests(self, service: str, at: float, n: int = 1, source: int = 0) -> None:
        """`n` requests of 10 ms that end at `at` seconds."""
        end = T0 + int(at * SECOND)
        self.send(decoded([request(service, end) for _ in range(n)]), source)

    def at(self, seconds: float) -> list[FeatureFrame]:
        """Let the clock go to `seconds`; the frames that come out on the way."""
        found = []
        while self.now < T0 + int(seconds * SECOND):
            self.now += 100 * MS
            found += self.merger.advance(self.now)
        self.frames += found
        return found


_ids = iter(range(1, 1 << 40))


def request(service: str, end: int, *, ms: int = 10, kind: int = SERVER, parent: int = 0, error: bool = False) -> Span:
    number = next(_ids)
    return Span(service, number, number, parent, kind, end - ms * MS, end, error)


def steady(bench: Bench, service: str, seconds: range) -> None:
    for s in seconds:
        bench.at(s + 0.5)
        bench.requests(service, s + 0.5)


def windows(frames: list[FeatureFrame], service: str) -> list[tuple[int, int, float]]:
    """(second, revision, count) of the rows of a service."""
    return [
        ((f.window_ns - T0) // SECOND, f.revision, float(f.counts[f.services.index(service)]))
        for f in frames
        if service in f.services
    ]


def test_a_window_closes_after_its_lateness_and_carries_the_features() -> None:
    bench = Bench()
    steady(bench, "a", range(4))
    bench.send(decoded([request("a", T0 + 4 * SECOND + i * MS, ms=i + 1, error=i < 5) for i in range(100)]))
    assert not windows(bench.at(5.2), "a")[4:]
    bench.requests("a", 5.31)
    bench.at(5.4)
    frame = bench.frames[-1]
    assert (frame.window_ns - T0) // SECOND == 4
    assert frame.features == BY_SIGNAL[Signal.SPANS]
    rate, errors, p50, p95, p99 = frame.values[0].tolist()
    assert (rate, errors, frame.counts[0]) == (100.0, 0.05, 100)
    assert p50 == pytest.approx(0.050, rel=0.011)
    assert p95 == pytest.approx(0.095, rel=0.011)
    assert p99 == pytest.approx(0.099, rel=0.011)
    assert frame.versions == ("1.0",)


def test_a_service_of_which_nobody_knows_why_it_is_silent_is_missing_while_time_goes_on() -> None:
    bench = Bench()
    for s in range(8):
        bench.at(s + 0.5)
        bench.requests("busy", s + 0.5)
        if s < 4:
            bench.requests("dies", s + 0.5)
    bench.at(8.5)
    assert [w for w in windows(bench.frames, "dies") if w[0] >= 4] == [(4, 0, 0.0), (5, 0, 0.0)]
    values = rows_of(bench.frames)["spans", T0 + 5 * SECOND, "dies", ""]
    assert values == (0.0, -1.0, -1.0, -1.0, -1.0, -1.0)
    assert presence(bench.frames, "dies")[4:] == [Presence.MISSING, Presence.MISSING]


def presence(frames: list[FeatureFrame], service: str) -> list[int]:
    """What the first rows of a service are, window by window."""
    found = [(f, f.services.index(service)) for f in frames if service in f.services and f.revision == 0]
    return [int(f.presence[i]) if len(f.presence) else int(Presence.OBSERVED) for f, i in found]


def test_silences_that_come_again_and_again_are_quiet() -> None:
    bench = Bench()
    for s in range(60):
        bench.at(s + 0.5)
        bench.requests("busy", s + 0.5)
        if s % 5 == 0:
            bench.requests("rare", s + 0.5)
    bench.at(70)
    told = presence(bench.frames, "rare")
    assert set(told[25:58]) == {Presence.OBSERVED, Presence.QUIET}
    values = rows_of(bench.frames)["spans", T0 + 52 * SECOND, "rare", ""]
    assert values == (0.0, 0.0, -1.0, -1.0, -1.0, -1.0)


def test_rows_of_a_series_come_in_order_of_their_windows() -> None:
    bench = Bench()
    for s in range(40):
        bench.at(s + 0.5)
        bench.requests("busy", s + 0.5)
        if s not in range(10, 13) and s not in range(20, 29):
            bench.requests("gappy", s + 0.5)
    bench.at(45)
    for service in ("busy", "gappy"):
        order = [w for w, revision, _ in windows(bench.frames, service) if revision == 0]
        assert order == list(range(order[0], order[-1] + 1))


@pytest.mark.parametrize("restored", [False, True])
@pytest.mark.parametrize("resumes", [18.6, 18.65, 18.7, 18.75, 18.8, 18.9])
def test_what_comes_again_makes_no_quiet_row_of_one_that_waits(resumes: float, restored: bool) -> None:
    """Of seconds in which nothing came nothing is known, whenever in a second data come again."""
    bench = Bench()
    times = [k / 4 for k in range(4 * 10)] + [resumes + 0.15 * k for k in range(40)]
    for at in times:
        bench.at(at)
        bench.requests("a", at, n=5)
        bench.requests("b", at, n=5)
        if restored:
            state = bench.merger.snapshot()
            bench.merger = FeatureMerger("prod", bench.signal, SETTINGS)
            bench.merger.restore(state)
    bench.at(26)
    for service in ("a", "b"):
        order = [w for w, revision, _ in windows(bench.frames, service) if revision == 0]
        assert order == list(range(order[0], order[-1] + 1))
        told = dict(zip(order, presence(bench.frames, service), strict=True))
        assert {told[s] for s in range(11, int(resumes))} == {Presence.MISSING}


def test_a_row_that_newer_data_overtook_is_judged_by_the_silence_before_it() -> None:
    """Not as no silence at all, which would always be one as usual."""
    bench = Bench()
    steady(bench, "a", range(10))
    bench.at(20)
    entities, merger = bench.merger.entities, bench.merger
    a = np.array([entities.find(("a", ""))])
    newest = 20 + T0 // SECOND
    assert int(entities.heard[a[0]]) == newest - 11
    entities.heard[a] = newest
    for second in (15, 18):
        said = merger.liveness.judge("spans", entities, a, (second + T0 // SECOND, 5 * SECOND))
        assert said.tolist() == [Presence.MISSING]


def test_what_calls_said_is_forgotten_in_time() -> None:
    liveness = Bench().merger.liveness
    for second in range(1000):
        columns = {
            "window_ns": np.array([T0 + second * SECOND]),
            "service": np.array([0], np.int32),
            "peer": np.array([1], np.int32),
            "role": np.array([ASKED], np.int8),
            "count": np.array([5]),
            "errors": np.array([0]),
        }
        said = partial(Origin("prod", "edges/0", second, 0), CALLS, columns)
        liveness.add(replace(said, services=("a", "b")), T0 + second * SECOND)
    assert len(liveness.state()["windows"]) <= 2 * SETTINGS.max_delay_s + 2
    assert liveness.state()["windows"][-1][0] == 999 + T0 // SECOND


def test_all_silent_is_noticed_by_the_clock() -> None:
    bench = Bench()
    steady(bench, "a", range(5))
    bench.at(12)
    zero = [w for w in windows(bench.frames, "a") if w[2] == 0]
    assert [w[0] for w in zero] == [5, 6, 7]
    assert presence(bench.frames, "a")[5:] == [Presence.MISSING] * 3, "one's own silence says nothing"


def test_hours_without_data_are_jumped_over() -> None:
    bench = Bench()
    steady(bench, "a", range(5))
    bench.now += 3 * 3600 * SECOND
    bench.send(decoded([request("a", bench.now)]))
    before = len(bench.frames)
    bench.at((bench.now - T0) / SECOND + 6)
    assert len(bench.frames) - before < 12


def test_late_data_correct_the_whole_row() -> None:
    bench = Bench()
    steady(bench, "a", range(6))
    bench.requests("a", 2.7, n=3)
    bench.at(6.2)
    assert (2, 0, 1.0) in windows(bench.frames, "a")
    assert (2, 1, 4.0) in windows(bench.frames, "a")
    bench.requests("a", 2.8)
    bench.at(6.4)
    assert (2, 2, 5.0) in windows(bench.frames, "a")
    assert bench.merger.counters["corrected"] == 2


def test_data_beyond_the_longest_delay_are_counted_as_late() -> None:
    bench = Bench(settings=IngestSettings(max_delay_s=5))
    steady(bench, "a", range(12))
    bench.requests("a", 1.0, n=3)
    assert bench.merger.counters["late"] == 3
    before = len(bench.frames)
    bench.at(12.0)
    assert all(f.revision == 0 for f in bench.frames[before:])


def test_a_service_that_is_always_late_gets_its_own_delay() -> None:
    bench = Bench()
    for s in range(40):
        bench.at(s + 0.5)
        bench.requests("quick", s + 0.5)
        if s % 5 == 4:
            bench.send(decoded([request("slow", T0 + (s - 4 + i) * SECOND + 300 * MS) for i in range(5)]))
    bench.at(39.7)
    late = [f for f in bench.frames if f.window_ns >= T0 + 20 * SECOND]
    assert [w for w in windows(late, "slow") if w[1] > 0 or w[2] == 0] == []
    assert max(w[0] for w in windows(late, "quick")) == 38
    assert max(w[0] for w in windows(late, "slow")) >= 32


def test_an_idle_partition_does_not_hold_windows_open() -> None:
    bench = Bench(sources=2)
    bench.requests("a", 0.2, source=1)
    steady(bench, "a", range(2))
    assert not windows(bench.at(1.9), "a")
    steady(bench, "a", range(2, 6))
    bench.at(5.7)
    assert max(w[0] for w in windows(bench.frames, "a")) == 4


def test_signals_of_other_sources_wait_for_the_slowest_active_one() -> None:
    bench = Bench(sources=2)
    for s in range(6):
        bench.at(s + 0.5)
        bench.requests("a", s + 0.5, source=0)
        bench.requests("a", s - 0.5, source=1)
    bench.at(6.0)
    assert max(w[0] for w in windows(bench.frames, "a")) == 3
    assert all(f.revision == 0 for f in bench.frames)


def test_a_clock_far_ahead_drags_nobody_along() -> None:
    bench = Bench()
    steady(bench, "a", range(4))
    bench.send(decoded([request("skewed", T0 + 3600 * SECOND), request("a", T0 + 4 * SECOND)]))
    assert bench.builders[0].counters["future"] == 1
    steady(bench, "a", range(4, 8))
    assert bench.merger.watermarks.merged < T0 + 9 * SECOND
    assert bench.merger.counters["late"] == 0


def test_the_same_batch_again_counts_once() -> None:
    bench = Bench()
    batch = decoded([request("a", T0 + 500 * MS) for _ in range(5)])
    bench.send(batch)
    bench.send(batch)
    steady(bench, "a", range(1, 5))
    assert (0, 0, 5.0) in windows(bench.frames, "a")
    assert bench.builders[0].counters["duplicates"] == 5


def test_a_frame_delivered_again_is_ignored() -> None:
    bench = Bench()
    bench.builders[0].add(decoded([request("a", T0 + 500 * MS)]), Receipt(T0, T0), 0)
    [(_, _, frame)] = [p for p in bench.builders[0].flush().partials if p[2].signal == "spans"]
    for _ in range(3):
        bench.merger.add(frame, T0)
    bench.offsets[0] = 1
    steady(bench, "a", range(1, 5))
    assert (0, 0, 1.0) in windows(bench.frames, "a")
    assert bench.merger.counters["redelivered_frames"] == 2


def test_root_spans_stop_counting_once_a_service_serves() -> None:
    bench = Bench()
    for s in range(4):
        bench.at(s + 0.5)
        bench.send(decoded([request("a", T0 + s * SECOND + 500 * MS, kind=INTERNAL)]))
    bench.at(4.4)
    assert (1, 0, 1.0) in windows(bench.frames, "a")
    bench.send(decoded([request("a", T0 + 4 * SECOND, parent=9), request("a", T0 + 4 * SECOND, kind=CLIENT, parent=9)]))
    bench.at(4.6)
    assert (1, 1, 0.0) in windows(bench.frames, "a")


def test_services_beyond_the_limit_are_counted() -> None:
    bench = Bench(settings=IngestSettings(max_services=2))
    bench.send(decoded([request(f"s{i}", T0) for i in range(5)]))
    assert bench.merger.counters["service_limit"] == 3
    assert len(bench.merger.entities) == 2


def metric_rows(bench: Bench) -> dict[int, np.ndarray]:
    return {(f.window_ns - T0) // SECOND: f.values[0] for f in bench.frames}


def test_counters_become_rates_and_resets_are_no_negative_rates() -> None:
    bench, feature = Bench("metrics"), METRICS["cpu_cores"]
    start = T0 - 3600 * SECOND
    for i, value in enumerate([100.0, 110.0, 130.0, 6.0, 10.0]):
        bench.at(i * 10)
        bench.send(points([("a", feature, 1, 1, start if i < 3 else T0 + 25 * SECOND, T0 + i * 10 * SECOND, value)]))
    bench.at(50)
    rows = metric_rows(bench)
    assert np.isnan(rows[0][feature])
    assert [rows[s][feature] for s in (10, 20, 30, 40)] == pytest.approx([1.0, 2.0, 0.6, 0.4])
    assert sorted(rows) == [0, 10, 20, 30, 40]


def test_delta_and_cumulative_counters_agree() -> None:
    bench, feature = Bench("metrics"), METRICS["restarts"]
    for i in range(5):
        at, before = T0 + i * 10 * SECOND, T0 + (i - 1) * 10 * SECOND
        bench.at(i * 10)
        delta = ("delta", feature, 1, 2, before, at, 3.0)
        bench.send(points([delta, ("total", feature, 2, 1, T0 - 10 * SECOND, at, 3.0 * (i + 1))]))
        bench.send(points([delta]))
    bench.at(50)
    for frame in bench.frames:
        assert frame.values[:, feature].tolist() == pytest.approx([0.3, 0.3])
    assert bench.merger.counters["stale_points"] == 5


def test_delta_and_cumulative_histograms_agree() -> None:
    bench = Bench("metrics")
    totals: dict[bool, dict[int, int]] = {False: {}, True: {}}
    for i in range(4):
        at, before = T0 + i * 10 * SECOND, T0 + (i - 1) * 10 * SECOND
        bench.at(i * 10)
        rows = []
        for error, new in ((False, {500: 6, 560 + i: 2}), (True, {600: 2})):
            totals[error] = {b: totals[error].get(b, 0) + new.get(b, 0) for b in {*totals[error], *new}}
            rows.append(("delta", 1 + error, 2, before, at, error, new))
            rows.append(("total", 3 + error, 1, T0 - 10 * SECOND, at, error, totals[error]))
        bench.send(histograms(rows))
    bench.at(40)
    first = METRICS["metric_request_rate"]
    assert len(bench.frames) == 4
    for i, frame in enumerate(bench.frames):
        assert frame.counts.tolist() == [10, 10]
        wanted = [1.0, 0.2, *midpoint(np.array([500, 600, 600])).tolist()]
        assert frame.values[:, first : first + 5].tolist() == [wanted, wanted], i


def test_a_histogram_that_starts_anew_counts_from_zero() -> None:
    bench = Bench("metrics")
    for i, count in enumerate([10, 30, 5]):
        bench.at(i * 10)
        bench.send(histograms([("a", 1, 1, T0 - 3600 * SECOND, T0 + i * 10 * SECOND, False, {500: count})]))
    bench.at(30)
    assert [f.counts.tolist() for f in bench.frames] == [[0], [20], [5]]


def test_a_summary_counts_what_came_since_in_the_shape_of_the_latest() -> None:
    bench = Bench("metrics")
    shapes = [{500: 50, 600: 50}, {500: 120, 600: 80}, {400: 150, 700: 150}, {700: 10}]
    for i, cells in enumerate(shapes):
        bench.at(i * 10)
        bench.send(histograms([("a", 1, 3, T0 - 3600 * SECOND, T0 + i * 10 * SECOND, False, cells)]))
    bench.at(40)
    assert [f.counts.tolist() for f in bench.frames] == [[0], [100], [100], [10]]
    rows = metric_rows(bench)
    p50 = METRICS["metric_latency_p50"]
    medians = [rows[i * 10][p50] for i in (1, 2, 3)]
    assert medians == midpoint(np.array([500, 400, 700])).tolist()


def test_requests_whose_durations_nobody_knows_count_and_fail_and_have_no_latency() -> None:
    bench = Bench("metrics")
    for i in (0, 1):
        bench.at(i * 10)
        at = T0 + i * 10 * SECOND
        rows = [
            ("a", 1 + failed, 1, T0 - 3600 * SECOND, at, failed, {UNPLACED: 100 * i + 7}) for failed in (False, True)
        ]
        bench.send(histograms(rows))
    bench.at(20)
    first = METRICS["metric_request_rate"]
    values = metric_rows(bench)[10]
    assert values[first : first + 2].tolist() == [20.0, 0.5]
    assert np.isnan(values[first + 2 : first + 5]).all()


def test_gauges_are_the_mean_over_replicas_of_their_latest_value() -> None:
    bench, feature = Bench("metrics"), METRICS["memory_utilization"]
    rows = [(1, 100, 0.9), (1, 600, 0.5), (2, 300, 0.7)]
    bench.send(points([("a", feature, s, 0, 0, T0 + ms * MS, v) for s, ms, v in rows]))
    bench.at(6)
    assert metric_rows(bench)[0][feature] == pytest.approx(0.6)
    assert np.isnan(metric_rows(bench)[0][METRICS["cpu_cores"]])


def test_a_new_template_is_noted_in_the_window_of_its_first_record() -> None:
    bench = Bench("logs")
    for s in range(70):
        bench.at(s + 0.5)
        bench.send(logs([("a", T0 + s * SECOND + 500 * MS, 9, "started")]))
    at = T0 + 69 * SECOND + 600 * MS
    bench.send(logs([("a", at, 17, "disk full"), ("a", at, 9, "started")]))
    bench.at(71)
    bench.send(logs([("a", T0 + 71 * SECOND, 17, "disk full")]))
    bench.at(76)
    [frame] = [f for f in bench.frames if f.window_ns == T0 + 69 * SECOND]
    assert frame.values[0].tolist() == pytest.approx([3.0, 1 / 3, 1.0])
    assert frame.notes == ("disk full",)
    assert {f.notes for f in bench.frames if f is not frame} == {("",)}


def test_only_what_has_changed_is_told_again() -> None:
    bench = Bench()
    for s in range(6):
        bench.at(s + 0.5)
        for service in ("a", "b"):
            bench.requests(service, s + 0.5)
    bench.at(6.0)
    bench.requests("b", 2.6)
    bench.at(6.4)
    told = [(f.services, f.revision) for f in bench.frames if f.window_ns == T0 + 2 * SECOND]
    assert told == [(("a", "b"), 0), (("b",), 1)]
    assert bench.merger.counters["corrected"] == 1
    assert all(f.revision == 0 for f in bench.frames if f.window_ns != T0 + 2 * SECOND)


def test_what_comes_up_to_the_longest_delay_after_its_window_is_taken() -> None:
    bench = Bench(settings=IngestSettings(max_delay_s=5))
    steady(bench, "a", range(12))
    merged = bench.merger.watermarks.merged
    due_ns = 5 * SECOND + bench.merger._open.lateness_ns
    taken = {s: s * SECOND + T0 + SECOND + due_ns > merged for s in range(12)}
    assert len({*taken.values()}) == 2
    for second, in_time in taken.items():
        before = bench.merger.counters["late"]
        bench.requests("a", second + 0.25)
        assert bench.merger.counters["late"] - before == (0 if in_time else 1), second


def test_what_comes_late_is_told_at_once_though_time_stands_still() -> None:
    bench = Bench()
    steady(bench, "a", range(6))
    bench.at(6.2)
    assert bench.merger.advance(bench.now) == []
    for count in (2, 3):
        bench.requests("a", 2.6)
        [frame] = bench.merger.advance(bench.now)
        assert (frame.window_ns, frame.counts.tolist(), frame.revision) == (T0 + 2 * SECOND, [count], count - 1)
        assert bench.merger.advance(bench.now) == []
