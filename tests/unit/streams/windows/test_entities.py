"""Numbered services and edges: how late their data come, how long they are silent, and who makes room."""

from __future__ import annotations

import numpy as np
import pytest

from contracts.units import MILLISECOND, MINUTE
from contracts.units import SECOND as S
from streams.windows.entities import NEVER, Delays, Entities, Together

T0 = 1_700_000_000 * S
ONE = np.array([0], np.int64)


def delays(*late: tuple[int, float, int], cap_s: float = 60.0) -> Delays:
    """Of two entities: at a second, so many events came so many seconds late of the first."""
    found = Delays(round(cap_s * S))
    found.grow(2)
    for second, late_s, events in late:
        found.observe(ONE, np.array([round(late_s * S)]), np.array([events]), T0 + second * S)
    return found


@pytest.mark.parametrize(
    ("late", "low_s", "high_s"),
    [
        ([(0, 0.0, 10)], 0.0, 0.0),
        ([(0, -3.0, 10)], 0.0, 0.0),
        ([(0, 0.04, 10)], 0.05, 0.06),  # no finer than that
        ([(0, 2.0, 10)], 2.0, 2.0 * 1.25 * 1.1),
        ([(0, 0.0, 1000), (1, 10.0, 10)], 0.0, 0.0),  # one straggler in a hundred does not count
        ([(0, 0.0, 1000), (1, 10.0, 11)], 10.0, 14.0),
        ([(0, 100.0, 10)], 60.0, 60.0),
    ],
)
def test_what_nearly_all_come_in_is_waited_for(late: list[tuple[int, float, int]], low_s: float, high_s: float) -> None:
    found = delays(*late)
    assert low_s * S <= found.delay_ns[0] <= high_s * S
    assert found.delay_ns[1] == 0, "it is another's"


def test_a_disturbance_is_forgotten_after_ten_seconds_with_data() -> None:
    found = delays((0, 10.0, 1000), *((n, 0.0, 1) for n in range(1, 10)))
    assert found.delay_ns[0] >= 10 * S
    found.observe(ONE, np.array([-S]), np.array([1]), T0 + 9 * S)
    assert found.delay_ns[0] >= 10 * S, "the same second again"
    found.observe(ONE, np.array([0]), np.array([1]), T0 + 10 * S)
    assert found.delay_ns[0] == 0


def test_delays_lose_half_their_weight_each_minute() -> None:
    def share_of_late(gap_ns: int) -> bool:
        found = Delays(60 * S)
        found.grow(1)
        found.observe(ONE, np.array([10 * S]), np.array([100]), T0)
        found.observe(ONE, np.array([0]), np.array([4950 + 50]), T0 + gap_ns)
        return bool(found.delay_ns[0] > 0)

    assert share_of_late(MINUTE), "of 5,100 one in fifty-one was late"
    assert not share_of_late(MINUTE + 1), "half of that is less than one in a hundred"


def test_delays_are_the_same_from_a_snapshot_and_none_once_forgotten() -> None:
    found = delays((0, 10.0, 10), (3, 5.0, 10))
    again = Delays(60 * S)
    again.load(found.state(2), 2, 2)
    for one in (found, again):
        one.observe(ONE, np.array([0]), np.array([1]), T0 + 8 * S)
    assert again.delay_ns.tolist() == found.delay_ns.tolist() != [0, 0]
    assert [c.tolist() for c in (again.worst_ns, again.slot, again.arrived_s)] == [
        c.tolist() for c in (found.worst_ns, found.slot, found.arrived_s)
    ]
    found.forget()
    assert found.delay_ns.tolist() == [0, 0]
    assert not found.weight.any()
    assert not found.worst_ns.any()


def test_a_silence_of_everybody_explains_one_that_it_is_most_of() -> None:
    together = Together()
    for window in (*range(100), *range(110, 120)):
        together.take(window)
    together.take(105)  # what comes late changes nothing
    assert (together.begin, together.end, together.newest) == (100, 110, 119)

    def explains(heard: int, window: int) -> bool:
        return bool(together.explains(np.array([heard]), window)[0])

    assert explains(99, 110)
    assert explains(99, 119), "ten of nineteen"
    assert not explains(99, 120), "ten of twenty"
    assert explains(91, 110)
    assert not explains(89, 110)
    assert not explains(110, 115), "it is over"


