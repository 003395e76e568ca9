"""Who keeps a part of traces by what came of them makes a service look ill: nothing is told that the missing part explains."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from contracts.features import BY_SIGNAL, Signal
from contracts.frames import FeatureFrame
from contracts.units import SECOND
from streams.windows import kept as kept_module
from streams.windows.kept import KeptShares

T0 = 1_700_000_000 * SECOND
RATE, FAILING, P50 = 0, 1, 2
QUICKLY = (0.01, 0.014, 0.018)


def frame(
    signal: Signal, second: int, rate: float, failing: float, latencies: tuple[float, ...] = QUICKLY, revision: int = 0
) -> FeatureFrame:
    names = BY_SIGNAL[signal]
    values = np.full((1, len(names)), np.nan)
    values[0, :P50] = rate, failing
    values[0, P50 : P50 + 3] = (
        latencies if signal is Signal.SPANS else (latencies[1], 0.002, np.nan)[: len(names) - P50]
    )
    return FeatureFrame(
        environment="prod", signal=signal, partition=0, window_ns=T0 + second * SECOND, width_ns=SECOND, revision=revision,
        services=("shop",), peers=("db",) if signal is Signal.EDGES else (), versions=("",), attributes=("",), features=names,
        values=values, counts=np.array([round(rate)]), notes=(),
        aside=np.array([[float(rate)]]) if signal is Signal.EDGES else np.empty(0),
    )  # fmt: skip


class Watch:
    """A service by the second: `requests`, so many of which fail, of what went well and what failed such shares are kept. Its metrics
    come every so many seconds, from other instances at other times, and count `lag` seconds later. `told` are its spans and edges."""

    def __init__(self, every: int = 1, lag: int = 0, instances: int = 1, seed: int = 0, metered: float = 1.0) -> None:
        self.kept, self.every, self.lag, self.instances = KeptShares(), every, lag, instances
        self.random, self.counted = np.random.default_rng(seed), dict[int, tuple[int, int]]()
        self.second, self.metered = 0, metered
        self.spans: list[FeatureFrame] = []
        self.edges: list[FeatureFrame] = []

    def run(
        self,
        seconds: int,
        requests: float,
        failing: float = 0.0,
        keep: tuple[float, float] = (1, 1),
        latencies: tuple[float, ...] = QUICKLY,
        metrics: bool = True,
    ) -> None:
        for second in range(self.second, self.second + seconds):
            well, bad = (self._chance(requests * share) for share in (1 - failing, failing))
            seen, failed = self._kept(well, keep[0]), self._kept(bad, keep[1])
            self.counted[second] = well + bad, bad
            share = failed / (seen + failed) if seen + failed else np.nan
            for signal, told in ((Signal.SPANS, self.spans), (Signal.EDGES, self.edges)):
                told.append(self.kept.correct(frame(signal, second, seen + failed, share, latencies)))
            for instance in range(self.instances if metrics else 0):
                self._read(second + 1, instance)
        self.second += seconds

    def _read(self, now: int, instance: int) -> None:
        if not self.every or (now + instance) % self.every:
            return
        some = [self.counted.get(s - self.lag, (0, 0)) for s in range(now - self.every, now)]
        requests, failed = (self.metered * sum(part) / self.instances for part in zip(*some, strict=True))
        self.kept.read([("shop", T0 + (now - self.every) * SECOND, T0 + now * SECOND, requests, failed)], SECOND)

    def _chance(self, mean: float) -> int:
        return int(self.random.poisson(mean))

    def _kept(self, count: int, share: float) -> int:
        return int(self.random.binomial(count, share))

    def rates(self, since: int) -> list[float]:
        return [float(f.values[0, RATE]) for f in self.spans[since:]]

    def failing(self, since: int) -> list[float]:
        """Of each of the seconds since one, of spans and of calls."""
        return [float(f.values[0, FAILING]) for told in (self.spans, self.edges) for f in told[since:]]


METRICS = {
    "each second": (1, 0, 1),
    "every 5 s, 5 s later": (5, 5, 1),
    "every 15 s of three instances": (15, 0, 3),
    "every minute": (60, 0, 1),
}
WAYS = {**METRICS, "none": (0, 0, 1)}


@pytest.mark.parametrize("requests", [3, 8])
@pytest.mark.parametrize("way", WAYS)
def test_nothing_is_changed_where_all_is_kept(way: str, requests: int):
    every, lag, instances = WAYS[way]
    seen = Watch(every, lag, instances, seed=requests)
    seen.run(200, requests, 0.02)
    assert np.isfinite(seen.rates(0)).all()
    assert all(f.values[0, RATE] == f.counts[0] for f in seen.spans), "no rate is a fraction"


@pytest.mark.parametrize("way", METRICS)
@pytest.mark.parametrize("keep", [(0.1, 0.1), (0.1, 1), (0.0, 1)], ids=["a tenth", "failures and a tenth", "failures"])
def test_a_smaller_share_is_no_less_traffic_and_no_burst_of_failures(way: str, keep: tuple[float, float]):
    every, lag, instances = METRICS[way]
    seen = Watch(every, lag, instances)
    seen.run(150, 60, 0.02)
    usual = np.nanmean(seen.failing(0))
    seen.run(130, 60, 0.02, keep)
    told = [r for r in seen.rates(152) if np.isfinite(r) and r > 0]
    assert not told, "how many there are spans don't know"
    late = [f for f in seen.failing(150) if np.isfinite(f)]
    assert np.mean(late or [0.0]) < 1.7 * usual
    assert np.isnan(seen.edges[-1].aside).all()


def test_without_metrics_kept_failures_are_no_burst():
    seen = Watch(0)
    seen.run(120, 60, 0.02)
    seen.run(120, 60, 0.02, (0.1, 1))
    assert np.nanmean(seen.failing(120)) < 1.7 * np.nanmean(seen.failing(0)[:120])
    assert np.isfinite(seen.rates(0)).all(), "there may be less traffic as well"


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("keep", [(0.1, 0.1), (0.1, 1)], ids=["a tenth", "failures and a tenth"])
def test_a_burst_is_one_while_a_part_is_kept(way: str, keep: tuple[float, float]):
    every, lag, instances = WAYS[way]
    seen = Watch(every, lag, instances)
    seen.run(180, 60, 0.01)
    seen.run(60, 60, 0.01, keep)
    seen.run(60, 60, 0.5, keep)
    usual, worse = np.nanmean(seen.failing(100)[:80]), [f for f in seen.failing(240) if np.isfinite(f)]
    assert np.mean(worse) > 4 * usual
    assert seen.spans[-1].counts[0] < 90, "no more trials than requests"


@pytest.mark.parametrize("way", METRICS)
@pytest.mark.parametrize("requests", [(60, 8), (8, 60), (10, 2)])
def test_other_traffic_is_told_once_metrics_agree(way: str, requests: tuple[int, int]):
    every, lag, instances = METRICS[way]
    seen = Watch(every, lag, instances)
    seen.run(150, requests[0], 0.02)
    seen.run(180, requests[1], 0.02)
    waits = 2 * every + lag + 15
    rates = seen.rates(150 + waits)
    assert np.mean(np.isfinite(rates)) > 0.95
    assert np.nanmean(rates) == pytest.approx(requests[1], rel=0.2)


def test_metrics_that_stopped_hold_nothing_back_for_long():
    seen = Watch(1)
    seen.run(100, 60)
    seen.run(60, 6, metrics=False)
    assert np.isfinite(seen.rates(120)).all()


def test_metrics_of_some_requests_are_no_witness():
    """Only a third of the routes has metrics."""
    seen = Watch(5, metered=1 / 3)
    seen.run(150, 30, 0.02)
    seen.run(150, 10, 0.02)
    assert np.isfinite(seen.rates(0)[:150]).all()
    assert np.isfinite(seen.rates(210)).all()
    assert np.nanmean(seen.rates(210)) == pytest.approx(10, rel=0.2)


SLOWLY = (0.017, 0.018, 0.02)


@pytest.mark.parametrize("way", WAYS)
def test_the_slowest_are_no_slower_where_the_rest_is_left_out(way: str):
    every, lag, instances = WAYS[way]
    seen = Watch(every, lag, instances)
    seen.run(150, 60)
    seen.run(60, 60, 0.0, (0.03, 1), latencies=SLOWLY)
    assert all(np.isnan(f.values[0, P50]) for f in seen.spans[150:] if f.counts[0] > 0)
    seen.run(30, 60, 0.0, (0.1, 1), latencies=(0.1, 0.14, 0.18))
    assert all(f.values[0, P50] == 0.1 for f in seen.spans[-30:] if f.counts[0] > 0), "what was never as slow is told"


def test_latencies_are_told_where_all_is_kept():
    seen = Watch(0)
    seen.run(60, 60)
    seen.run(20, 60, latencies=SLOWLY)
    assert all(f.values[0, P50] == SLOWLY[0] for f in seen.spans[60:])


def test_a_snapshot_keeps_what_is_known():
    seen = Watch(5)
    seen.run(90, 60, 0.02)
    seen.run(40, 60, 0.02, (0.1, 1))
    again = KeptShares()
    again.load(seen.kept.state())
    for signal in (Signal.SPANS, Signal.EDGES):
        for second in range(130, 140):
            one, other = (k.correct(frame(signal, second, 7, 0.1)) for k in (seen.kept, again))
            np.testing.assert_array_equal(one.values, other.values)
            np.testing.assert_array_equal(one.counts, other.counts)


def test_a_correction_is_told_as_the_row_was_and_teaches_nothing():
    seen = Watch(1)
    seen.run(90, 60)
    seen.run(30, 60, 0.0, (0.1, 1))
    before = seen.kept.state()
    late = seen.kept.correct(frame(Signal.SPANS, 118, 7, 0.0, revision=1))
    assert np.isnan(late.values[0, RATE])
    assert str(seen.kept.state()) == str(before)


@pytest.mark.parametrize(
    ("requests", "failing", "share", "trials"),
    [
        (6, 0.0, 0.0, 6),
        (6, 0.5, 3 / 60, 6),  # the other fifty-four that are usual went well, for all that is known
        (6, 1.0, 6 / 60, 6),
        (0, np.nan, np.nan, 0),
    ],
)
@pytest.mark.parametrize("signal", [Signal.SPANS, Signal.EDGES])
def test_what_is_missing_of_the_usual_requests_went_well(
    signal: Signal, requests: int, failing: float, share: float, trials: int
):
    kept = KeptShares()
    for second in range(60):
        for each in (Signal.SPANS, Signal.EDGES):
            kept.correct(frame(each, second, 60, 0.02))
    kept.correct(frame(Signal.SPANS, 60, requests, failing))
    found = kept.correct(frame(signal, 60, requests, failing, revision=int(signal is Signal.SPANS)))
    assert found.values[0, RATE] == requests, "there may be less traffic as well"
    assert found.values[0, FAILING] == pytest.approx(share, rel=0.005, nan_ok=True)
    assert found.counts[0] == trials


def test_a_service_that_left_is_a_stranger_when_it_comes_again():
    kept = KeptShares()
    for second in range(60):
        kept.correct(frame(Signal.SPANS, second, 60, 0.02))
    kept.correct(frame(Signal.SPANS, 60, 6, 0.5))
    assert kept.state()["short"] == ["shop"]
    kept.forget(["shop", "nobody"])
    assert [kept.state()[part] for part in ("leapt", "held", "short")] == [{}, [], []]


@pytest.mark.parametrize(("every", "held"), [(1, True), (5, True), (15, False)])
@pytest.mark.parametrize("surge", [True, False])
def test_a_rate_that_leaps_up_waits_for_metrics_that_come_often(every: int, held: bool, surge: bool) -> None:
    seen = Watch(every)
    seen.run(150, 20)
    seen.run(30, 60 if surge else 21)
    assert np.isnan(seen.rates(150)[0]) == (held and surge)
    assert np.isfinite(seen.rates(170)).all()


def test_who_leapt_is_accepted_alone() -> None:
    """Beside another service, of which metrics say nothing: what it does of late is not usual yet."""
    kept = KeptShares()
    for second in range(200):
        mine = 60.0 if second >= 150 else 20.0
        one = frame(Signal.SPANS, second, mine, 0.0)
        both = replace(
            one, services=("shop", "web"), versions=("", ""), attributes=("", ""), counts=np.array([mine, mine], np.int64),
            values=np.concatenate([one.values, one.values]),
        )  # fmt: skip
        kept.correct(both)
        kept.read([("shop", T0 + second * SECOND, T0 + (second + 1) * SECOND, mine, 0.0)], SECOND)
        if second == 160:
            _, _, count, *_ = kept.state()["usual"][str(Signal.SPANS)]
            assert count[0, 0] > 50
            assert count[1, 0] < 40


def sampled(calls: float) -> KeptShares:
    """Of sixty requests a second each makes so many calls; later twice as many are asked for, of which a tenth is kept. Metrics tell of all
    of them; of those that failed there are four for each that is kept."""
    kept = KeptShares()
    for second in range(160):
        rate, spans = (60.0, 60.0) if second < 150 else (120.0, 6.0)
        failing = 0.0 if second < 150 else 0.5
        kept.correct(frame(Signal.SPANS, second, spans, failing))
        kept.correct(frame(Signal.EDGES, second, calls * spans, failing))
        failures = 0.0 if second < 150 else 12.0
        kept.read([("shop", T0 + second * SECOND, T0 + (second + 1) * SECOND, rate, failures)], SECOND)
    return kept


@pytest.mark.parametrize("calls", [1.0, 2.0])
def test_of_calls_there_are_as_many_more_than_usual_as_of_requests(calls: float) -> None:
    """Twelve failures of a hundred and twenty requests; of calls, as many times as many of as many times as many."""
    kept = sampled(calls)
    spans = kept.correct(frame(Signal.SPANS, 160, 6.0, 0.5, revision=1))
    edges = kept.correct(frame(Signal.EDGES, 160, calls * 6.0, 0.5))
    assert np.isnan([spans.values[0, RATE], edges.values[0, RATE], edges.aside[0, 0]]).all()
    assert spans.values[0, FAILING] == pytest.approx(12 / 120, rel=0.02)
    assert edges.values[0, FAILING] == pytest.approx(12 * calls / (120 * calls), rel=0.03)


def test_a_row_of_which_nothing_is_known_is_told_as_it_is() -> None:
    kept = KeptShares()
    missing = frame(Signal.SPANS, 0, 6.0, 0.5)
    missing.values[:] = np.nan
    missing.counts[:] = 0
    assert kept.correct(missing) is missing
    plain = frame(Signal.SPANS, 1, 6.0, 0.5)
    assert kept.correct(plain) is plain


def test_intervals_of_one_reading_are_added_and_who_was_not_read_for_longest_leaves(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(kept_module, "_MOST", 2)
    kept = KeptShares()
    first = (T0, T0 + SECOND)
    kept.read([("a", *first, 4.0, 1.0), ("a", *first, 6.0, 2.0), ("b", *first, 1.0, 0.0)], SECOND)
    counts = kept.state()["counts"]
    assert counts["a"][2] == {T0 // SECOND: (10.0, 3.0, 0.0)}
    assert counts["a"][3] == [T0 + SECOND], "one interval"
    kept.read([("a", T0 + SECOND, T0 + 2 * SECOND, 4.0, 1.0)], SECOND)
    assert list(kept.state()["counts"]) == ["b", "a"]
    kept.read([("c", *first, 1.0, 0.0)], SECOND)
    assert list(kept.state()["counts"]) == ["a", "c"]


@pytest.mark.parametrize(("paces", "told"), [(1, False), (6, True)])
def test_what_failed_waits_for_metrics_that_come_soon_and_stands_for_itself_where_they_do_not(
    paces: int, told: bool
) -> None:
    """Metrics every second, or every six, that tell of no failure yet."""
    seen = Watch(paces)
    seen.run(120, 60)
    found = seen.kept.correct(frame(Signal.SPANS, 120, 6, 0.5))
    assert bool(np.isfinite(found.values[0, FAILING])) is told
    assert found.counts[0] == 6
    assert seen.kept._stands_for("nobody") == 1.0


def test_a_snapshot_of_before_there_was_as_much_in_it_says_nothing() -> None:
    kept = KeptShares()
    kept.load({"counts": {"shop": [1, 2, 3]}})
    assert str(kept.state()) == str(KeptShares().state())
    seen = Watch(5)
    seen.run(90, 60, 0.02)
    seen.run(10, 60, 0.02, (0.1, 1))
    again = KeptShares()
    again.load(seen.kept.state())
    assert str(again.state()) == str(seen.kept.state())
    assert [again.state()[part] for part in ("held", "short")] == [["shop"], ["shop"]]
    assert again.state()["leapt"].keys() == {"shop"}


def test_of_several_rows_each_is_told_by_what_is_known_of_its_own_service() -> None:
    kept = KeptShares()
    for second in range(61):
        one = frame(Signal.SPANS, second, 60, 0.0)
        both = replace(
            one, services=("shop", "web"), versions=("", ""), attributes=("", ""), counts=np.array([60, 60]),
            values=np.concatenate([one.values, one.values]),
        )  # fmt: skip
        if second == 60:
            both.values[0, :P50], both.counts[0] = (6.0, 0.5), 6
        found = kept.correct(both)
    assert found.values[:, FAILING].tolist() == [pytest.approx(3 / 60, rel=0.01), 0.0]
    assert found.values[1].tolist() == both.values[1].tolist()
    assert found.counts.tolist() == [6, 60]
    assert [(name, since_ns) for name, (since_ns, *_) in kept.state()["leapt"].items()] == [("shop", T0 + 60 * SECOND)]
    before = kept.correct(replace(both, window_ns=T0 + 59 * SECOND, revision=1))
    assert before.values[0, FAILING] == 0.5, "of a window of before it leapt"
