"""What is usual of a row, from how many windows on, and how far below it is too few."""

from __future__ import annotations

import math

import numpy as np
import pytest

from streams.windows.usual import KNOWN_AFTER, UsualRows

NAN = math.nan
KEY = ("shop", "")


def learnt(*runs: tuple[int, float], latencies: tuple[float, ...] = (0.01, 0.02), doubt: bool = False) -> UsualRows:
    """So many windows of so many events each, one run after the other."""
    usual = UsualRows(len(latencies))
    for windows, events in runs:
        learn(usual, windows, events, latencies, doubt=doubt)
    return usual


def learn(
    usual: UsualRows, windows: int, events: float, latencies: tuple[float, ...] = (0.01, 0.02), *, doubt: bool = False
) -> None:
    for _ in range(windows):
        usual.learn(usual.rows([KEY]), np.array([events]), np.array([latencies]), np.array([doubt]))


def of(usual: UsualRows) -> float:
    return float(usual.usual(usual.rows([KEY]))[0])


def is_short(usual: UsualRows, events: float, each: float = 1.0) -> bool:
    return bool(usual.short(usual.rows([KEY]), np.array([events]), np.array([each]))[0])


def test_what_is_usual_is_the_mean_of_twenty_windows_and_of_about_a_minute_later() -> None:
    assert math.isnan(of(learnt((KNOWN_AFTER - 1, 10.0))))
    assert of(learnt((10, 10.0), (10, 20.0))) == pytest.approx(15.0)
    assert of(learnt((30, 10.0), (30, 20.0))) == pytest.approx(15.0)
    late = 20.0 - 10.0 * (59 / 60) ** 60
    assert of(learnt((200, 10.0), (60, 20.0))) == pytest.approx(late), "older windows fade"
    assert of(learnt((60, 10.0), (100, NAN))) == pytest.approx(10.0), "of windows that are not known nothing is learnt"


def test_what_is_in_doubt_changes_little_until_it_is_accepted() -> None:
    usual = learnt((100, 10.0))
    learn(usual, 30, 40.0, doubt=True)
    assert of(usual) == pytest.approx(10.0 + 30.0 * (1 - (899 / 900) ** 30))
    usual.accept(usual.rows([KEY]))
    assert of(usual) == pytest.approx(40.0, rel=1e-4)


@pytest.mark.parametrize(
    ("usual", "each", "enough", "few"),
    [
        (100.0, 1.0, 60.0, 59.0),  # four standard deviations of a Poisson process
        (100.0, 4.0, 20.0, 19.0),  # of events of which each stands for four
        (1000.0, 1.0, 667.0, 666.0),  # by a third, however sure
    ],
)
def test_too_few_is_less_than_chance_and_less_by_a_third(usual: float, each: float, enough: float, few: float) -> None:
    assert not is_short(learnt((200, usual)), enough, each)
    assert is_short(learnt((200, usual)), few, each)


def test_rare_events_are_missed_after_more_windows() -> None:
    def missed_after(events: float) -> int:
        usual = learnt((200, events))
        for windows in range(1, 60):
            if is_short(usual, 0.0):
                return windows
            learn(usual, 1, 0.0, doubt=True)
        return 0

    assert [missed_after(n) for n in (20.0, 10.0, 5.0, 3.0, 1.0, 0.5)] == [1, 3, 5, 9, 30, 0]


def test_for_how_many_one_stands_is_remembered_for_a_while() -> None:
    usual = learnt((200, 100.0))
    assert not is_short(usual, 40.0, each=4.0)
    assert not is_short(usual, 40.0, each=NAN), "none came: what they stood for is as before"
    assert not is_short(usual, 40.0, each=1.0)
    for _ in range(20):
        is_short(usual, 100.0, each=1.0)
    assert is_short(usual, 40.0, each=1.0)


def test_latencies_within_the_range_of_the_usual_are_those_of_the_slowest() -> None:
    usual = learnt((100, 10.0), latencies=(0.010, 0.020))
    rows = usual.rows([KEY])
    assert usual.spread(rows) == pytest.approx([math.log(2)])
    spread = np.array([math.log(2)])  # as far again beyond: up to 40 ms

    def explained(p50: float, p99: float) -> list[bool]:
        return usual.explained(rows, np.array([[p50, p99]]), spread)[0].tolist()

    assert explained(0.012, 0.024) == [False, False], "not by a quarter more"
    assert explained(0.013, 0.026) == [True, True]
    assert explained(0.039, 0.041) == [True, False]
    assert explained(NAN, 0.0) == [False, False]


def test_latencies_are_learnt_as_their_logarithms_and_not_in_doubt() -> None:
    usual = learnt((1, 10.0), latencies=(NAN, 0.02))
    learn(usual, 1, 10.0, (0.01, 0.08))
    rows = usual.rows([KEY])
    assert usual.spread(rows) == pytest.approx([math.log(4)]), "the mean of two: 10 ms, which came first, and 40 ms"
    learn(usual, 50, 10.0, (1.0, 1.0), doubt=True)
    assert usual.spread(rows) == pytest.approx([math.log(4)])
    assert usual.spread(usual.rows([("new", "")])) == pytest.approx([0.0])


def test_rows_have_a_number_each_and_a_snapshot_keeps_what_is_known() -> None:
    usual = UsualRows(2)
    many = [(f"s{n}", "") for n in range(50)]
    assert usual.rows(many[:2]).tolist() == [0, 1]
    assert usual.rows([many[1], many[0], *many]).tolist() == [1, 0, *range(50)]
    for _ in range(30):
        numbers = usual.rows(many)
        usual.learn(numbers, 1.0 + numbers, np.full((50, 2), 0.01), np.zeros(50, np.bool_))
    again = UsualRows(2)
    again.load(usual.state())
    for one in (usual, again):
        assert one.usual(one.rows(many)) == pytest.approx(1.0 + np.arange(50))
        assert one.rows([("new", ""), many[49]]).tolist() == [50, 49]
        assert np.isnan(one.usual(one.rows([("new", "")])))