@pytest.mark.parametrize(("heard", "of", "unusual"), [(1, 1, True), (3, 5, True), (2, 5, False), (1, 3, False)])
def test_where_everybody_is_silent_most_of_the_time_that_explains_nothing(heard: int, of: int, unusual: bool) -> None:
    together = Together()
    for window in range(3000):
        if window % of < heard:
            together.take(window)
    last = together.newest
    together.take(last + 20)
    assert bool(together.explains(np.array([last]), last + 20)[0]) is unusual


def several(*names: str, most: int = 100) -> Entities:
    entities = Entities(most, 60 * S)
    for name in names:
        entities.number((name, ""))
    return entities


def test_a_silence_of_its_own_is_a_habit_unless_it_was_lost() -> None:
    entities = several("cart", "web")
    silent = {*range(100, 110), *range(120, 125), *range(140, 142), *range(150, 158), *range(170, 200)}
    for window in range(220):
        entities.sent(np.array([1]), window, np.array([1]))
        if window == 199:
            entities.lost[0] = True
        if window not in silent:
            entities.sent(np.array([0]), window, np.array([40 if window < 210 else 20]))
    assert entities.gaps[0].tolist() == pytest.approx([10, 8, 5], rel=0.02)
    assert (entities.gaps[0] < [10, 8, 5]).all(), "with time they fade"
    assert entities.gaps[1].tolist() == [0, 0, 0]
    assert entities.usual.tolist()[:2] == pytest.approx([20 + 20 * 0.95**10, 1.0])
    assert (entities.heard[0], bool(entities.lost[0])) == (219, False)


def test_who_had_data_is_known_for_as_long_as_is_asked() -> None:
    entities = several("cart", "web")
    entities.seen(np.array([0]), 10)
    entities.seen(np.array([0]), 7)
    known = [bool(entities.known(window, 5)[0]) for window in (7, 8, 15, 16)]
    assert known == [False, True, True, False]
    assert not entities.known(8, 5)[1:].any()
    assert (entities.find(("cart", "")), entities.find(("nobody", ""))) == (0, -1)


@pytest.mark.parametrize(("index", "begins_anew"), [(131, True), (130, False), (90, False)])
def test_whose_data_leap_ahead_of_its_silence_begins_anew(index: int, begins_anew: bool) -> None:
    entities = several("cart", "web")
    entities.seen(np.array([0]), 100)
    entities.resumed(np.array([0]), np.array([100]), 100, 20)
    entities.resumed(np.array([0, 0]), np.array([50, index]), 110, 20)  # ten windows later
    assert bool(entities.first[0] == NEVER) is begins_anew
    assert entities.came[:2].tolist() == [110, -1]
    entities.resumed(np.array([1]), np.array([500]), 110, 20)
    assert entities.came[1] == 110, "who was never seen does not leap"


def test_numbers_go_on_past_the_room_of_the_arrays_and_no_further_than_allowed() -> None:
    entities = several(*(f"s{n}" for n in range(70)), most=70)
    assert len(entities) == 70 <= entities.capacity == len(entities.usual) == len(entities.delays.delay_ns)
    assert (entities.number(("s69", "")), entities.number(("one more", ""))) == (69, -1)
    assert (entities.first == NEVER).all()
    assert (entities.last == -1).all()


def test_who_is_heard_of_no_more_makes_room_and_nothing_of_it_is_taken_for_the_next() -> None:
    entities = several(*(f"s{n}" for n in range(100)), most=100)
    everybody = np.arange(100)
    for window in range(50):
        entities.seen(everybody if window < 20 else everybody[5:], window)
    entities.sent(everybody, 10, np.full(100, 7))
    entities.identify(2, "v1", "a=b", "otlp/0", T0)
    entities.delays.observe(everybody, np.full(100, 5 * S), np.full(100, 9), T0)
    gone = set(entities.make_room(40, 10).tolist())
    assert gone
    assert gone <= set(range(5)), "those that are heard of stay"
    assert entities.make_room(40, 10).size == 0, "looked at once for each window"
    names = {entities.keys[n] for n in gone}
    number = entities.number(("new", ""))
    assert number in gone
    assert all(entities.find(name) == -1 for name in names)
    row = (entities.version[number], entities.attributes[number], entities.first[number], entities.last[number])
    assert row == ("", "", NEVER, -1)
    assert (entities.heard[number], entities.usual[number], entities.delays.delay_ns[number]) == (-1, 0, 0)
    again = Entities(100, 60 * S)
    again.load(entities.state())
    assert again.number(("new", "")) == number
    assert again.find(("s50", "")) == 50
    assert [again.find(name) for name in names] == [-1] * len(names)


