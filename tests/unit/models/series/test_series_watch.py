"""General series: what is told of them, when, and what is not."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pytest

from contracts.errors import UnreadableEvent
from contracts.events import Anomaly
from contracts.frames import SeriesFrame, SeriesMode
from contracts.units import HOUR, MINUTE, SECOND
from contracts.verdicts import AnomalyKind, AnomalyPhase, ServiceState
from models.series.alarms import FADING_POINTS, Loudness
from models.series.series_watch import SeriesWatch
from models.snapshots import load, save
from tests.representatives import representatives

T0 = 1_700_000_000 * SECOND
DAY_POINTS = 24 * 12
FIVE_MINUTES = 5 * MINUTE


def frame(
    values: Sequence[float],
    at_ns: int,
    *,
    names: Sequence[str] = ("orders",),
    group: str = "",
    direction: int = 0,
    mode: SeriesMode = SeriesMode.VALUE,
) -> SeriesFrame:
    n = len(values)
    return SeriesFrame(
        "prod",
        tuple(names),
        (group,) * n,
        np.full(n, direction, dtype=np.int8),
        np.full(n, mode, dtype=np.int8),
        np.arange(n, dtype=np.int32),
        np.full(n, at_ns, dtype=np.int64),
        np.array(values, dtype=np.float64),
    )


def told(watch: SeriesWatch, rows: Sequence[Sequence[float]], first: int = 0, **of: object) -> list[Anomaly]:
    found = []
    for i, row in enumerate(rows, start=first):
        found += watch.observe(frame(row, T0 + i * FIVE_MINUTES, **of), T0 + i * FIVE_MINUTES)  # type: ignore[arg-type]
    return found


def usual(points: int, seed: int, width: int = 1) -> np.ndarray:
    return 100 + 5 * np.random.default_rng(seed).standard_normal((points, width))


def daily(points: int, seed: int) -> np.ndarray:
    hours = np.arange(points) / DAY_POINTS * 2 * np.pi
    return (100 + 40 * np.sin(hours) + 3 * np.random.default_rng(seed).standard_normal(points))[:, None]


FAULTS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "a spike": lambda quiet: np.concatenate([[[190.0]], quiet[1:]]),
    "a drop": lambda quiet: quiet * 0.3,
    "another level": lambda quiet: quiet + 30,
    "wild swings": lambda quiet: 100 + (quiet - 100) * 8,
    "stuck": lambda quiet: np.full_like(quiet, 104.2),
}


@pytest.mark.parametrize("seed", representatives([1, 2], 1))
@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_told_and_named(fault: str, seed: int) -> None:
    watch, rows = SeriesWatch("prod"), usual(400, seed)
    quiet = told(watch, rows[:300])
    assert len(quiet) <= 2
    found = [a for a in told(watch, FAULTS[fault](rows[300:]), first=300) if a.phase is AnomalyPhase.OPENED]
    assert found, fault
    first = found[0]
    assert (first.phase, first.kind, first.service) == (AnomalyPhase.OPENED, AnomalyKind.SERIES, "orders")
    assert first.onset_ns <= T0 + 360 * FIVE_MINUTES
    assert first.contributions[0].feature == "orders"
    assert first.contributions[0].share == 1.0


def test_what_comes_back_is_over_and_another_fault_is_told_again() -> None:
    watch, rows = SeriesWatch("prod"), usual(1400, 4)
    rows[700:706] = 300
    rows[1300:1306] = 900
    phases = [a.phase for a in told(watch, rows)]
    assert phases == [AnomalyPhase.OPENED, AnomalyPhase.CLOSED] * 2


def test_a_day_like_every_day_is_not_told_and_a_day_unlike_them_is() -> None:
    watch, rows = SeriesWatch("prod"), daily(8 * DAY_POINTS, 5)
    rows[7 * DAY_POINTS + 100 : 7 * DAY_POINTS + 160] = 100.0  # no high noon, within all that was seen
    found = told(watch, rows)
    assert all(a.onset_ns >= T0 + 7 * DAY_POINTS * FIVE_MINUTES for a in found[:1])
    assert found


@pytest.mark.parametrize("weeks", representatives([1, 2, 4], 1))
def test_false_alarms_stay_within_the_budget(weeks: int) -> None:
    """Ten series for some weeks each, one false alarm a week accepted over all of them."""
    opened = 0
    for seed in range(weeks):
        watch, rows = SeriesWatch("prod"), usual(7 * DAY_POINTS, seed, width=10)
        names = tuple(f"s{j}" for j in range(10))
        opened += sum(a.phase is AnomalyPhase.OPENED for a in told(watch, rows, names=names))
    assert opened <= 2 * weeks


def test_only_the_bad_side_is_told() -> None:
    for direction, expected in ((-1, []), (1, [AnomalyPhase.OPENED])):
        watch, rows = SeriesWatch("prod"), usual(710, 6)
        rows[700:] = 200
        assert [a.phase for a in told(watch, rows, direction=direction)][:1] == expected


def test_a_group_is_one_alarm_that_names_its_loudest() -> None:
    watch, rows = SeriesWatch("prod"), usual(720, 7, width=6)
    rows[700:, 2] += 40
    rows[700:, 4] -= 60
    names = tuple(f"host cpu{j}" for j in range(6))
    found = told(watch, rows, names=names, group="host")
    assert [a.service for a in found if a.phase is AnomalyPhase.OPENED] == ["host"]
    assert {c.feature for c in found[0].contributions[:2]} == {"host cpu2", "host cpu4"}
    assert sum(c.share for c in found[0].contributions) == pytest.approx(1.0)
    assert "host cpu4" in found[0].text


def test_sparse_counts_do_not_hide_a_burst() -> None:
    """Most values are 0 and a few are 1 to 4: 30 is far, however many zeros there were."""
    watch, rng = SeriesWatch("prod"), np.random.default_rng(21)
    rows = np.where(rng.random(600) < 0.1, rng.integers(1, 5, 600), 0).astype(np.float64)[:, None]
    rows[400:403] = 30.0
    opened = [a for a in told(watch, rows) if a.phase is AnomalyPhase.OPENED]
    assert [(a.onset_ns - T0) // FIVE_MINUTES for a in opened] == [400]
    assert opened[0].contributions[0].share == 1.0
    assert opened[0].text


def test_spikes_of_single_members_of_a_large_group_are_no_event_and_many_at_once_are() -> None:
    rng = np.random.default_rng(22)
    rows = rng.standard_normal((1000, 30))
    rows += np.where(rng.random(rows.shape) < 0.002, rng.exponential(6.0, rows.shape), 0.0)
    rows[900:903] += 5.0
    names = tuple(f"d{j}" for j in range(30))
    found = told(SeriesWatch("prod"), rows, names=names, group="host")
    onsets = [(a.onset_ns - T0) // FIVE_MINUTES for a in found if a.phase is AnomalyPhase.OPENED]
    assert 900 in onsets
    assert len(onsets) <= 3


def test_a_distance_is_told_once_and_the_new_level_is_adopted() -> None:
    watch, rows = SeriesWatch("prod"), usual(1000, 23, width=4)
    rows[700:] += 60
    found = told(watch, rows, names=tuple("abcd"), group="g")
    opened, closed = (a for a in found if a.time_ns >= T0 + 700 * FIVE_MINUTES)
    assert (opened.phase, closed.phase) == (AnomalyPhase.OPENED, AnomalyPhase.CLOSED)
    assert opened.onset_ns == T0 + 700 * FIVE_MINUTES
    assert closed.time_ns < T0 + 900 * FIVE_MINUTES


def test_a_snapshot_of_before_distances_were_known_is_gone_on_from() -> None:
    kept, rows = SeriesWatch("prod"), usual(720, 24)
    rows[700:] = 400
    told(kept, rows[:600])
    body = load("SeriesWatch", 1, kept.snapshot())
    del body["distances"], body["scorer"]["distances"]
    restored = SeriesWatch("prod")
    restored.restore(save("SeriesWatch", 1, body))
    found = told(restored, rows[600:], first=600)
    assert found[0].onset_ns == T0 + 700 * FIVE_MINUTES


def test_a_counter_is_judged_by_its_growth_and_a_reset_is_no_fault() -> None:
    growth = usual(720, 8)[:, 0] * 300
    growth[700:] *= 4
    total = growth.cumsum()
    total[400:] -= total[399]
    found = told(SeriesWatch("prod"), total[:, None], mode=SeriesMode.COUNTER)
    assert found[0].onset_ns == T0 + 700 * FIVE_MINUTES
    assert found[0].contributions[0].value == pytest.approx(growth[700] / 300, rel=0.01)


def test_what_stops_is_not_told_as_well() -> None:
    watch, rows = SeriesWatch("prod"), usual(704, 9)
    rows[700:] = 400
    told(watch, rows)
    assert watch.tick(T0 + 705 * FIVE_MINUTES) == []
    (ended,) = watch.tick(T0 + 704 * FIVE_MINUTES + HOUR)
    assert (ended.phase, ended.state) == (AnomalyPhase.CLOSED, ServiceState.STALE)


def test_points_that_cannot_be_judged_are_counted() -> None:
    watch = SeriesWatch("prod", most=1)
    watch.observe(frame([1.0], T0), T0)
    watch.observe(frame([1.0], T0), T0)
    watch.observe(frame([float("nan")], T0 + SECOND), T0 + SECOND)
    watch.observe(frame([1.0], T0 + SECOND, names=("another",)), T0 + SECOND)
    assert +watch.counters == {"points": 1, "late_points": 1, "not_finite": 1, "series_limit": 1}


def of_a_day(watch: SeriesWatch, hosts: int, first: int) -> None:
    """A business figure, and hosts of which each has three points and is gone."""
    for i in range(3 * hosts):
        at_ns = T0 + (3 * first + i) * FIVE_MINUTES
        watch.observe(frame([100.0 + i % 7], at_ns), at_ns)
        name = f"host {first + i // 3}"
        watch.observe(frame([float(i % 5)], at_ns, names=(f"{name} cpu",), group=name), at_ns)


def test_series_that_are_gone_leave_for_new_ones() -> None:
    watch = SeriesWatch("prod", most=20)
    sizes = []
    for day in range(6):
        of_a_day(watch, 25, 25 * day)
        sizes.append(len(watch.snapshot()))
    assert watch.counters["points"] == 2 * 6 * 75
    assert watch.counters["series_limit"] == 0
    assert 150 - 20 < watch.counters["series_left"] < 150
    assert max(sizes) < 1.3 * sizes[0]
    restored = SeriesWatch("prod", most=20)
    restored.restore(watch.snapshot())
    for one in (watch, restored):
        of_a_day(one, 25, 150)
    assert restored.snapshot() == watch.snapshot()


def test_what_is_learnt_of_others_stays_where_series_leave() -> None:
    rows = usual(500, 12)
    alone, crowded = SeriesWatch("prod"), SeriesWatch("prod", most=10)
    rows[450:] += 60
    expected = told(alone, rows)
    found = []
    for i, row in enumerate(rows):
        at_ns = T0 + i * FIVE_MINUTES
        crowded.observe(frame([1.0], at_ns, names=(f"gone-{i}",), group=f"group {i // 2}"), at_ns)
        found += crowded.observe(frame(row, at_ns), at_ns)
    assert crowded.counters["series_left"] > 400
    assert [(a.time_ns, a.decades) for a in found[:1]] == [(a.time_ns, a.decades) for a in expected[:1]]


def test_what_is_heard_of_or_alarmed_never_leaves() -> None:
    watch, rows = SeriesWatch("prod", most=4), usual(404, 13)
    rows[400:] = 400
    assert [a.phase for a in told(watch, rows)] == [AnomalyPhase.OPENED]
    begin_ns = T0 + 404 * FIVE_MINUTES
    for i in range(12):
        at_ns = begin_ns + i * 10 * MINUTE
        watch.observe(frame([1.0, 2.0, 3.0, 4.0], at_ns, names=[f"{i} {j}" for j in range(4)]), at_ns)
    assert watch.counters["series_left"] > 0
    assert watch.counters["series_limit"] > 0
    assert [a.state for a in watch.tick(begin_ns + 2 * HOUR)] == [ServiceState.STALE]
    late_ns = begin_ns + 5 * HOUR
    watch.observe(frame([1.0] * 4, late_ns, names=("a", "b", "c", "d")), late_ns)
    watch.counters.clear()
    watch.observe(frame([1.0] * 4, late_ns + SECOND, names=("a", "b", "c", "d")), late_ns + SECOND)
    assert watch.counters["points"] == 4


def test_a_sender_whose_clock_is_ahead_leaves_like_others() -> None:
    watch = SeriesWatch("prod", most=1)
    watch.observe(frame([1.0], T0 + 10 * 365 * 24 * HOUR), T0)
    watch.observe(frame([1.0], T0 + 2 * MINUTE, names=("another",)), T0 + 2 * MINUTE)
    assert watch.counters == {"points": 2, "series_left": 1}


def test_it_goes_on_from_a_snapshot_as_if_nothing_had_been() -> None:
    rows = usual(760, 10, width=3)
    rows[720:] += 50
    names, kept = ("a", "b", "c"), SeriesWatch("prod")
    told(kept, rows[:700], names=names, group="g")
    restored = SeriesWatch("prod")
    restored.restore(kept.snapshot())
    assert told(restored, rows[700:], first=700, names=names, group="g") == told(
        kept, rows[700:], first=700, names=names, group="g"
    )
    with pytest.raises(UnreadableEvent):
        restored.restore(b"nonsense")
    with pytest.raises(UnreadableEvent):
        restored.restore(SeriesWatch("prod").snapshot()[:-9])


def test_the_unit_of_measurement_does_not_matter() -> None:
    rows = usual(720, 11)
    rows[700:] = 160
    plain, scaled = told(SeriesWatch("prod"), rows), told(SeriesWatch("prod"), rows * 1e-6)
    assert [(a.phase, a.time_ns) for a in plain] == [(a.phase, a.time_ns) for a in scaled]
    assert plain[0].decades == pytest.approx(scaled[0].decades, rel=1e-3)


def test_a_level_that_stays_is_news_once() -> None:
    """What is said again as loudly as before is none; what is louder, or comes when the record has faded, is."""
    loudness = Loudness()
    news = [loudness.hear(score, 0.0, 1).news for score in (8.0, 8.0, 8.0, 9.0, 9.0)]
    assert [n > 0.1 for n in news] == [True, False, False, True, False]
    for _ in range(2 * int(FADING_POINTS)):
        loudness.hear(0.0, 0.0, 1)
    assert loudness.hear(8.0, 0.0, 1).news > 5.0
