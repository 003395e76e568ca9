"""Few spans, and none: what is not known of them is no zero, what metrics refute is not told, and what comes in bursts is not averaged away."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from contracts.features import BY_SIGNAL, Signal
from contracts.frames import FeatureFrame
from contracts.units import SECOND
from streams.windows.kept import KeptShares, Leap
from streams.windows.timed import QUANTILES, READINGS, MeteredLatencies
from tests.unit.streams.windows.test_kept import P50, QUICKLY, RATE, T0, Watch, frame


def metered(second: int, latencies: tuple[float, float, float]) -> FeatureFrame:
    """What metrics say of a service, read at a time."""
    names = BY_SIGNAL[Signal.METRICS]
    values = np.full((1, len(names)), np.nan)
    values[0, [names.index(n) for n in QUANTILES]] = latencies
    return replace(frame(Signal.SPANS, second, 0, 0), signal=Signal.METRICS, features=names, values=values)


AGES = (0.1, 0.14, 0.18)
"""Ten times as long."""


def slow_while(every: int, metrics: tuple[float, float, float], *, sampled: bool = True) -> list[float]:
    """Medians told of each second, from when on but a tenth of the spans come, and those take ages; metrics say how long requests take."""
    seen = Watch(every)
    for second in range(180):
        ill = second >= 150
        seen.run(1, 60, 0.0, (0.1, 1) if ill and sampled else (1, 1), latencies=AGES if ill else QUICKLY)
        if (second + 1) % every == 0:
            seen.kept.time([metered(second, metrics if second >= 150 else QUICKLY)])
    return [float(f.values[0, P50]) for f in seen.spans[150:]]


@pytest.mark.parametrize(("every", "hidden"), [(1, 0), (5, 0), (15, 28)])
def test_slow_spans_are_none_where_metrics_say_that_requests_take_no_longer(every: int, hidden: int) -> None:
    """Where metrics come often they are waited for; where they don't they are believed once they cover the time."""
    told = slow_while(every, QUICKLY)
    assert np.isnan(told[hidden:]).all()
    assert hidden == 0 or np.isfinite(told[2])


@pytest.mark.parametrize("every", [1, 5, 15])
def test_slow_spans_are_news_where_metrics_say_so(every: int) -> None:
    assert slow_while(every, AGES)[-1] == AGES[0]


def test_where_all_spans_come_metrics_are_not_asked() -> None:
    assert slow_while(1, QUICKLY, sampled=False)[0] == AGES[0]


def test_metrics_of_which_hardly_anything_is_known_say_nothing() -> None:
    known = MeteredLatencies()
    for second in range(READINGS - 1):
        known.take(metered(second, QUICKLY), ())
    assert not known.knows("shop")
    assert known.as_ever("shop", 0) is None
    known.take(metered(READINGS, QUICKLY), ())
    assert known.knows("shop")
    assert known.as_ever("shop", T0 + READINGS * SECOND) is not None
    assert known.as_ever("shop", T0 + READINGS * SECOND + 1) is None, "nothing was read since"
    assert known.as_ever("other", 0) is None
    for second in range(10, 40):
        known.take(metered(second, AGES), {"shop"})
    known.take(metered(5, QUICKLY), ())
    said, again = known.as_ever("shop", 0), MeteredLatencies()
    again.load(known.state())
    assert said is not None
    assert said.tolist() == [False] * 3, "what is in doubt teaches nothing, and an older word is none"
    assert again.state()[0][1] == READINGS


def test_bursts_are_not_averaged_away() -> None:
    """A hundred requests in every fifth second, and hardly any in between; metrics of each second count them, too."""
    seen = Watch(1)
    for second in range(300):
        seen.run(1, 100 if second % 5 == 0 else 2)
    rates = seen.rates(100)
    assert np.isfinite(rates).all()
    assert np.mean(rates) == pytest.approx((100 + 4 * 2) / 5, rel=0.1)


@pytest.mark.parametrize("every", [15, 60])
def test_that_none_of_a_few_spans_came_is_no_zero(every: int) -> None:
    seen = Watch(every, seed=3)
    seen.run(180, 60)
    seen.run(100, 60, 0.0, (0.01, 1))
    some = [i for i, f in enumerate(seen.spans) if i >= 180 and f.counts[0] > 0]
    told = [rate for rate in seen.rates(some[1]) if np.isfinite(rate)]
    assert not told, "neither zeros between them, nor they themselves, are the rate"


@pytest.mark.parametrize("every", [0, 15, 60])
@pytest.mark.parametrize("last", [0, 1])
def test_that_nothing_comes_at_all_is_told_at_once(every: int, last: int) -> None:
    """A service that has gone, maybe with one request in the second in which it did."""
    seen = Watch(every)
    seen.run(180, 60)
    if last:
        seen.kept.correct(frame(Signal.SPANS, 180, 1, 0.0))
        seen.second += 1
    seen.run(5, 0)
    assert seen.rates(180) == [0.0] * 5


def two(second: int, mine: float, others: float) -> FeatureFrame:
    """A frame of two services."""
    one = frame(Signal.SPANS, second, mine, 0.0)
    values = np.concatenate([one.values, one.values])
    values[1, RATE] = others
    return replace(
        one, services=("shop", "web"), versions=("", ""), attributes=("", ""), counts=np.array([mine, others], np.int64), values=values
    )  # fmt: skip


@pytest.mark.parametrize(("others", "known"), [(60.0, True), (0.0, True), (1.0, False)])
def test_none_is_no_zero_where_as_few_as_of_the_others_may_well_be_none(others: float, known: bool) -> None:
    """Six requests a second are usual, of the others' sixty but one comes: a tenth of one would. Where all or none of the others' come,
    it is one's own doing, or everybody's."""
    kept = KeptShares()
    for second in range(120):
        kept.correct(two(second, 6, 60))
        if second % 15 == 14:
            begun_ns, until_ns = (T0 + s * SECOND for s in (second - 14, second + 1))
            kept.read([(name, begun_ns, until_ns, n * 15.0, 0.0) for name, n in (("shop", 6), ("web", 60))], SECOND)
    told = [kept.correct(two(second, 0, others)).values[0, RATE] for second in range(120, 128)]
    assert np.isfinite(told[5:]).all() == known


def test_of_an_older_snapshot_it_is_known_since_when_a_service_leapt() -> None:
    assert Leap.of(T0).state() == [T0, 0, 0, 0]
    leap = Leap(T0)
    assert not leap.are_some(T0, 0.0, 0.0)
    told = (1, 1.0), (16, 0.0), (17, 0.0), (4, 2.0), (34, 0.0), (35, 0.0)
    assert [leap.are_some(T0 + s * SECOND, n, 0.0) for s, n in told] == [True, True, False, True, True, False]
    gone = Leap(T0)
    assert gone.are_some(T0, 1.0, 0.0)
    assert not gone.are_some(T0 + SECOND, 0.0, 0.0), "in the window in which it went one came"
    assert [gone.are_some(T0 + s * SECOND, 0.0, 0.5) for s in (10, 11)] == [True, False]
    assert Leap.of(leap.state()).state() == leap.state() == [T0, 2, T0 + SECOND, T0 + 4 * SECOND]
