"""How far a clock is behind, by callees that seem to begin before their callers: by how many pairs, for how long, told how often."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from contracts.frames.decoded import KIND_CLIENT, KIND_CONSUMER, KIND_PRODUCER, KIND_SERVER
from contracts.units import MILLISECOND as MS
from contracts.units import SECOND as S
from streams.windows.containment import _MOST_SOURCES, AGAIN_NS, FEWEST, MOST, OUTDATED_NS, Containment
from streams.windows.request_rows import SPAN

T0 = 1_700_000_000 * S
CALLEE, CALLER = "cart\x1fcart-1", "web\x1fweb-1"


def clock(containment: Containment, source: str, floor_ms: int, shift_ms: int = 0) -> int:
    """The number of a source's timing, as spans of a frame have it."""
    frame: Any = SimpleNamespace(
        span=np.zeros(2), clock=np.array([0, -1], np.int32), clocks=(source,),
        clock_shift_ns=np.array([shift_ms * MS]), clock_floor_ns=np.array([floor_ms * MS]),
    )  # fmt: skip
    numbers = containment.number(frame).tolist()
    assert numbers[1] == -1
    return int(numbers[0])


def pairs(
    containment: Containment,
    count: int,
    early_ms: float,
    *,
    at_s: float = 0.0,
    floor_ms: int = 2000,
    shift_ms: int = 0,
    late_end_ms: float = 0.0,
    caller_floor_ms: int | None = None,
    kinds: tuple[int, int] = (KIND_SERVER, KIND_CLIENT),
    of_one: bool = True,
    error: bool = False,
) -> None:
    """Calls whose callee seems to begin so much before its caller, and to end so much after it."""
    children, parents = np.zeros(count, SPAN), np.zeros(count, SPAN)
    parents["span"] = children["parent"] = np.arange(1, count + 1)
    if not of_one:
        children["parent"] += 1000
    parents["start_ns"], parents["end_ns"] = T0, T0 + 10 * S
    children["start_ns"], children["end_ns"] = T0 - round(early_ms * MS), T0 + 10 * S + round(late_end_ms * MS)
    children["kind"], parents["kind"] = kinds
    parents["error"] = error
    children["clock"] = clock(containment, CALLEE, floor_ms, shift_ms)
    parents["clock"] = -1 if caller_floor_ms is None else clock(containment, CALLER, caller_floor_ms)
    containment.learn(children, parents, T0 + round(at_s * S))


def told(containment: Containment, at_s: float = 0.0) -> list[tuple[str, str, float, int]]:
    """(service, instance, milliseconds, pairs) of what is told at a second."""
    found = containment.news("prod", T0 + round(at_s * S))
    assert all((o.environment, o.time_ns) == ("prod", T0 + round(at_s * S)) for o in found)
    return [(o.service, o.instance, o.offset_ns / MS, o.pairs) for o in found]


@pytest.mark.parametrize(
    ("count", "early_ms", "said", "offset_ms"),
    [
        (FEWEST, 800, {}, -800),
        (FEWEST - 1, 800, {}, 0),
        (FEWEST, 250, {}, 0),  # within the tolerance
        (FEWEST, 251, {}, -251),
        (FEWEST, 800, {"floor_ms": 500}, -800),  # delays are told in steps: to the tolerance and a sixteenth less
        (FEWEST, 800, {"floor_ms": 499}, 0),  # no clock is further behind than its telemetry was old
        (FEWEST, 800, {"shift_ms": 300}, -1100),  # what was corrected already is no less behind
        (FEWEST, 800, {"kinds": (KIND_CONSUMER, KIND_PRODUCER)}, 0),  # a message may be taken whenever it likes
        (FEWEST, 800, {"kinds": (KIND_SERVER, KIND_CONSUMER)}, 0),
        (FEWEST, 800, {"of_one": False}, 0),  # they only share a key
    ],
)
def test_who_begins_before_its_caller_is_behind(
    count: int, early_ms: float, said: dict[str, Any], offset_ms: float
) -> None:
    containment = Containment()
    pairs(containment, count, early_ms, **said)
    assert told(containment) == ([("cart", "cart-1", offset_ms, count)] if offset_ms else [])
    assert told(containment, 1) == [], "once"


