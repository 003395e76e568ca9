"""Whether a target answers as before, from generated evidence of many kinds: the sick are never called innocent, the well are."""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import replace

import numpy as np
import pytest

from contracts.features import BY_SIGNAL, Signal
from contracts.frames import EvidenceFrame
from contracts.ports import Target, TargetState
from contracts.units import SECOND as S
from contracts.verdicts import Conduct, HeldReason, ServiceState
from playbooks.guards import GuardContext, Standing, check, standing
from playbooks.language import Guards, Match, Playbook, Step, Trigger, Verify

T0 = 1_800_000_000 * S
HEALTHY = str(ServiceState.HEALTHY)
READY = TargetState(replicas=2, ready=2, version="v2", previous_version="v1")


def spans(
    at: int, rng: np.random.Generator, rate: float, *, error: float = 0.002, latency: float = 0.03, state: str = HEALTHY
) -> EvidenceFrame:
    """A second of `cart`, beside `web`, which is well; ranges as a detector learns them at `rate` 8."""
    names = ("cart", "web")
    rows, counts = [], []
    for name in names:
        n = int(rng.poisson(rate if name == "cart" else 8.0))
        failed = int(rng.binomial(n, error if name == "cart" else 0.002))
        took = np.sort(rng.lognormal(np.log(latency if name == "cart" else 0.03), 0.3, n))
        p = [float(np.quantile(took, q)) if n else np.nan for q in (0.5, 0.95, 0.99)]
        rows.append([float(n), failed / n if n else np.nan, *p])
        counts.append(n)
    return frame_of(
        "spans",
        at,
        names,
        rows,
        counts,
        low=[0.1, 0.0, 0.01, 0.02, 0.02],
        high=[24.0, 0.2, 0.06, 0.11, 0.13],
        state=state,
    )


def metrics(at: int, **values: float) -> EvidenceFrame:
    """A look at the resources of `cart`, usually memory 300 to 400 MB and CPU up to 0.5."""
    columns = BY_SIGNAL[Signal.METRICS]
    expected = {"memory_bytes": 4e8, "cpu_utilization": 0.5, "pool_wait": 3.0}
    row = [values.get(c, np.nan) for c in columns]
    high = [expected.get(c, np.nan) for c in columns]
    return frame_of("metrics", at, ("cart",), [row], [0], low=[0.0 if h == h else np.nan for h in high], high=high)  # noqa: PLR0124


def counted(at: int, n: int, failing: float) -> EvidenceFrame:
    """What the counters of `cart` say of its requests since their last look."""
    columns = BY_SIGNAL[Signal.METRICS]
    told = {"metric_request_rate": n / 60, "metric_error_rate": failing}
    high = [{"metric_error_rate": 0.1}.get(c, np.nan) for c in columns]
    row = [told.get(c, np.nan) for c in columns]
    return frame_of("metrics", at, ("cart",), [row], [n], low=[0.0 if h == h else np.nan for h in high], high=high)  # noqa: PLR0124


def calls(
    at: int, n: int, error: float, latency: float = 0.035, peer: str = "cart", gap: float = 0.002
) -> EvidenceFrame:
    """How `web` sees its calls to `cart`; `gap`: seconds lost on the way."""
    row = [float(n), error, latency, gap]
    return frame_of("edges", at, ("web",), [row], [n], low=[0, 0, 0.01, 0], high=[24, 0.1, 0.12, 0.01], peers=(peer,))


def kept_waiting(t: int, busy: float) -> list[EvidenceFrame]:
    """From T0 on calls of `web` lose time before `cart` takes them, whose processor is so busy."""
    late = {"latency": 0.9, "gap": 0.7} if t >= 0 else {}
    return [calls(T0 + t * S, 8, 0.0, **late), metrics(T0 + t * S, cpu_utilization=0.3 if t < 0 else busy)]


def asked(at: int, n: int, unanswered: int) -> EvidenceFrame:
    """Calls of `web` to `cart` that were answered, beside those that its client spans say it made."""
    return replace(calls(at, n, 0.0), aside=np.array([[float(n + unanswered), np.nan, np.nan, 0.0]]))


