"""Who asks for more: users, or services on the way that ask again; and whether what is asked for leaves room."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from contracts import features as f
from contracts.frames import EvidenceFrame
from contracts.units import SECOND as S
from contracts.verdicts import Conduct, ServiceState
from playbooks.guards import standing
from playbooks.guards.demand import UNKNOWN, asked_again, bore_before, leaves_room

T0 = 1_800_000_000 * S
NAN = float("nan")
CALLS = (("web", "cart"), ("cart", "stock"))


def frame(signal: f.Signal, second: int, rows: dict[tuple[str, str], int], values: dict[str, float]) -> EvidenceFrame:
    """Rows of a second since the onset: counts by service (and peer, of calls)."""
    columns, n = f.BY_SIGNAL[signal], len(rows)
    table = np.array([[values.get(c, NAN) for c in columns]] * n)
    blank = ("",) * n
    return EvidenceFrame(
        environment="prod", signal=signal, partition=0, window_ns=T0 + second * S, width_ns=S,
        services=tuple(s for s, _ in rows), peers=tuple(p for _, p in rows) if signal == f.Signal.EDGES else (),
        versions=blank, attributes=blank, features=columns, values=table, counts=np.array(list(rows.values())),
        score=np.zeros_like(table), low=np.full_like(table, NAN), high=np.full_like(table, NAN), p_value=np.ones(n),
        state=(str(ServiceState.HEALTHY),) * n, notes=blank,
    )  # fmt: skip


def told(
    usual: dict[str, int], now: dict[str, int], *, edges: bool = True, cpu: float = NAN, since: tuple[int, ...] = ()
) -> list[EvidenceFrame]:
    """Twenty seconds as usual and ten since the onset: requests per second by service; of a mere client those of its calls."""
    out = []
    for second in since or range(-20, 10):
        counts = usual if second < 0 else now
        served = {(s, ""): n for s, n in counts.items() if s != "browser"}
        slow = {f.LATENCY_P95: 0.1 if second < 0 else 2.0, f.ERROR_RATE: 0.0}
        out.append(frame(f.Signal.SPANS, second, served, slow | {f.REQUEST_RATE: float(counts["stock"])}))
        if edges:
            calls = {c: counts[c[1]] for c in CALLS} | (
                {("browser", "web"): counts["browser"]} if "browser" in counts else {}
            )
            out.append(frame(f.Signal.EDGES, second, calls, {}))
        out.append(frame(f.Signal.METRICS, second, {("stock", ""): 1}, {f.CPU: cpu}))
    return out  # fmt: skip


USUAL = {"web": 50, "cart": 50, "stock": 100}


@pytest.mark.parametrize(
    ("now", "again"),
    [
        ({"web": 200, "cart": 200, "stock": 400}, False),  # four times the users
        (
            {"web": 100, "cart": 100, "stock": 350},
            False,
        ),  # more users, who ask for more of it: 5 calls each instead of 2
        ({"web": 50, "cart": 50, "stock": 300}, True),  # the same users, three times the calls
        ({"web": 50, "cart": 400, "stock": 800}, True),  # wherever on the way it begins
        ({"web": 60, "cart": 300, "stock": 800}, True),  # a few users more don't ask for that
    ],
)
def test_it_is_told_at_the_entries_who_asks_for_more(now: dict[str, int], again: bool):
    frames = told(USUAL, now)
    assert bool(asked_again(frames, "stock", T0)) is again
    found = standing(frames, "stock", T0)
    assert (found.conduct, found.demand, bool(found.again)) == (Conduct.WORSE, not again, again)


def test_a_mere_client_is_an_entry_by_the_calls_it_makes():
    frames = told({"browser": 50, **USUAL}, {"browser": 200, "web": 200, "cart": 200, "stock": 400})
    assert asked_again(frames, "stock", T0) == ""
    again = told({"browser": 50, **USUAL}, {"browser": 50, "web": 200, "cart": 200, "stock": 400})
    assert asked_again(again, "stock", T0) == "users ask for 1 times the usual, its callers for 4 times"


@pytest.mark.parametrize(
    ("usual", "now", "again"),
    [
        (2, 0, False),  # nobody asks for more
        (2, 1, True),  # nobody asks for more but its callers
        (2, 300, False),  # 50 users more, each with three times the usual two calls
        (2, 301, True),
        (1.5, 225, False),  # with three times one call and a half
        (1.5, 226, True),
        (0.5, 150, False),  # one call may always be asked for, and three times that
        (0.5, 151, True),
    ],
)
def test_each_user_more_may_ask_for_three_times_the_usual_calls(usual: float, now: int, again: bool):
    users = 50 if now > 1 else 0
    before = {"web": 50, "cart": 50, "stock": int(50 * usual)}
    frames = told(before, {"web": 50 + users, "cart": 50 + users, "stock": before["stock"] + now})
    assert bool(asked_again(frames, "stock", T0)) is again


@pytest.mark.parametrize(
    ("usual", "now", "text"),
    [
        ((100, 100), 400, "users ask for 1.2 times the usual, its callers for 4 times"),
        ((0, 1), 40, "users ask for 1.2 times the usual, its callers for 80 times"),  # it is asked now and then
        ((0, 0), 40, "users ask for 1.2 times the usual, its callers for what they never did"),
    ],
)
def test_it_is_told_how_many_times_the_usual_each_asks_for(usual: tuple[int, int], now: int, text: str):
    since = {"web": 60, "cart": 60, "stock": now}
    halves = [
        told({**USUAL, "stock": n}, since, since=tuple(range(a, b)))
        for n, (a, b) in zip(usual, ((-20, -10), (-10, 10)), strict=True)
    ]
    assert asked_again(halves[0] + halves[1], "stock", T0) == text


def test_an_entry_and_who_has_no_known_callers_are_asked_by_users():
    assert asked_again(told(USUAL, USUAL), "web", T0) == ""
    assert asked_again(told(USUAL, {**USUAL, "stock": 400}, edges=False), "stock", T0) == ""


def test_what_is_not_known_from_before_is_no_case_for_more():
    frames = told(USUAL, {**USUAL, "stock": 400}, since=tuple(range(10)))
    assert asked_again(frames, "stock", T0) == UNKNOWN


@pytest.mark.parametrize(
    ("cpu", "times", "room"),
    [
        ((0.2, 0.3), 1.5, True),
        ((0.4, 0.5), 1.5, False),
        ((0.2,), 1.5, True),
        ((0.2,), 2.0, False),
        ((), 1.5, False),
        ((NAN,), 1.5, False),
    ],
)
def test_room_is_told_by_the_utilization_law(cpu: tuple[float, ...], times: float, room: bool):
    assert leaves_room(np.array(cpu), times) is room


@pytest.mark.parametrize(("cpu", "demand"), [(0.2, False), (0.7, True), (NAN, True)])
def test_a_demand_that_leaves_room_is_no_reason_to_scale(cpu: float, demand: bool):
    found = standing(told(USUAL, {"web": 75, "cart": 75, "stock": 150}, cpu=cpu), "stock", T0)
    assert found.demand is demand


@pytest.mark.parametrize(
    ("bursts", "now", "known"),
    [
        ({range(-40, -34): 160}, 150, True),  # the same job, a minute ago
        ({range(-40, -34): 160}, 300, False),  # more than that
        ({range(-40, -38): 160}, 150, False),  # it was soon over
        ({range(-6, 0): 160}, 150, False),  # so shortly before the onset that it is its beginning
        ({}, 150, False),
    ],
)
def test_what_a_service_was_asked_for_before_and_for_as_long_is_no_surge(
    bursts: dict[range, int], now: int, known: bool
):
    seconds = np.arange(-60, 0)
    counts = np.full(60, 100.0)
    for burst, n in bursts.items():
        counts[np.isin(seconds, burst)] = n
    assert bore_before(T0 + seconds * S, counts, np.full(5, float(now)), T0) is known


def test_a_burst_that_comes_again_and_goes_is_no_reason_to_scale():
    served = {"web": 75, "cart": 75, "stock": 150}
    surge = told(USUAL, served, since=tuple(range(-60, 10)))
    assert standing(surge, "stock", T0).demand
    again = [x for x in surge if not -40 * S <= x.window_ns - T0 < -28 * S]
    again += [replace(x, window_ns=x.window_ns - 40 * S) for x in surge if 0 <= x.window_ns - T0 < 10 * S]
    found = standing(sorted(again, key=lambda x: x.window_ns), "stock", T0)
    assert (found.conduct, found.demand) == (Conduct.WORSE, False)


@pytest.mark.parametrize(("users", "seconds", "again"), [(14, 2, True), (14, 60, False), (40, 2, False)])
def test_a_few_requests_more_at_the_entries_may_be_chance(users: int, seconds: int, again: bool):
    """Ten calls each: three users more don't ask a service for twice as much, whom its callers ask again."""
    frames = told(
        {"web": 11, "cart": 11, "stock": 110},
        {"web": users, "cart": users, "stock": 190},
        since=tuple(range(-20, seconds)),
    )
    assert bool(asked_again(frames, "stock", T0)) is again


def test_where_nobody_asked_before_nothing_is_asked_again() -> None:
    usual, now = {"web": 0, "cart": 50, "stock": 100}, {"web": 50, "cart": 50, "stock": 900}
    assert asked_again(told(usual, now), "stock", T0) == ""
    assert asked_again(told(USUAL, now), "stock", T0) != ""


@pytest.mark.parametrize(
    ("risen_for", "demand"),
    [pytest.param(8, False, id="a moment"), pytest.param(50, True, id="ever since the onset")],
)
def test_a_moment_of_more_requests_is_no_demand_for_what_has_been_ill_for_longer(risen_for: int, demand: bool) -> None:
    """A service that became slower from request to request was given an instance more, as for some seconds it was asked for twice as much."""
    usual = {"web": 2, "cart": 2, "stock": 2}
    frames = told(usual, usual, since=tuple(range(-40, 50 - risen_for)))
    more = dict.fromkeys(usual, 5)
    frames += told(usual, more, since=tuple(range(50 - risen_for, 50)))
    assert standing(frames, "stock", T0).demand is demand
    assert (standing(frames, "stock", T0).times > 1) is demand