@pytest.mark.parametrize(
    ("error", "kind", "behind"), [(False, KIND_CLIENT, True), (True, KIND_CLIENT, False), (False, KIND_SERVER, False)]
)
def test_a_caller_is_behind_whose_call_returned_before_it_was_answered(error: bool, kind: int, behind: bool) -> None:
    """One that failed may have been given up, and a server's span waits for no answer."""
    containment = Containment()
    pairs(
        containment,
        FEWEST,
        -900,
        late_end_ms=700,
        floor_ms=0,
        caller_floor_ms=2000,
        error=error,
        kinds=(KIND_SERVER, kind),
    )
    assert told(containment) == ([("web", "web-1", -700.0, FEWEST)] if behind else [])


def test_the_least_offset_but_a_tenth_counts_and_a_quarter_must_show_it() -> None:
    containment = Containment()
    pairs(containment, 1, 1500)
    pairs(containment, 10, 800)
    pairs(containment, 9, 700)
    assert told(containment) == [("cart", "cart-1", -800.0, 20)]
    few = Containment()
    pairs(few, 10, 800)
    pairs(few, 30, 0)
    assert told(few) == [("cart", "cart-1", -800.0, 40)]
    pairs(few, 1, 0)
    assert told(few) == [("cart", "cart-1", 0.0, 41)], "most show nothing of it: that is told as well"


def test_what_changes_is_told_and_what_lasts_is_told_again() -> None:
    containment = Containment()
    pairs(containment, MOST, 800)
    assert told(containment) == [("cart", "cart-1", -800.0, MOST)]
    pairs(containment, MOST, 1049, at_s=1)
    assert told(containment, 1) == [], "less than a step"
    pairs(containment, MOST, 1050, at_s=2)
    assert told(containment, 2) == [("cart", "cart-1", -1050.0, MOST)]
    again = AGAIN_NS / S
    assert told(containment, 2 + again - 0.001) == []
    assert told(containment, 2 + again) == [("cart", "cart-1", -1050.0, MOST)]
    outdated = OUTDATED_NS / S
    assert told(containment, 2 + outdated) != []
    assert told(containment, 2 + 2 * outdated) == []
    pairs(containment, 3, 800, at_s=3 + outdated)
    assert told(containment, 3 + outdated) == [], "of the older ones nothing is known any more"


def test_who_contradicts_nobody_is_passed_over() -> None:
    containment = Containment()
    pairs(containment, MOST, 100)
    assert containment.state()["estimates"] == []
    pairs(containment, 1, 800)
    pairs(containment, MOST, 0)
    assert told(containment) == []
    assert containment.state()["estimates"] == [], "it was in doubt, and is not any more"


def test_a_snapshot_is_the_same_and_an_older_one_has_one_delay_for_all() -> None:
    containment, again, older = Containment(), Containment(), Containment()
    pairs(containment, FEWEST, 800)
    again.load(containment.state())
    older.load({**containment.state(), "estimates": [[CALLEE, [-800 * MS] * FEWEST, 2000 * MS, T0, 0, 0]]})
    for one in (containment, again, older):
        pairs(one, 1, 800)
        assert told(one) == [("cart", "cart-1", -800.0, FEWEST + 1)]
    assert again.state() == containment.state()


def test_a_caller_may_be_behind_whose_callee_is_in_no_doubt() -> None:
    containment = Containment()
    children, parents = np.zeros(FEWEST, SPAN), np.zeros(FEWEST, SPAN)
    parents["span"] = children["parent"] = np.arange(1, FEWEST + 1)
    parents["start_ns"], children["start_ns"] = T0, T0 + 2 * S
    parents["end_ns"], children["end_ns"] = T0 + 3 * S, T0 + 3 * S + 700 * MS
    children["kind"], parents["kind"] = KIND_SERVER, KIND_CLIENT
    children["clock"], parents["clock"] = -1, clock(containment, CALLER, 2000)
    containment.learn(children, parents, T0)
    assert told(containment) == [("web", "web-1", -700.0, FEWEST)]
    nobody = Containment()
    parents["clock"] = -1
    nobody.learn(children, parents, T0)
    assert nobody.state()["estimates"] == []


def test_of_too_many_clocks_that_which_was_not_heard_of_for_longest_is_forgotten() -> None:
    containment = Containment()
    for n in range(_MOST_SOURCES):
        containment._estimate(f"s{n}", [(0, 0)], T0)
    containment._estimate("s0", [(0, 0)], T0)
    assert len(containment._estimates) == _MOST_SOURCES
    containment._estimate("new", [(0, 0)], T0)
    assert "s1" not in containment._estimates
    assert list(containment._estimates)[-2:] == ["s0", "new"]
    assert len(containment._estimates) == _MOST_SOURCES