def blamed(at: int, n: int, failed: float, peers: tuple[str, str] = ("cart", "stock")) -> EvidenceFrame:
    """Calls of one service to another, and the requests of the caller that failed with one."""
    frame = calls(at, n, 0.0, peer=peers[1])
    return replace(frame, services=(peers[0],), aside=np.array([[float(n), 0.0, 0.0, failed]]))


def frame_of(signal, at, names, rows, counts, *, low, high, state=HEALTHY, peers=()) -> EvidenceFrame:
    n, columns = len(names), BY_SIGNAL[Signal(signal)]
    shape = (n, len(columns))
    return EvidenceFrame(
        environment="prod", signal=signal, partition=0, window_ns=at, width_ns=S, services=names, peers=peers,
        versions=("",) * n, attributes=("",) * n, features=columns, values=np.array(rows, float).reshape(shape),
        counts=np.array(counts, np.int64), score=np.zeros(shape), low=np.tile(np.array(low, float), (n, 1)),
        high=np.tile(np.array(high, float), (n, 1)), p_value=np.ones(n), state=(state,) * n, notes=("",) * n,
    )  # fmt: skip


def watched(seed: int, seconds: int = 5, usual: float = 8.0, after: dict | None = None, extra=lambda t: []) -> Standing:
    """A minute as usual, then `seconds` as `after` says, since the onset at T0."""
    rng = np.random.default_rng(seed)
    frames = []
    for t in range(-60, seconds):
        changed = {"rate": usual, **(after or {})} if t >= 0 else {"rate": usual}
        frames.append(spans(T0 + t * S, rng, **changed))
        frames += extra(t)
    return standing(frames, "cart", T0)


SICK = {
    "fails": {"after": {"error": 0.5}},
    "fails a little, for long": {"after": {"error": 0.1}, "seconds": 10, "usual": 40.0},
    "slow": {"after": {"latency": 0.2}},
    "fails as its counters say, look by look": {
        "usual": 0.0,
        "extra": lambda t: [counted(T0 + t * S, 20, 0.0 if t < 0 else 0.5)],
    },
    "somewhat slow": {"after": {"latency": 0.05}, "seconds": 8},
    "hangs": {"after": {"rate": 0.0}, "seconds": 3},
    "crashed at a low rate": {"after": {"rate": 0.0}, "seconds": 8, "usual": 1.5},
    "fills its memory": {"extra": lambda t: [metrics(T0 + t * S, memory_bytes=(3.5e8 if t < 0 else 6e8))]},
    "its processor is busy, and it takes requests late": {"extra": lambda t: kept_waiting(t, 0.9)},
    "waits for its pool": {"extra": lambda t: [metrics(T0 + t * S, pool_wait=(1.0 if t < 0 else 40.0))]},
}
WELL = {
    "nothing has changed": {},
    "few seconds": {"seconds": 2},
    "is asked half as often": {"after": {"rate": 4.0}, "seconds": 8},
    "is hardly asked any more": {"after": {"rate": 2.0}, "seconds": 10},
    "its metrics of the last minute tell of before the onset": {
        "seconds": 8,
        "extra": lambda t: [counted(T0 + t * S, 400, 0.0 if t < 0 else 0.3)] if t % 60 == 3 else [],
    },
    "its caller's spans go ahead of its own": {"extra": lambda t: [asked(T0 + t * S, 8, 1)]},
    "its callers never had an answer to some": {"extra": lambda t: [asked(T0 + t * S, 8, 4)]},
    "its caller waits for itself": {"extra": lambda t: [calls(T0 + t * S, 8, 0.0, 0.03 if t < 0 else 0.9)]},
    "its calls lose time on the way": {"extra": lambda t: kept_waiting(t, 0.3)},
    "busy": {"usual": 200.0},
    "its processor is warm": {"extra": lambda t: [metrics(T0 + t * S, cpu_utilization=0.3 if t < 0 else 0.7)]},
}
UNKNOWN = {
    "some of its calls are never answered": {"extra": lambda t: [asked(T0 + t * S, 8, 0 if t < 0 else 4)]},
    "is asked once in a while": {"usual": 0.2},
    "its callers fail": {"extra": lambda t: [calls(T0 + t * S, 8, 0.0 if t < 0 else 0.6, peer="external:cart")]},
    "its rows are stale": {"after": {"state": str(ServiceState.STALE)}},
}


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("kind", SICK)
def test_the_sick_are_not_innocent(kind: str, seed: int):
    found = watched(seed, **SICK[kind])
    assert found.conduct is Conduct.WORSE, found
    assert check(book("restart"), TARGET, READY, context(found)) is None


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("kind", WELL)
def test_the_well_are_left_alone(kind: str, seed: int):
    found = watched(seed, **WELL[kind])
    assert found.conduct is Conduct.AS_BEFORE, found
    for action in ("restart", "rollback"):
        held = check(book(action), TARGET, READY, context(found))
        assert held is not None
        assert held.reason is HeldReason.INNOCENT, held
        assert "answers as before" in held.text


