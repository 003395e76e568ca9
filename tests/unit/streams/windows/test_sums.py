"""Sums and quantiles of one window, in whatever order and parts they come."""

from __future__ import annotations

import numpy as np
import pytest

from contracts.frames.latency import midpoint
from streams.windows.sequence import NEW_LOG_GAP, Sequence
from streams.windows.window import Sums, Window


def ints(*numbers: int) -> np.ndarray:
    return np.array(numbers, np.int64)


def test_sums_are_by_key_and_nothing_where_there_is_none() -> None:
    sums = Sums(2)
    assert [c.tolist() for c in sums.of(ints(3, 4))] == [[0, 0], [0, 0]]
    sums.add(ints(5, 3, 5), (ints(1, 2, 4), ints(10, 20, 40)))
    assert [c.tolist() for c in sums.of(ints(3, 4, 5, 9, 0))] == [[2, 0, 5, 0, 0], [20, 0, 50, 0, 0]]
    sums.add(ints(4), (ints(7), ints(70)))
    assert [c.tolist() for c in sums.of(ints(3, 4, 5))] == [[2, 7, 5], [20, 70, 50]]


def test_quantiles_are_each_keys_own() -> None:
    sums = Sums(1)
    assert np.isnan(sums.quantiles(ints(1), (0.5,))).all()
    sums.add_cells(ints(7, 2, 2, 2), ints(300, 100, 200, 250), ints(1, 90, 9, 1))
    sums.add_cells(ints(2), ints(100), ints(0))
    found = sums.quantiles(ints(1, 2, 7), (0.5, 0.9, 0.95, 0.99, 1.0))
    low, mid, high, other = midpoint(np.array([100, 200, 250, 300], np.int32))
    assert np.isnan(found[0]).all()
    assert found[1].tolist() == [low, low, mid, mid, high]
    assert found[2].tolist() == [other] * 5


def test_a_window_and_its_sums_are_the_same_from_a_snapshot() -> None:
    window = Window(7, 2, 3)
    window.sums.add(ints(2, 0, 2), (ints(1, 2, 3), ints(4, 5, 6)))
    window.sums.add_cells(ints(2, 0), ints(5, 6), ints(1, 1))
    window.touch(ints(2))
    window.sent[2] = True
    window.touch(ints(0))
    window.touch(ints(2))
    window.missing[1] = window.fill = True
    window.due_ns, window.revision, window.waits = 9, 2, ints(1)
    again = Window(0, 2, 0)
    again.load(window.state())
    for one in (window, again):
        marks = [one.have.tolist(), one.sent.tolist(), one.dirty.tolist(), one.missing.tolist()]
        t, f = True, False
        assert marks == [[t, f, t], [f, f, t], [f, f, t], [f, t, f]]
        assert (one.index, one.fill, one.changed, one.revision, one.due_ns, one.waits.tolist()) == (7, t, t, 2, 9, [1])
        assert [c.tolist() for c in one.sums.of(ints(0, 1, 2))] == [[2, 0, 4], [5, 0, 10]]
        assert np.isfinite(one.sums.quantiles(ints(0, 1, 2), (0.5,)))[:, 0].tolist() == [True, False, True]
        one.fit(5)
        assert (len(one.have), one.have.tolist()[3:], one.missing.tolist()) == (5, [f, f], [f, t, f, f, f])
        one.dirty[:] = False
        one.spoil(ints(0, 1, 2))
        assert one.dirty.tolist() == [f, f, t, f, f], "what was sent and has data"
        assert one.due_ns == 0


def test_columns_that_an_older_snapshot_did_not_have_are_nothing() -> None:
    sums, more = Sums(1), Sums(3)
    sums.add(ints(1, 2), (ints(5, 6),))
    more.load(sums.state())
    assert [c.tolist() for c in more.of(ints(2, 1))] == [[6, 5], [0, 0], [0, 0]]


@pytest.mark.parametrize("again", [0, 4, 5])
def test_numbers_of_frames_go_up_with_offsets_and_far_up_where_the_log_is_new(again: int) -> None:
    sequence = Sequence()
    assert sequence.number == 0
    numbers = []
    for offset in (0, 5, again, again + 1):
        sequence.reach(offset)
        numbers.append(sequence.number)
    assert numbers == [1, 6, 6 + NEW_LOG_GAP + again + 1, 6 + NEW_LOG_GAP + again + 2]
    assert NEW_LOG_GAP == 1 << 40, "stored in snapshots: of an older one, too"


def test_a_new_window_has_seen_nothing_and_data_change_it() -> None:
    window = Window(7, 2, 2)
    assert (window.fill, window.changed, window.revision, window.due_ns, window.waits.tolist()) == (
        False,
        False,
        0,
        0,
        [],
    )
    assert not np.concatenate([window.have, window.sent, window.dirty, window.missing]).any()
    before = window.have
    window.fit(2)
    assert window.have is before, "there is room enough"
    window.fit(1)
    assert window.have is before
    window.fit(3)
    assert len(window.have) == len(window.missing) == 3
    for change in (window.touch, window.spoil):
        window.changed, window.due_ns = False, 9
        change(ints(0))
        assert (window.changed, window.due_ns) == (True, 0)


def test_what_is_beyond_a_window_is_kept_and_an_older_snapshot_knows_less() -> None:
    window = Window(7, 2, 2)
    window.beyond.add(ints(2), (ints(1500), ints(500)))
    window.waits, window.missing[1] = ints(1), True
    saved = window.state()
    again = Window(0, 2, 0)
    again.load(saved)
    assert [c.tolist() for c in again.beyond.of(ints(2, 3))] == [[1500, 0], [500, 0]]
    older = Window(0, 2, 0)
    marks = {"marks": saved["marks"][:3]}
    older.load({name: value for name, value in saved.items() if name not in {"beyond", "waits"}} | marks)
    assert [c.tolist() for c in older.beyond.of(ints(2))] == [[0], [0]]
    assert (older.waits.tolist(), older.missing.tolist(), older.index) == ([], [False, False], 7)


def test_keys_that_come_twice_in_one_part_are_summed() -> None:
    sums = Sums(1)
    sums.add(ints(3, 3, 4), (ints(1, 2, 4),))
    sums.add_cells(ints(3, 3), ints(100, 100), ints(1, 1))
    sums.add_cells(ints(3), ints(200), ints(1))
    assert sums.of(ints(3, 4))[0].tolist() == [3, 4]
    assert sums.quantiles(ints(3), (0.5,))[0, 0] == midpoint(np.array([100], np.int32))[0]
    older = Sums(3)
    older.load(sums.state())
    assert [c.tolist() for c in older.of(ints(3))] == [[3], [0], [0]]
