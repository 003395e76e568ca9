"""What share of requests has spans is told by metrics: a change of it is no change of traffic, and kept failures are no burst."""

from __future__ import annotations

import numpy as np
import pytest

from contracts.features import BY_SIGNAL, Signal
from contracts.frames import FeatureFrame
from contracts.units import SECOND
from streams.windows.kept import KeptShares

T0 = 1_700_000_000 * SECOND


def frame(signal: Signal, second: int, rate: float, failing: float, count: int | None = None) -> FeatureFrame:
    names = BY_SIGNAL[signal]
    values = np.full((1, len(names)), np.nan)
    rate_at, share_at = {Signal.SPANS: (0, 1), Signal.EDGES: (0, 1)}.get(
        signal, (names.index("metric_request_rate") if signal is Signal.METRICS else 0, 0)
    )
    if signal is Signal.METRICS:
        share_at = names.index("metric_error_rate")
    values[0, rate_at], values[0, share_at] = rate, failing
    return FeatureFrame(
        environment="prod", signal=signal, partition=0, window_ns=T0 + second * SECOND, width_ns=SECOND, revision=0, services=("shop",),
        peers=("db",) if signal is Signal.EDGES else (), versions=("",), attributes=("",), features=names, values=values,
        counts=np.array([round(rate) if count is None else count]), notes=(),
    )  # fmt: skip


def run(
    kept: KeptShares, seconds: range, requests: float, failures: float, keep: tuple[float, float], every: int = 1
) -> list[FeatureFrame]:
    """Seconds of a service: its spans (of what went well and what failed such shares are kept), then its metrics."""
    told = []
    for second in seconds:
        well, bad = (requests - failures) * keep[0], failures * keep[1]
        told.append(kept.correct(frame(Signal.SPANS, second, well + bad, bad / (well + bad))))
        if second % every == 0:
            kept.read(frame(Signal.METRICS, second, requests, failures / requests))
    return told


def rates(told: list[FeatureFrame]) -> list[float]:
    return [float(f.values[0, 0]) for f in told]


@pytest.mark.parametrize("every", [1, 5])
def test_a_smaller_share_is_no_less_traffic(every: int):
    kept = KeptShares()
    run(kept, range(1, 60), 100, 1, (1, 1), every)
    after = rates(run(kept, range(60, 120), 100, 1, (0.1, 0.1), every))
    assert all(np.isnan(r) or r == pytest.approx(100, rel=0.05) for r in after), after
    assert after[-1] == pytest.approx(100, rel=0.05)
    assert sum(np.isnan(r) for r in after) <= 3 * every


def test_less_traffic_is_told_once_metrics_agree():
    kept = KeptShares()
    run(kept, range(1, 60), 100, 1, (1, 1))
    after = rates(run(kept, range(60, 70), 10, 0.1, (1, 1)))
    assert after[3:] == pytest.approx([10] * 7)


def test_without_quick_metrics_nothing_is_held_back():
    kept = KeptShares()
    run(kept, range(1, 240), 100, 1, (1, 1), every=60)
    assert rates(run(kept, range(241, 245), 10, 0.1, (1, 1), every=60)) == pytest.approx([10] * 4)


def test_metrics_that_stopped_hold_nothing_back_for_long():
    kept = KeptShares()
    run(kept, range(1, 60), 100, 1, (1, 1))
    after = [float(kept.correct(frame(Signal.SPANS, s, 10, 0.0)).values[0, 0]) for s in range(60, 80)]
    assert after[-10:] == [10] * 10


def test_kept_failures_are_no_burst_and_a_burst_is_one():
    kept = KeptShares()
    run(kept, range(1, 60), 100, 2, (1, 1))
    after = run(kept, range(60, 120), 100, 2, (0.1, 1))
    assert after[-1].values[0, 1] == pytest.approx(0.02, rel=0.2)
    burst = run(kept, range(120, 140), 100, 40, (0.1, 1))
    assert burst[-1].values[0, 1] == pytest.approx(0.4, rel=0.2)
    assert burst[0].values[0, 1] > 0.3, "a kept failure counts for itself before metrics have come"
    assert burst[-1].counts[0] <= 46, "no more trials than what was seen"


def test_failures_that_metrics_do_not_tell_of_count_all_the_same():
    kept = KeptShares()
    for second in range(1, 60):
        told = kept.correct(frame(Signal.SPANS, second, 10, 0.5))
        kept.read(frame(Signal.METRICS, second, 100, np.nan))
    assert told.values[0, 1] == pytest.approx(0.5)


def test_a_service_without_metrics_is_left_alone_and_a_snapshot_keeps_what_is_known():
    kept = KeptShares()
    plain = frame(Signal.SPANS, 1, 10, 0.0)
    assert kept.correct(plain) is plain
    run(kept, range(1, 60), 100, 2, (1, 1))
    run(kept, range(60, 90), 100, 2, (0.1, 1))
    again = KeptShares()
    again.load(kept.state())
    one, other = (k.correct(frame(Signal.EDGES, 90, 12, 0.1)).values for k in (kept, again))
    np.testing.assert_array_equal(one, other)
