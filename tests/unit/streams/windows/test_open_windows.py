"""The windows that are open: which rows can still be taken, and what data for a window change of the others."""

from __future__ import annotations

import numpy as np
import pytest

from contracts.features import Signal
from contracts.settings import IngestSettings
from contracts.units import MILLISECOND, SECOND
from streams.windows.entities import NEVER
from streams.windows.signal_merge import OpenWindows

T0 = 1_700_000_000
SETTINGS = IngestSettings(window_ms=1000, lateness_ms=300, max_delay_s=10.0, idle_timeout_s=2.0, max_services=10)


def ints(*numbers: int) -> np.ndarray:
    return np.array(numbers, np.int64)


def opened(*names: str, per_service: int = 1) -> OpenWindows:
    found = OpenWindows(Signal.SPANS, SETTINGS, per_service)
    for name in names:
        found.entities.number((name, ""))
    return found


def test_a_window_is_opened_once_and_has_room_for_all() -> None:
    windows = opened("cart")
    first = windows.window(T0)
    first.have[0] = True
    for n in range(70):
        windows.entities.most = 100
        windows.entities.number((f"s{n}", ""))
    again = windows.window(T0)
    assert again is first
    assert len(again.have) == len(again.sent) == windows.entities.capacity > 64
    assert (again.have[0], again.have[1:].any(), again.index) == (True, False, T0)
    assert list(windows.by_number) == [T0]
    assert windows.frontier == -1


@pytest.mark.parametrize(("over_ns", "usable"), [(-1, True), (0, False)])
def test_a_row_is_late_at_once_when_its_window_closes(over_ns: int, usable: bool) -> None:
    windows = opened("cart")
    windows.watermarks.merged = (T0 + 1) * SECOND + 300 * MILLISECOND + 10 * SECOND + over_ns
    assert windows.usable(ints(0), ints(T0), ints(7)).tolist() == [usable]
    assert windows.counters["late"] == (0 if usable else 7)


def test_events_that_can_not_be_taken_are_counted_by_why() -> None:
    windows = opened("cart")
    windows.watermarks.merged = (T0 + 60) * SECOND
    found = windows.usable(ints(0, 0, -1, -1), ints(T0 + 60, T0, T0 + 60, T0), ints(1, 20, 300, 4000))
    assert found.tolist() == [True, False, False, False]
    assert dict(windows.counters) == {"late": 20, "service_limit": 4300}


@pytest.mark.parametrize(
    ("first", "passed", "again"),
    [(NEVER, 5, True), (4, 3, True), (4, 2, False), (3, 5, False), (2, 5, False)],
)
def test_older_data_of_a_service_than_any_before_make_rows_of_it_due_in_later_windows(
    first: int, passed: int, again: bool
) -> None:
    """Data for window 3 of a service whose first were in `first`, when time has passed window `passed`."""
    windows = opened("cart", "web")
    later, here = windows.window(5), windows.window(3)
    windows.frontier, later.due_ns, here.due_ns, windows.entities.first[0] = passed, 99, 99, first
    windows.noticed(here, ints(0))
    assert later.due_ns == (0 if again else 99)
    assert (here.due_ns, here.have.tolist()[:2], here.changed, later.changed) == (0, [True, False], True, False)
    assert (windows.entities.first[0], windows.entities.last[0]) == (min(first, 3), 3)


def test_delays_are_learnt_of_what_nothing_exceptional_held_up() -> None:
    windows = opened("cart", "web", "db")
    windows.learn_delays(ints(0), ints(T0), ints(9))
    assert not windows.entities.delays.weight.any(), "how far time has come is not known yet"
    windows.watermarks.merged = (T0 + 6) * SECOND
    windows.watermarks.disturbed_ns = T0 * SECOND
    windows.learn_delays(ints(0, 1, 2), ints(T0, T0 - 1, T0 + 3), ints(9, 9, 9))
    seconds = windows.entities.delays.delay_ns[:3] / SECOND
    assert 5.0 <= seconds[0] <= 5 * 1.25 * 1.1
    assert seconds[1] == 0
    assert 2.0 <= seconds[2] <= 2 * 1.25 * 1.1


def test_there_is_room_for_so_many_entities_of_each_service() -> None:
    windows = opened(*(f"s{n}" for n in range(25)), per_service=2)
    assert len(windows.entities) == 20