def test_what_was_believed_to_be_ahead_of_the_clock_is_taken_back() -> None:
    entities = several("cart", "web")
    entities.seen(np.array([0]), 500)
    entities.sent(np.array([0]), 500, np.array([3]))
    entities.resumed(np.array([0]), np.array([500]), 500, 20)
    entities.mend(100)
    assert [int(c[0]) for c in (entities.first, entities.last, entities.heard, entities.came)] == [100] * 4
    assert [int(c[1]) for c in (entities.first, entities.last, entities.heard, entities.came)] == [NEVER, -1, -1, -1]


def test_the_finest_delay_is_a_twentieth_of_a_second() -> None:
    found = delays((0, 0.001, 10))
    assert found.delay_ns[0] == pytest.approx(50 * MILLISECOND * 1.1)


def test_before_the_first_rows_nobody_was_silent() -> None:
    together = Together()
    together.take(100)
    assert (together.begin, together.end, together.newest, together.heard, together.passed) == (0, 0, 100, 0.0, 0.0)
    together.take(101)
    assert (together.begin, together.end, together.heard, together.passed) == (0, 0, 1.0, 1.0)
    together.take(103)
    assert (together.begin, together.end) == (102, 103)
    assert (together.heard, together.passed) == pytest.approx((1 + (599 / 600) ** 2, 2 + (599 / 600) ** 2))


def test_the_longest_delays_are_all_one() -> None:
    """Of forty steps the last is about four minutes: nobody tells five from ten."""
    last = round(50 * MILLISECOND * 1.25**38 * 1.1)
    for late_s in (300.0, 600.0):
        assert delays((0, late_s, 10), cap_s=3600.0).delay_ns[0] == pytest.approx(last, rel=1e-9)
    assert delays((0, 230.0, 10), cap_s=3600.0).delay_ns[0] == pytest.approx(last, rel=1e-9)
    assert delays((0, 190.0, 10), cap_s=3600.0).delay_ns[0] == pytest.approx(last / 1.25, rel=1e-9)


def test_ninety_nine_of_a_hundred_are_enough() -> None:
    assert delays((0, 0.0, 99), (1, 10.0, 1)).delay_ns[0] == 0
    assert delays((0, 0.0, 98), (1, 10.0, 2)).delay_ns[0] > 10 * S


def test_half_of_the_weight_is_left_after_a_minute_and_halving_begins_anew_with_the_rest() -> None:
    found = delays((0, 0.0, 100))
    assert (found.weight[0, 0], found.halved_ns) == (100.0, T0)
    found.observe(ONE, np.array([0]), np.array([1]), T0 + MINUTE)
    assert (found.weight[0, 0], found.halved_ns) == (101.0, T0), "a minute is not over yet"
    found.observe(ONE, np.array([0]), np.array([1]), T0 + MINUTE + 1)
    assert (found.weight[0, 0], found.halved_ns) == (51.5, T0 + MINUTE + 1)
    found.forget()
    assert (found.weight.sum(), found.halved_ns, found.slot.tolist()) == (0.0, 0, [0, 0])


def test_of_before_there_were_rings_nobody_was_quicker_of_late_than_is_waited_for() -> None:
    saved = delays((0, 10.0, 10)).state(2)
    again = Delays(60 * S)
    again.load({name: saved[name] for name in ("weight", "delay", "halved")}, 2, 4)
    assert again.worst_ns.tolist() == [[60 * S] * 10] * 2 + [[0] * 10] * 2
    assert (again.arrived_s.tolist(), again.slot.tolist()) == ([0] * 4, [0] * 4)
    assert again.weight.shape == (4, 40)


def test_a_window_that_is_told_again_is_no_silence_and_the_first_of_all_counts() -> None:
    together = Together()
    for window in (0, 1, 1, 3, 3):
        together.take(window)
    assert (together.begin, together.end, together.newest) == (2, 3, 3)
    assert (together.heard, together.passed) == pytest.approx((1 + (599 / 600) ** 2, 2 + (599 / 600) ** 2))


@pytest.mark.parametrize(("window", "explained"), [(114, True), (115, False)])
def test_who_was_heard_amid_a_silence_of_everybody_was_silent_since(window: int, explained: bool) -> None:
    """Of what came after window 104 five windows are of everybody's silence."""
    together = Together(newest=110, begin=100, end=110, heard=9.0, passed=10.0)
    assert bool(together.explains(np.array([104]), window)[0]) is explained


@pytest.mark.parametrize(("heard", "explained"), [(5.0, True), (4.99, False)])
def test_half_of_all_windows_are_most(heard: float, explained: bool) -> None:
    together = Together(newest=110, begin=100, end=110, heard=heard, passed=10.0)
    assert bool(together.explains(np.array([99]), 110)[0]) is explained


