"""How callers see a target: figures on both sides of each bound, over all windows since the onset, beside calls to others."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from contracts import features as f
from contracts.frames import EvidenceFrame
from contracts.units import SECOND as S
from contracts.verdicts import ServiceState
from playbooks.guards.callers_view import callers_see, handed_on, refused
from tests.unit.playbooks.guards.test_innocence_figures import NAN, T0, frame

Calls = tuple[int, int, int]
"""The second since the onset, calls that client spans tell of, and those answered."""


def asked(*rows: Calls, peer: str = "cart") -> list[EvidenceFrame]:
    return [
        replace(
            frame(f.Signal.EDGES, at, {f.CALL_ERROR_RATE: 0.0}, answered, {}, peer),
            aside=np.array([[made, 0.0, 0.0, 0.0]]),
        )
        for at, made, answered in rows
    ]


def failing(*rows: tuple[int, int, float], latency: float = NAN, peer: str = "cart") -> list[EvidenceFrame]:
    """Calls of a second, and the share of them that fails."""
    said = [(at, n, {f.CALL_ERROR_RATE: share, f.CALL_LATENCY_P95: latency}) for at, n, share in rows]
    return [frame(f.Signal.EDGES, at, row, n, {}, peer) for at, n, row in said]


@pytest.mark.parametrize(
    ("before", "since", "seen"),
    [
        ([], [(0, 10, 6)], ""),  # four of them may be on their way
        ([], [(0, 10, 5)], "5 of 10"),
        ([], [(0, 4, 0), (1, 1, 0)], "5 of 5"),
        ([], [(0, 4, 0)], ""),
        ([], [(0, 50, 45)], "5 of 50"),  # a tenth
        ([], [(0, 51, 46)], ""),
        ([(-2, 100, 80)], [(0, 50, 36)], ""),  # a fifth never had an answer: 28 % is not a tenth more
        ([(-2, 100, 80)], [(0, 50, 35)], "15 of 50"),
        ([(-2, 100, 120)], [(0, 50, 44)], "6 of 50"),  # answered before they were told of
    ],
)
def test_calls_that_are_not_answered(before: list[Calls], since: list[Calls], seen: str) -> None:
    said = callers_see([*asked(*before, *since), *asked((0, 90, 0), peer="web")], "cart", T0)
    text = f"its callers had no answer to {seen} calls, though it answers the others as before"
    assert said == (text if seen else "")


@pytest.mark.parametrize(
    ("before", "since", "seen"),
    [
        ([], [(0, 4, 1.0)], ""),
        ([], [(0, 2, 1.0), (1, 3, 1 / 3)], "3 of 5"),
        ([], [(0, 2, 1.0), (1, 3, 0.0)], ""),
        ([], [(0, 30, 0.1)], "3 of 30"),
        ([], [(0, 30, 0.1), (1, 1, 0.0)], ""),
        ([(-90, 10, 0.5)], [(0, 10, 0.5)], ""),
        ([(-91, 10, 0.5)], [(0, 10, 0.5)], "5 of 10"),  # too long ago to be usual
        ([(-1, 10, 0.5)], [(0, 10, NAN), (1, 10, 1.0)], ""),
        ([(-1, 10, 0.3)], [(0, 10, NAN), (1, 10, 1.0)], "10 of 20"),
        ([(-1, 0, 0.5)], [(0, 10, 0.5)], "5 of 10"),
    ],
)
def test_calls_that_fail_on_the_way(
    before: list[tuple[int, int, float]], since: list[tuple[int, int, float]], seen: str
) -> None:
    said = callers_see([*failing(*before, *since), *failing((0, 90, 1.0), peer="web")], "cart", T0)
    text = f"its callers see {seen} calls fail, though it reports none of that itself"
    assert said == (text if seen else "")
    stale = [replace(one, state=(str(ServiceState.STALE),)) for one in failing(*since)]
    assert callers_see(stale, "cart", T0) == ""


@pytest.mark.parametrize(
    ("before", "since", "at_once"),
    [
        ([], [0.05], True),
        ([], [0.051], False),
        ([0.2], [0.2], True),
        ([0.2], [0.21], False),
        ([0.1, 0.3, 0.2], [0.5, 0.2, 0.1], True),  # by the median of both
        ([0.1, 0.3, 0.2], [0.5, 0.21, 0.1], False),
    ],
)
def test_calls_that_are_refused_fail_before_anybody_answers(
    before: list[float], since: list[float], at_once: bool
) -> None:
    frames = [one for n, took in enumerate(before, 1) for one in failing((-n, 10, 0.0), latency=took)]
    frames += [one for n, took in enumerate(since) for one in failing((n, 10, 0.5), latency=took)]
    unknown = failing((0, 90, 0.0)) + failing((0, 0, 0.0), latency=9.0)
    assert refused([*frames, *unknown], "cart", T0) is at_once
    assert not refused([*frames, *failing((5, 10 * len(since) + 1, 0.4), latency=0.01)], "cart", T0), (
        "most are answered"
    )


@pytest.mark.parametrize(("calls", "told"), [(4, False), (5, True)])
def test_so_many_calls_it_takes_to_be_refused(calls: int, told: bool) -> None:
    assert refused(failing((0, calls, 1.0), latency=0.001), "cart", T0) is told


def named(caller: str, frames: list[EvidenceFrame]) -> list[EvidenceFrame]:
    return [replace(one, services=(caller,)) for one in frames]


def test_calls_that_a_caller_names_and_that_are_joined_are_the_same_calls() -> None:
    """Two of five are answered, and only those are joined with what the service tells."""
    own = failing((0, 5, 0.6), latency=0.001, peer="external:cart")
    joined = failing((0, 2, 0.0), latency=0.001)
    assert refused([*named("web", own), *named("web", joined)], "cart", T0)
    assert callers_see([*named("web", own), *named("web", joined)], "cart", T0).startswith("its callers see 3 of 5 ")


@pytest.mark.parametrize(("slowest", "told"), [(0.3, True), (0.31, False), (NAN, False)])
def test_who_waits_no_longer_than_before_is_refused_though_it_names_nobody(slowest: float, told: bool) -> None:
    calls = named("web", asked((-2, 10, 10), (-1, 10, 10), (0, 10, 1), (1, 10, 0)))
    took = [(-2, 0.2), (-1, 0.2), (0, slowest), (1, slowest)]
    own = [one for at, s in took for one in named("web", [frame(f.Signal.SPANS, at, {f.LATENCY_P99: s}, 10, {})])]
    assert refused([*calls, *own], "cart", T0) is told
    assert not refused(calls, "cart", T0), "how long it waits is not known"
    late = [one for one in own if one.window_ns >= T0]
    assert not refused([*calls, *late], "cart", T0), "nor is whether that is longer than before"
    expected = [replace(one, high=np.where(np.isfinite(one.values), 0.3, NAN)) for one in late]
    assert refused([*calls, *expected], "cart", T0) is told
    assert not refused([*named("web", asked((0, 10, 6))), *own], "cart", T0), "most are answered"


def test_whose_slowest_requests_go_up_and_down_does_not_wait_for_who_refuses_it() -> None:
    """Of a few requests in a second the slowest takes now this, now that: three times the median was nothing rare before."""
    took = [*((-n, (0.1, 0.1, 0.3)[n % 3]) for n in range(1, 10)), (0, 0.3), (1, 0.3)]
    for slowest, told in ((0.3, True), (1.0, False)):
        own = [(at, slowest if at >= 0 else s) for at, s in took]
        told_by = [one for at, s in own for one in named("web", [frame(f.Signal.SPANS, at, {f.LATENCY_P99: s}, 3, {})])]
        calls = named("web", asked((-1, 10, 10), (0, 10, 1), (1, 10, 0)))
        assert refused([*calls, *told_by], "cart", T0) is told


@pytest.mark.parametrize(("remembered", "told"), [(4, True), (5, False)])
def test_of_few_windows_that_are_still_remembered_it_is_not_known_what_is_usual(remembered: int, told: bool) -> None:
    """As an incident goes on what was before it is forgotten: the expected range was learnt from more."""
    took = [*((-n, 0.1) for n in range(1, remembered + 1)), (0, 0.2), (1, 0.2)]
    own = [one for at, s in took for one in named("web", [frame(f.Signal.SPANS, at, {f.LATENCY_P99: s}, 3, {})])]
    expected = [replace(one, high=np.where(np.isfinite(one.values), 0.3, NAN)) for one in own]
    calls = named("web", asked((-1, 10, 10), (0, 10, 1), (1, 10, 0)))
    assert refused([*calls, *expected], "cart", T0) is told


def test_what_a_caller_calls_by_that_name_may_be_another_service_of_that_name() -> None:
    calls = named("core/web", failing((0, 10, 0.5), latency=0.001, peer="external:cart"))
    for other, told in (("batch/cart", False), ("batch/stock", True)):
        joined = named("core/web", failing((0, 10, 0.0), peer=other))
        assert bool(callers_see([*calls, *joined], "core/cart", T0)) is told
        assert refused([*calls, *joined], "core/cart", T0) is told


def blamed(at: int, requests: float, caller: str = "cart", peer: str = "stock") -> EvidenceFrame:
    one = frame(f.Signal.EDGES, at, {}, 10, {}, peer)
    return replace(one, services=(caller,), aside=np.array([[10.0, 0.0, 0.0, requests]]))


def requests(at: int, n: int, share: float) -> EvidenceFrame:
    return frame(f.Signal.SPANS, at, {f.REQUEST_RATE: float(n), f.ERROR_RATE: share}, n, {})


@pytest.mark.parametrize(
    ("failed", "theirs", "told"),
    [
        ([(0, 10, 0.3)], [(0, 1.5)], "2 of its 3"),
        ([(0, 10, 0.3)], [(0, 1.4)], ""),  # less than half
        ([(0, 10, 0.2)], [(0, 2.0)], ""),  # two failures are too few
        ([(0, 10, 0.2), (1, 10, 0.2)], [(0, 1.0), (1, 1.0)], "2 of its 4"),
        ([(0, 10, 0.3), (5, 10, 1.0)], [(0, 3.0)], "3 of its 3"),  # up to where calls are known
        ([(-1, 10, 1.0), (0, 10, 0.3)], [(0, 3.0)], "3 of its 3"),
        ([(0, 10, 0.3)], [(-1, 9.0)], ""),
        ([(0, 10, 0.3)], [(0, 9.0)], "3 of its 3"),
        ([(0, 10, 0.3)], [(0, NAN)], ""),
        ([(0, 10, NAN), (1, 10, 0.4)], [(0, 0.0), (1, 4.0)], "4 of its 4"),
    ],
)
def test_failures_that_are_handed_on(
    failed: list[tuple[int, int, float]], theirs: list[tuple[int, float]], told: str
) -> None:
    frames = [*(requests(*row) for row in failed), *(blamed(*row) for row in theirs), blamed(0, 50.0, "web")]
    said = handed_on(frames, "cart", T0)
    text = f"{told} requests that failed did so in calls of its own, most to stock"
    assert said == (text if told else "")


@pytest.mark.parametrize(("each", "told"), [(1.4, ""), (1.5, "3")])
def test_callers_whose_requests_fail_in_calls_to_it(each: float, told: str) -> None:
    frames = [blamed(n, each, "web", peer) for n, peer in enumerate(("cart", "external:cart"))]
    frames += [blamed(0, 9.0, "web", "stock"), blamed(-1, 9.0, "web", "cart")]
    assert callers_see(frames, "cart", T0) == (f"{told} requests of its callers failed in calls to it" if told else "")
    assert T0 % S == 0


@pytest.mark.parametrize("unknown", [failing((0, 90, 0.0)), failing((0, 0, 0.0), latency=9.0)])
def test_what_tells_of_no_time_or_of_no_calls_is_passed_over_wherever_it_stands(unknown: list[EvidenceFrame]) -> None:
    told = failing((0, 5, 1.0), latency=0.001)
    assert refused([*unknown, *told], "cart", T0)
    assert refused([*told, *unknown], "cart", T0)
    assert not refused(unknown, "cart", T0)


@pytest.mark.parametrize(("more", "told"), [([], False), ([(1, 1, 1)], False), ([(1, 1, 0)], True)])
def test_calls_without_an_answer_are_counted_over_all_windows_since_the_onset(more: list[Calls], told: bool) -> None:
    """Five of them it takes; each second has fewer."""
    own = [
        one for at in (-2, -1, 0, 1) for one in named("web", [frame(f.Signal.SPANS, at, {f.LATENCY_P99: 0.2}, 10, {})])
    ]
    assert refused([*named("web", asked((0, 4, 0), *more)), *own], "cart", T0) is told
