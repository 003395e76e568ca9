"""One fact that several sources tell of is one fact: the best view that was told of lately counts, and no other."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.otlp.conventions import standard
from contracts.frames.views import MOST_VIEWS, rank_of, ranks, series_id
from contracts.units import SECOND
from streams.windows import preference
from streams.windows.preference import KEPT_NS, Preference
from tests.unit.streams.windows.support import T0, histograms, points
from tests.unit.streams.windows.test_merging import METRICS, Bench

OLD = T0 - 3600 * SECOND


def series(metric: str, number: int = 1) -> int:
    """A series of a metric, as the decoder would number it."""
    return series_id(number, standard().rules[metric][0].view)


def rates(bench: Bench, feature: int) -> list[float]:
    """What came out for the one service, in order."""
    found = [(f.window_ns, f.values[0][feature]) for f in bench.frames]
    return [float(v) for _, v in sorted(dict(found).items()) if not np.isnan(v)]


@pytest.mark.parametrize(
    ("metrics", "expected"),
    [
        (("process.cpu.time", "container.cpu.time"), 2.0),
        (("container.cpu.time", "process.cpu.time", "jvm.cpu.time"), 1.0),
        (("container_cpu_usage_seconds_total", "k8s.pod.cpu.time"), 1.0),
        (("process_cpu_seconds_total", "process.cpu.time"), 2.0),
        (("jvm.cpu.time",), 1.0),
    ],
)
def test_cpu_that_is_told_of_several_times_is_told_once(metrics: tuple[str, ...], expected: float) -> None:
    bench, feature = Bench("metrics"), METRICS["cpu_cores"]
    for i in range(4):
        bench.at(i * 10)
        at = T0 + i * 10 * SECOND
        bench.send(points([("a", feature, series(m, n), 1, OLD, at, 10.0 * n * i) for n, m in enumerate(metrics, 1)]))
    bench.at(50)
    assert rates(bench, feature) == pytest.approx([expected] * 3)
    assert bench.merger.counters["other_view"] == 3 * (len(metrics) - 1)


def test_what_counts_does_not_change_with_the_window_in_which_it_came() -> None:
    bench, feature = Bench("metrics"), METRICS["cpu_cores"]
    for i in range(8):
        bench.at(i * 5)
        at = T0 + i * 5 * SECOND
        rows = [("a", feature, series("process.cpu.time"), 1, OLD, at, 5.0 * i)]
        if i % 3 == 0:  # the container's figures come every fifteen seconds
            rows.append(("a", feature, series("container.cpu.time"), 1, OLD, at, 10.0 * i))
        bench.send(points(rows))
    bench.at(50)
    assert rates(bench, feature) == pytest.approx([1.0, 1.0, 2.0, 2.0])


def test_requests_that_several_instrumentations_count_are_counted_once() -> None:
    bench = Bench("metrics")
    metrics = ("http.server.request.duration", "http.server.requests", "http_request_duration_seconds")
    for i in range(3):
        bench.at(i * 10)
        at = T0 + i * 10 * SECOND
        bench.send(
            histograms([("a", series(m, n), 1, OLD, at, False, {500: 100 * i * n}) for n, m in enumerate(metrics, 1)])
        )
    bench.at(40)
    assert rates(bench, METRICS["metric_request_rate"]) == [10.0, 10.0]


def test_parts_of_what_is_served_are_added() -> None:
    bench = Bench("metrics")
    metrics = ("http.server.request.duration", "rpc.server.duration", "rpc.server.call.duration")
    for i in range(3):
        bench.at(i * 10)
        at = T0 + i * 10 * SECOND
        bench.send(histograms([("a", series(m, n), 1, OLD, at, False, {500: 100 * i}) for n, m in enumerate(metrics)]))
    bench.at(40)
    assert rates(bench, METRICS["metric_request_rate"]) == [20.0, 20.0]


def test_a_view_that_is_no_longer_told_of_gives_way() -> None:
    views, cell = Preference(), np.array([7])
    best, worse = (np.array([series_id(1, rank_of(1, n))], np.uint64) for n in (1, 2))
    assert views.preferred(cell, best, np.array([T0])).all()
    assert not views.preferred(cell, worse, np.array([T0 + KEPT_NS])).any()
    again = Preference()
    again.load(views.state())
    assert not again.preferred(cell, worse, np.array([T0 + KEPT_NS])).any()
    assert again.preferred(cell, worse, np.array([T0 + KEPT_NS + 1])).all()
    assert again.preferred(np.array([8]), worse, np.array([T0])).all(), "another service"


@given(st.integers(0, 2**64 - 1), st.integers(1, 7), st.integers(1, 40))
def test_an_id_says_which_view_it_is(hashed: int, group: int, view: int) -> None:
    rank = rank_of(group, view)
    found = np.array([series_id(hashed, rank), series_id(hashed)], np.uint64)
    assert ranks(found).tolist() == [rank, 0]
    assert 0 < rank < 256


def test_rows_of_the_table_are_views_in_its_order() -> None:
    rules = standard().rules
    for better, worse in (
        ("container.cpu.time", "k8s.pod.cpu.time"),
        ("k8s.pod.cpu.time", "process.cpu.time"),
        ("process.cpu.time", "jvm.cpu.time"),
        ("container.memory.working_set", "container_memory_usage_bytes"),
        ("http.server.request.duration", "http_server_requests_seconds"),
    ):
        assert 0 < rules[better][0].view < rules[worse][0].view
    assert rules["kafka.consumer_group.lag"][0].view == 0
    assert rules["jvm_memory_used_bytes"][0].view == rules["jvm.memory.used"][0].view


TOLD = st.tuples(st.integers(0, 2), st.integers(0, 2), st.integers(1, 3), st.integers(0, 4))


@given(st.lists(st.lists(TOLD, min_size=1, max_size=6), max_size=6))
def test_the_best_view_of_a_group_that_was_told_of_lately_counts(rounds: list[list[tuple[int, int, int, int]]]) -> None:
    """Facts, groups (0: a series that is no view), views and times as drawn; what counts is worked out one by one."""
    views, model = Preference(), dict[tuple[int, int], dict[int, int]]()
    for points_ in rounds:
        cell = np.array([fact for fact, *_ in points_])
        named = [series_id(5, rank_of(group, view)) if group else series_id(5) for _, group, view, _ in points_]
        times = [T0 + step * (KEPT_NS // 2 + 1) for *_, step in points_]
        for (fact, group, view, _), ns in zip(points_, times, strict=True):
            told = model.setdefault((fact, group), {})
            told[view] = max(ns, told.get(view, 0))
        newest: dict[tuple[int, int, int], int] = {}
        for (fact, group, view, _), ns in zip(points_, times, strict=True):
            newest[fact, group, view] = max(ns, newest.get((fact, group, view), 0))
        expected = []
        for fact, group, view, _ in points_:
            now, told = newest[fact, group, view], model[fact, group]
            expected.append(not group or not any(v < view and now - ns <= KEPT_NS for v, ns in told.items()))
        found = views.preferred(cell, np.array(named, np.uint64), np.array(times))
        assert found.tolist() == expected
        again = Preference()
        again.load(views.state())
        views = again


def test_facts_that_nobody_tells_of_make_room_and_if_none_are_old_all_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preference, "_MOST", 3)
    best, worse = (np.array([series_id(1, rank_of(1, n))], np.uint64) for n in (1, 2))

    def tells(views: Preference, fact: int, series_: np.ndarray, ns: int) -> bool:
        return bool(views.preferred(np.array([fact]), series_, np.array([ns]))[0])

    views = Preference()
    for fact, ns in ((1, T0 - 1), (2, T0), (3, T0 + KEPT_NS)):
        tells(views, fact, best, ns)
    assert len(views.state()) == 3, "as many as there is room for"
    tells(views, 4, best, T0 + KEPT_NS)
    assert [fact for fact, _ in views.state()] == [2, 3, 4]
    assert not tells(views, 2, worse, T0 + KEPT_NS), "what was told of exactly so long ago still counts"
    tells(views, 5, best, T0 + KEPT_NS)
    assert views.state() == []
    assert tells(views, 3, worse, T0 + KEPT_NS)


@pytest.mark.parametrize("group", [1, 5, 7])
def test_views_far_down_a_list_are_told_apart_by_group_and_place(group: int) -> None:
    last = MOST_VIEWS
    for better, worse in ((1, last), (last - 1, last), (1, 2)):
        known = Preference()
        for view in (better, worse):
            one = np.array([series_id(1, rank_of(group, view))], np.uint64)
            assert bool(known.preferred(np.array([7]), one, np.array([T0]))[0]) is (view == better)
    known = Preference()
    known.preferred(np.array([7]), np.array([series_id(1, rank_of(group, 1))], np.uint64), np.array([T0]))
    for other in {1, 4, 7} - {group}:
        one = np.array([series_id(1, rank_of(other, last))], np.uint64)
        assert known.preferred(np.array([7]), one, np.array([T0]))[0], "of another group"


def test_of_one_message_the_newest_point_of_a_view_says_when_it_was_told_of() -> None:
    known = Preference()
    best, worse = (np.array([series_id(1, rank_of(1, n))] * 3, np.uint64) for n in (1, 2))
    known.preferred(np.array([7] * 3), best, np.array([T0 + 5, T0 + 9, T0 + 7]))
    known.preferred(np.array([7] * 3), best, np.array([T0 + 3] * 3))
    for now, counts in ((T0 + 9 + KEPT_NS, False), (T0 + 10 + KEPT_NS, True)):
        assert known.preferred(np.array([7]), worse[:1], np.array([now])).tolist() == [counts]
    plain = np.array([series_id(5)], np.uint64)
    assert known.preferred(np.array([7]), plain, np.array([T0])).tolist() == [True]
    assert known.state() == [[7, [(rank_of(1, 1), T0 + 9), (rank_of(1, 2), T0 + 10 + KEPT_NS)]]]