@pytest.mark.parametrize("count", [1, 65])
def test_all_that_is_known_of_an_entity_has_its_place(count: int) -> None:
    entities = several(*(f"s{n}" for n in range(count)), most=500)
    d = entities.delays
    columns = (
        entities.first, entities.last, entities.came, entities.served, entities.heard, entities.gaps, entities.usual,
        entities.lost, d.weight, d.delay_ns, d.worst_ns, d.arrived_s, d.slot,
    )  # fmt: skip
    assert {len(c) for c in columns} == {entities.capacity} == {64 if count == 1 else 128}
    assert (entities.gaps.shape[1], d.worst_ns.shape[1]) == (3, 10)
    last = count - 1
    assert [c[last] for c in columns[:5]] == [NEVER, -1, -1, False, -1]
    assert not any(np.any(c[last]) for c in columns[5:])
    assert len(entities.version) == len(entities.attributes) == len(entities) == count


def test_a_snapshot_says_all_that_was_known_and_an_older_one_what_it_can() -> None:
    entities = several("cart", "web")
    entities.seen(np.array([0, 1]), 10)
    entities.sent(np.array([0]), 10, np.array([7]))
    entities.sent(np.array([0]), 14, np.array([9]))
    entities.lost[1] = True
    entities.identify(0, "v1", '{"a":"b"}', "otlp/0", T0)
    saved = entities.state()
    again = Entities(100, 60 * S)
    again.load(saved)
    told = again.state()
    assert told.keys() == saved.keys()
    for name, value in saved.items():
        assert repr(told[name]) == repr(value), name
    again.identify(0, "", '{"c":"d"}', "otlp/1", T0)
    entities.identify(0, "", '{"c":"d"}', "otlp/1", T0)
    assert again.attributes == entities.attributes
    older = Entities(100, 60 * S)
    unknown = {"heard", "gaps", "usual", "lost", "came", "together", "claims"}
    older.load({name: value for name, value in saved.items() if name not in unknown})
    assert (older.heard[0], older.came[0]) == (10, 10), "the last window with data"
    assert (older.gaps.shape, older.gaps.any(), older.usual.any(), older.lost.any()) == ((64, 3), False, False, False)
    older.heard[0], older.came[0] = 11, 12
    assert older.last[0] == 10, "they are not one"


def test_what_was_said_of_who_left_is_not_said_of_who_gets_its_number() -> None:
    entities = several(*(f"s{n}" for n in range(100)), most=100)
    for number in range(100):
        entities.identify(number, "v1", '{"old":"yes"}', "otlp/9", T0)
    entities.seen(np.arange(100), 1)
    assert entities.make_room(40, 10).size
    number = entities.number(("new", ""))
    entities.identify(number, "", '{"new":"yes"}', "otlp/0", T0)
    alone = several("new")
    alone.identify(0, "", '{"new":"yes"}', "otlp/0", T0)
    assert entities.attributes[number] == alone.attributes[0]
    entities.identify(number, "", '{"newer":"yes"}', "otlp/1", T0)
    alone.identify(0, "", '{"newer":"yes"}', "otlp/1", T0)
    assert entities.attributes[number] == alone.attributes[0]


@pytest.mark.parametrize(("served", "again"), [(5, False), (6, True)])
def test_numbers_are_looked_through_once_for_each_window(served: int, again: bool) -> None:
    entities = several(*(f"s{n}" for n in range(100)), most=100)
    entities.seen(np.arange(100), 1)
    first = entities.make_room(5, 10)
    for n in range(len(first)):
        entities.number((f"more{n}", ""))
    assert bool(entities.make_room(served, 10).size) is again


def test_an_entity_without_data_yet_is_nowhere_and_time_that_is_mended_knows_no_later_silence() -> None:
    entities = several("cart", "web")
    entities.sent(np.array([0]), 500, np.array([3]))
    entities.sent(np.array([0]), 501, np.array([3]))
    entities.delays.observe(np.array([0]), np.array([S]), np.array([3]), T0)
    entities.mend(100)
    assert not entities.delays.delay_ns.any()
    entities.sent(np.array([0]), 101, np.array([3]))
    together = entities.state()["together"]
    assert (together["newest"], together["begin"], together["end"]) == (101, 0, 0)
    entities.resumed(np.empty(0, np.int64), np.empty(0, np.int64), 7, 3)
    assert (entities.came[:2] == -1).all()
