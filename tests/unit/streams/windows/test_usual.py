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
        (100.0, 1.0, 64.0, 63.0),  # four standard deviations of roots of a Poisson process
        (100.0, 4.0, 36.0, 35.0),  # of events of which each stands for four
        (12.0, 1.0, 2.0, 1.0),  # of few they are roots that tell: there is no room for four of the numbers themselves
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

    assert [missed_after(n) for n in (20.0, 10.0, 5.0, 3.0, 1.0, 0.5)] == [1, 1, 3, 4, 15, 28]


def test_for_how_many_one_stands_is_remembered_for_a_while() -> None:
    usual = learnt((200, 100.0))
    assert not is_short(usual, 40.0, each=4.0)
    assert not is_short(usual, 40.0, each=NAN), "none came: what they stood for is as before"
    assert not is_short(usual, 40.0, each=1.0)
    for _ in range(20):
        is_short(usual, 100.0, each=1.0)
    assert is_short(usual, 40.0, each=1.0)


TAIL = (0.010, 0.020, 0.200)
"""One of twenty takes ten times as long as the most."""


def news(usual: UsualRows, latencies: tuple[float, ...]) -> list[bool]:
    return usual.more_slow(usual.rows([KEY]), np.array([latencies]))[0].tolist()


@pytest.mark.parametrize("kept", [0.5, 1.0])
def test_whoever_leaves_the_quick_ones_out_makes_the_slow_ones_no_more(kept: float) -> None:
    usual = learnt((200, 20.0), latencies=TAIL)
    for _ in range(60):
        learn(usual, 1, kept, (0.2, 0.2, 0.2), doubt=True)
        assert news(usual, (0.2, 0.2, 0.2)) == [False] * 3
        assert news(usual, (2.0, 2.0, 2.0)) == [False] * 3, "of as long none came"


@pytest.mark.parametrize(("events", "windows"), [(10.0, 1), (5.0, 3), (3.0, 7)])
def test_more_slow_ones_than_ever_are_news_the_sooner_the_more_there_are(events: float, windows: int) -> None:
    usual = learnt((200, 20.0), latencies=TAIL)
    told = []
    for _ in range(windows):
        learn(usual, 1, events, (0.2, 0.25, 0.3), doubt=True)
        told.append(all(news(usual, (0.2, 0.25, 0.3))))
    assert told == [False] * (windows - 1) + [True]


@pytest.mark.parametrize(("events", "windows"), [(3.0, 1), (1.0, 3), (0.5, 7)])
def test_what_never_took_as_long_is_news_soon(events: float, windows: int) -> None:
    usual = learnt((200, 20.0))
    told = []
    for _ in range(windows):
        learn(usual, 1, events, (1.0, 1.0), doubt=True)
        told.append(news(usual, (1.0, 1.0))[0])
    assert told == [False] * (windows - 1) + [True]


def test_of_latencies_only_the_longer_ones_are_asked_about() -> None:
    usual = learnt((200, 20.0), latencies=TAIL)
    rows = usual.rows([KEY])
    assert usual.slower(rows, np.array([[0.0124, 0.0251, NAN]])).tolist() == [[False, True, False]]
    assert not usual.slower(usual.rows([("new", "")]), np.array([TAIL])).any()


@pytest.mark.parametrize(("usual", "few", "enough"), [(100.0, 66.0, 67.0), (12.0, 5.0, 6.0)])
def test_rather_few_is_less_by_a_third_and_by_two_deviations(usual: float, few: float, enough: float) -> None:
    seen = learnt((200, usual))
    rows = seen.rows([KEY])
    assert seen.few(rows, np.array([few]))[0]
    assert not seen.few(rows, np.array([enough]))[0]
    assert not seen.few(seen.rows([("new", "")]), np.array([0.0]))[0]


def test_what_comes_in_bursts_is_no_fewer_between_them() -> None:
    usual = UsualRows(2)
    for _ in range(40):
        learn(usual, 4, 0.0)
        learn(usual, 1, 100.0)
    rows = usual.rows([KEY])
    assert usual.varies(rows)[0] > 50
    assert not any(is_short(usual, n) for n in (0.0, 3.0))
    again = UsualRows(2)
    again.load(usual.state())
    assert again.varies(rows).tolist() == usual.varies(rows).tolist()


def test_what_varies_somewhat_is_fewer_where_it_is_fewer() -> None:
    usual = learnt(*[(1, 12.0), (1, 28.0)] * 100)
    assert 5 < usual.varies(usual.rows([KEY]))[0] < 8
    assert is_short(usual, 4.0)
    assert usual.few(usual.rows([KEY]), np.array([9.0]))[0]


def test_a_step_to_another_level_is_no_burst() -> None:
    usual = learnt((200, 20.0), (60, 40.0))
    assert usual.varies(usual.rows([KEY]))[0] == 1.0
    doubted = learnt((200, 20.0))
    learn(doubted, 1, 0.0, doubt=True)
    learn(doubted, 1, 20.0)
    assert doubted.varies(doubted.rows([KEY]))[0] == 1.0
    assert doubted.state()[6][0] < 0.05, "between what is in doubt and what is not nothing is compared"


def test_latencies_are_learnt_as_their_logarithms_and_not_in_doubt() -> None:
    usual = learnt((1, 10.0), latencies=(NAN, 0.02))
    learn(usual, 1, 10.0, (0.01, 0.08))
    learn(usual, 50, 10.0, (1.0, 1.0), doubt=True)
    rows = usual.rows([KEY])

    def slower(p99: float) -> bool:
        return bool(usual.slower(rows, np.array([[0.01, p99]]))[0, 1])

    assert not slower(0.0499)
    assert slower(0.0501), "a quarter more than the mean of two: 20 ms and 80 ms"


def test_a_snapshot_of_before_there_was_as_much_in_it_goes_on() -> None:
    usual = learnt((200, 20.0))
    again = UsualRows(2)
    again.load(usual.state()[:5])
    learn(again, 100, 20.0)
    assert of(again) == pytest.approx(20.0)
    assert again.varies(again.rows([KEY, ("new", "")])).tolist() == [1.0, 1.0]
    assert not is_short(again, 20.0)


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
