"""Requests that metrics count, as whoever compares them with spans is told: over which interval, how many, and how many failed."""

from __future__ import annotations

from contracts.settings import IngestSettings
from contracts.units import SECOND
from streams.windows.series import CUMULATIVE, DELTA
from tests.unit.streams.windows.support import T0, histograms, points
from tests.unit.streams.windows.test_merging import METRICS, Bench

Told = list[tuple[str, float, float, float, float]]


def metered(bench: Bench) -> Told:
    found = bench.merger.metered()
    return sorted((s, (a - T0) / SECOND, (b - T0) / SECOND, n, bad) for s, a, b, n, bad in found)


def at(second: float) -> int:
    return T0 + round(second * SECOND)


def test_a_cumulative_histogram_counts_since_the_point_before() -> None:
    """Of requests and of those that failed, which are told apart."""
    bench, told = Bench("metrics"), Told()
    for second, count, failed in ((10, 100, 5), (15, 130, 6), (20, 130, 6), (30, 190, 26), (40, 199, 26)):
        bench.at(second + 0.1)
        rows = [(7, False, count), (8, True, failed)]
        bench.send(histograms([("cart", n, CUMULATIVE, at(1), at(second), bad, {400: c}) for n, bad, c in rows]))
        told += metered(bench)
    assert [one for one in told if one[3]] == [
        ("cart", 1.0, 10.0, 5, 5),
        ("cart", 1.0, 10.0, 100, 0),
        ("cart", 10.0, 15.0, 1, 1),
        ("cart", 10.0, 15.0, 30, 0),
        ("cart", 20.0, 30.0, 20, 20),
        ("cart", 20.0, 30.0, 60, 0),
    ]
    assert metered(bench) == [], "it is told once"


def test_a_delta_counts_over_its_own_interval() -> None:
    bench = Bench("metrics")
    for second, begin in ((10, 4), (20, 15), (30, 29)):
        bench.at(second + 0.1)
        bench.send(histograms([("cart", 7, DELTA, at(begin), at(second), False, {400: 12, 500: second})]))
    assert metered(bench) == [("cart", 4.0, 10.0, 22, 0), ("cart", 15.0, 20.0, 32, 0)]


def test_series_that_have_ended_make_room_where_there_are_many() -> None:
    """There is room for sixty-four of a service; a series has ended that had no point for ten times the longest delay."""
    bench = Bench("metrics", settings=IngestSettings(max_services=1, max_delay_s=1))
    feature, left = METRICS["memory_utilization"], []
    for second, series in ((1, range(63)), (10, range(8)), (19, (*range(8), 63, 64)), (25, range(8))):
        bench.at(second + 0.1)
        bench.send(points([("cart", feature, n, CUMULATIVE, at(0), at(second), float(second)) for n in series]))
        bench.at(second + 2)
        left.append(bench.merger.counters["series_left"])
    assert left == [0, 0, 0, 55], "ten of sixty-five go on"
