"""What rises steadily is a trend, with a forecast of when it hurts; steps, noise and what comes and goes are none."""

import numpy as np
import pytest

from contracts import features as f
from contracts.checks.detector_frames import frame
from contracts.units import SECOND
from models.forecast import HOURS, MINUTES, Trends, rising, trend

BUCKET_S = MINUTES.bucket_ns / SECOND


def course(change, n=48, noise=0.002, level=0.35, seed=1):
    r = np.random.default_rng(seed)
    return level + np.array([change(i) for i in range(n)]) + r.normal(0.0, noise, n)


def test_a_leak_is_told_with_the_time_until_it_hurts():
    y = course(lambda i: max(0, i - 36) * 0.01)
    found = trend(y, 12, f.MEMORY, MINUTES)
    left_s = (0.9 - (0.35 + 0.11)) / 0.01 * BUCKET_S
    assert found.soonest_s <= left_s <= found.latest_s
    assert found.seconds == pytest.approx(left_s, rel=0.15)
    assert found.low < 0.35 < found.high < found.value < found.hurts


@pytest.mark.parametrize(
    "change",
    [
        lambda i: 0.0,
        lambda i: 0.1 if i >= 40 else 0.0,
        lambda i: (i % 15) * 0.004,
        lambda i: -0.004 * i,
        lambda i: max(0, i - 36) * 0.00005,
    ],
    ids=["noise", "a step", "a sawtooth", "falling", "no harm within hours"],
)
def test_what_is_no_trend(change):
    for seed in range(20):
        y = course(change, seed=seed)
        assert all(trend(y, span, f.MEMORY, MINUTES) is None for span in MINUTES.spans)


def test_latency_is_compared_with_twice_the_usual():
    y = course(lambda i: max(0, i - 36) * 0.03, noise=0.02, level=np.log(0.1))
    found = trend(y, 12, f.LATENCY_P95, MINUTES)
    assert found.hurts == pytest.approx(0.2, rel=0.1)
    assert found.value == pytest.approx(0.1 * np.exp(0.33), rel=0.1)


def test_twice_a_few_milliseconds_is_no_harm_to_foresee():
    y = course(lambda i: max(0, i - 36) * 0.03, noise=0.02, level=np.log(0.003))
    found = trend(y, 12, f.LATENCY_P95, MINUTES)
    assert found.hurts == pytest.approx(0.013, rel=0.1), "ten milliseconds more, and not three"


def test_a_resource_that_climbs_to_its_limit_within_minutes():
    starts = [5 * SECOND * i for i in range(8)]
    found = rising(starts, [0.4 + 0.02 * i for i in range(8)], f.MEMORY, (0.3, 0.32))
    assert found.seconds == pytest.approx((0.9 - 0.54) / 0.02 * 5, rel=0.1)
    assert {type(getattr(found, n)) for n in ("value", "low", "high", "hurts", "seconds", "soonest_s", "latest_s")} == {
        float
    }
    assert rising(starts, [0.4] * 8, f.MEMORY, (0.3, 0.32)) is None
    assert rising(starts, [0.4, 0.4, 0.4, 0.4, 0.6, 0.6, 0.6, 0.6], f.MEMORY, (0.3, 0.32)) is None


@pytest.mark.parametrize("every_s", [1, 15, 60])
def test_a_ramp_of_half_an_hour_is_found_before_a_quarter_of_its_way(every_s):
    trends, found = Trends("metrics", MINUTES), {}
    r, rows = np.random.default_rng(3), np.arange(3)
    for second in range(0, 3600, every_s):
        use = 0.35 + r.normal(0.0, 0.004, (3, 1))
        use[0] += 0.55 * max(0, second - 1500) / 1800
        sent = frame(second, use, signal="metrics", features=(f.MEMORY,), counts=np.zeros(3, np.int64))
        for row, forecasts in (trends.take(rows, sent) or {}).items():
            if forecasts and row not in found:
                found[row] = second
    assert set(found) == {0}
    assert 1500 < found[0] <= 1500 + 0.25 * 1800


def test_a_hole_is_no_trend_and_state_survives_a_restart():
    trends = Trends("metrics", HOURS)
    rows = np.arange(2)
    for second in (*range(0, 4000, 60), *range(40_000, 44_000, 60)):
        use = np.full((2, 1), 0.3 if second < 4000 else 0.5)
        sent = frame(second, use, signal="metrics", features=(f.MEMORY,), counts=np.zeros(2, np.int64))
        assert not any((trends.take(rows, sent) or {}).values())
    twin = Trends("metrics", HOURS)
    twin.restore(trends.plain(2))
    assert all(np.array_equal(twin.plain(2)[k], v, equal_nan=True) for k, v in trends.plain(2).items())


def opening(asked) -> list:
    """What is foreseen of a service whose latency climbs by a fifth a minute from the tenth minute on; `asked`: requests per second, by second."""
    trends, rows, told, r = Trends("spans", MINUTES), np.arange(1), [], np.random.default_rng(3)
    for second in range(0, 1020, 5):
        latency = 0.1 * np.exp(0.003 * max(0, second - 600)) * np.exp(r.normal(0.0, 0.01))
        values = np.array([[asked(second) * np.exp(r.normal(0.0, 0.05)), latency]])
        made = frame(second, values, features=(f.REQUEST_RATE, f.LATENCY_P95), counts=np.ones(1, np.int64))
        told += (trends.take(rows, made) or {}).get(0, [])
    return told


def test_a_latency_that_climbs_with_the_load_is_no_trend_of_its_own():
    assert opening(lambda s: 20.0), "as much is asked as ever"
    assert not opening(lambda s: 20.0 + 0.4 * max(0, s - 600)), "an office opens"
    assert opening(lambda s: 20.0 if s < 300 else 60.0), "it opened long before"


def test_a_state_from_before_loads_were_held_goes_on():
    trends = Trends("spans", MINUTES)
    made = frame(0, np.array([[20.0, 0.1]]), features=(f.REQUEST_RATE, f.LATENCY_P95), counts=np.ones(1, np.int64))
    trends.take(np.arange(1), made)
    old = {k: v[:, :-1] if v.ndim > 1 else v for k, v in trends.plain(1).items()}
    twin = Trends("spans", MINUTES)
    twin.restore(old)
    twin.take(np.arange(1), frame(30, np.array([[20.0, 0.1]]), features=made.features, counts=np.ones(1, np.int64)))
    assert twin.plain(1)["ring"].shape == trends.plain(1)["ring"].shape