@pytest.mark.parametrize("kind", UNKNOWN)
def test_what_can_not_be_told_is_neither(kind: str):
    assert watched(1, **UNKNOWN[kind]).conduct is Conduct.UNKNOWN


def test_a_service_without_requests_of_its_own_is_not_judged_by_them():
    frames = [metrics(T0 + t * S, memory_bytes=3.5e8) for t in range(-60, 5)]
    found = standing(frames, "cart", T0)
    assert (found.conduct, found.young, found.lost, found.untold) == (Conduct.UNKNOWN, False, False, True)
    assert check(book("restart"), TARGET, READY, context(found)) is None


def test_who_has_not_been_heard_of_is_waited_for_and_then_lost():
    rng = np.random.default_rng(3)
    frames = [spans(T0 + t * S, rng, 8.0) for t in range(-60, 20)]
    gone = [f if f.window_ns < T0 else without(f, "cart") for f in frames]
    early, late = standing(gone[:63], "cart", T0), standing(gone, "cart", T0)
    assert (early.conduct, early.young, early.lost) == (Conduct.UNKNOWN, True, True)
    assert (late.conduct, late.young, late.lost) == (Conduct.UNKNOWN, False, True)
    held = check(book("restart"), TARGET, READY, context(early))
    assert held is not None
    assert held.reason is HeldReason.UNPROVEN


def test_a_demand_above_the_usual_is_a_reason_to_scale_and_none_to_restart():
    found = watched(5, seconds=6, after={"rate": 30.0})
    assert (found.conduct, found.demand) == (Conduct.AS_BEFORE, True)
    assert check(book("scale", by=1), TARGET, READY, context(found)) is None
    assert check(book("restart"), TARGET, READY, context(found)) is not None


def test_instances_that_are_not_ready_speak_for_themselves():
    found = watched(6)
    assert check(book("restart"), TARGET, replace(READY, ready=1), context(found)) is None


def test_what_does_not_touch_the_target_needs_no_guilt():
    assert check(book("webhook", name="pager"), TARGET, READY, context(watched(7))) is None


def without(frame: EvidenceFrame, name: str) -> EvidenceFrame:
    keep = [i for i, s in enumerate(frame.services) if s != name]
    arrays = {n: getattr(frame, n)[keep] for n in ("values", "counts", "score", "low", "high", "p_value")}
    names = {
        n: tuple(getattr(frame, n)[i] for i in keep) for n in ("services", "versions", "attributes", "state", "notes")
    }
    return replace(frame, **arrays, **names)


TARGET = Target("prod", "cart")


def context(found: Standing) -> GuardContext:
    return GuardContext(now_ns=T0 + 10 * S, known_services=("cart", "web", "db"), planned=(3,), standing=found)


def book(action: str, **arguments: object) -> Playbook:
    return Playbook("do", "1", "", Trigger(Match()), 1, Guards(), (Step("do", action, arguments),), Verify(()))


def mixed(seconds: int, *, routes: int, slow: float, unknown: Collection[int] = ()) -> Standing:
    """A service of `routes` operations whose usual times are unlike, one of which takes `slow` times as long since T0. In the `unknown`
    seconds it is asked for nothing of which the usual time is known."""
    rng = np.random.default_rng(5)
    usual = 0.02 * 3.0 ** np.arange(routes)
    frames = []
    for t in range(-60, seconds):
        n = rng.multinomial(30, np.full(routes, 1 / routes) if routes < 3 else [0.8, 0.12, 0.08])
        took = [
            rng.lognormal(np.log(u * (slow if t >= 0 and i == routes - 1 else 1)), 0.2, k)
            for i, (u, k) in enumerate(zip(usual, n, strict=True))
        ]
        took = np.concatenate(took)
        p = [float(np.quantile(took, q)) for q in (0.5, 0.95, 0.99)]
        frame = frame_of(
            "spans",
            T0 + t * S,
            ("cart",),
            [[30.0, 0.0, *p]],
            [30],
            low=[0.1, 0.0, 0.01, 0.02, 0.02],
            high=[60.0, 0.2, 0.1, 0.4, 0.5],
        )
        level = float((np.log(usual * 1e9) * n).sum())
        pace = float(n[-1] * (8.0 if t >= 0 and slow > 1 else 0.0))
        frames.append(replace(frame, aside=np.array([[0.0] * 3 if t in unknown else [30.0, level, pace]])))
    return standing(frames, "cart", T0)


def test_one_slow_operation_of_several_is_waited_for_until_it_would_be_told():
    early, late = mixed(20, routes=3, slow=20.0), mixed(21, routes=3, slow=20.0)
    assert (early.conduct, early.partly) == (Conduct.WORSE, True), early
    assert (late.conduct, late.partly) == (Conduct.WORSE, False), late


def test_seconds_in_which_no_known_operation_was_asked_for_tell_nothing_of_how_many_there_are():
    several, one = (mixed(6, routes=n, slow=20.0, unknown=(-40, -30, -2)) for n in (3, 1))
    assert (several.conduct, several.partly) == (Conduct.WORSE, True), several
    assert (one.conduct, one.partly) == (Conduct.WORSE, False), one


def test_a_service_of_one_operation_is_not_waited_for():
    found = mixed(6, routes=1, slow=20.0)
    assert (found.conduct, found.partly) == (Conduct.WORSE, False), found


@pytest.mark.parametrize(
    ("error", "latency", "usual", "refused"),
    [
        (1.0, 0.001, 0.035, True),
        (0.6, 0.001, 0.035, True),
        (0.4, 0.001, 0.035, False),  # most are answered
        (1.0, 3.0, 0.035, False),  # they are waited for, as those to one that hangs
        (1.0, 0.001, None, True),  # nothing is known from before, and it is at once
        (1.0, 0.2, None, False),
        (1.0, math.nan, 0.035, False),  # nobody tells how long they wait
    ],
)
def test_calls_that_fail_at_once_are_refused(error: float, latency: float, usual: float | None, refused: bool):
    before = [] if usual is None else [calls(t * S, 10, 0.0, usual) for t in range(30)]
    since = [calls((30 + t) * S, 10, error, latency) for t in range(5)]
    assert standing([*before, *since], "cart", 30 * S).refused is refused
    few = [*before, calls(30 * S, 3, error, latency)]
    assert not standing(few, "cart", 30 * S).refused, "of three calls nothing is told"


@pytest.mark.parametrize("latency", [0.03, 0.3])
@pytest.mark.parametrize("theirs", [0, 1])
def test_who_fails_with_its_calls_does_not_fail_by_itself(theirs: int, latency: float):
    """Most of what fails does so in calls to stock; what is slow besides is its own."""
    told = watched(
        3,
        seconds=6,
        usual=40.0,
        after={"error": 0.4, "latency": latency},
        extra=lambda t: [blamed(T0 + t * S, 40, 15.0 * theirs if t >= 0 else 0.0)],
    )
    assert bool(told.handed_on) == bool(theirs)
    assert (told.conduct is Conduct.AS_BEFORE) == (bool(theirs) and latency < 0.1)
    if theirs:
        assert "requests that failed did so in calls of its own, most to stock" in told.handed_on


@pytest.mark.parametrize(
    ("failed", "conduct"), [(0.0, Conduct.AS_BEFORE), (0.3, Conduct.AS_BEFORE), (1.0, Conduct.UNKNOWN)]
)
def test_requests_of_callers_that_fail_in_calls_to_it_speak_against_it(failed: float, conduct: Conduct):
    """An instance of several that hangs answers none of its calls, and is in no statistics of the others."""
    told = watched(5, seconds=5, extra=lambda t: [blamed(T0 + t * S, 8, failed if t >= 0 else 0.0, ("web", "cart"))])
    assert told.conduct is conduct
