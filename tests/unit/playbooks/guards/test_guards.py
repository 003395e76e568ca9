"""Each guard by itself: what it holds back, in which words."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from contracts.actions import action_of
from contracts.events import Control
from contracts.ports import RunEntry, StepEntry, Target, TargetState
from contracts.units import SECOND as S
from contracts.verdicts import Autonomy, HeldReason, RunState, StepPhase
from playbooks.guards import CircuitLimits, GuardContext, affected_by, check, check_all, outage_of, planned_replicas
from playbooks.language import Check, Guards, Match, Playbook, Step, Trigger, Verify

NOW = int(datetime(2026, 11, 20, 12, 0, tzinfo=UTC).timestamp()) * S  # a Friday
CART = Target("prod", "cart")
STATE = TargetState(replicas=2, ready=2, version="v2", previous_version="v1")


def playbook(
    name: str = "restart", action: str = "restart", guards: Guards | None = None, **arguments: object
) -> Playbook:
    return Playbook(
        name=name,
        version="1",
        description="",
        trigger=Trigger(Match()),
        tier=1,
        guards=guards or Guards(cooldown_s=60, max_per_hour=2),
        steps=(Step("do", action, arguments),),
        verify=Verify(()),
    )


def run(
    ago_s: float,
    state: RunState = RunState.SUCCEEDED,
    *,
    name: str = "",
    playbook: str = "restart",
    target: str = "cart",
    acted: bool = True,
) -> RunEntry:
    at = NOW - int(ago_s * S)
    name = name or f"r{ago_s:09.1f}"
    steps = (StepEntry(name, "do", StepPhase.INTENT, "k", at),) if acted else ()
    return RunEntry(name, "d-" + name, "prod", target, playbook, state, at, at, 1, {}, steps)


def held(
    context: GuardContext, book: Playbook | None = None, state: TargetState | None = STATE
) -> tuple[HeldReason, str] | None:
    found = check(book or playbook(), CART, state, context)
    return None if found is None else (found.reason, found.text)


FREE = GuardContext(now_ns=NOW, known_services=("cart", "web", "db"))


def test_nothing_speaks_against_it():
    assert held(FREE) is None


def test_cooldown_counts_from_the_last_change_of_a_run_that_acted():
    assert held(replace(FREE, history=[run(59)])) == (HeldReason.COOLDOWN, "last run 59s ago, cooldown is 1m")
    assert held(replace(FREE, history=[run(60)])) is None
    assert held(replace(FREE, history=[run(10, target="web"), run(10, playbook="scale")])) is None
    refused = [run(10, RunState.REFUSED, acted=False), run(11, RunState.CANCELLED, acted=False)]
    assert held(replace(FREE, history=refused)) is None
    assert held(replace(FREE, history=[run(10, RunState.CANCELLED)])) is not None, "cancelled after an effect"


def test_rate():
    two = [run(3599), run(100)]
    assert held(replace(FREE, history=two)) == (
        HeldReason.RATE_LIMIT,
        "2 runs on cart in the last hour, at most 2 are allowed",
    )
    assert held(replace(FREE, history=[run(3600), run(100)])) is None


def test_one_run_on_a_target_whatever_the_playbook():
    other = run(300, RunState.RUNNING, playbook="scale")
    context = replace(FREE, open_runs=[other], max_concurrent=5)
    assert held(context) == (HeldReason.CONCURRENCY, "scale is under way on cart")


def test_so_many_runs_of_a_playbook_and_in_the_environment():
    web = run(300, RunState.VERIFYING, target="web")
    assert held(replace(FREE, open_runs=[web], max_concurrent=5)) == (
        HeldReason.CONCURRENCY,
        "1 runs of this playbook under way, at most 1 is allowed",
    )
    scale = run(300, RunState.VERIFYING, target="web", playbook="scale")
    assert held(replace(FREE, open_runs=[scale])) == (HeldReason.CONCURRENCY, "1 runs under way, at most 1 is allowed")
    assert held(replace(FREE, open_runs=[scale], max_concurrent=2, known_services=tuple("abcdef"))) is None


def test_a_run_that_waits_for_a_person_is_in_nobodys_way():
    waiting = run(300, RunState.AWAITING_APPROVAL, acted=False)
    assert held(replace(FREE, open_runs=[waiting])) is None


def test_of_two_that_begin_together_exactly_the_older_goes_first():
    a = run(2, RunState.RUNNING, name="a", acted=False)
    b = run(1, RunState.RUNNING, name="b", acted=False)
    context = replace(FREE, history=[a, b], open_runs=[a, b])
    assert held(replace(context, run="a", history=[])) is None
    assert held(replace(context, run="b", history=[])) == (HeldReason.CONCURRENCY, "restart is under way on cart")


def test_a_run_does_not_stand_in_its_own_way():
    own = run(1, RunState.RUNNING, name="own")
    assert held(replace(FREE, history=[own], open_runs=[own], run="own")) is None


def test_the_circuit_opens_after_repeated_harm_and_lets_one_attempt_through_later():
    limits = CircuitLimits(failures=2, reset_s=7200)
    harm = [run(5000, RunState.ROLLED_BACK), run(4000, RunState.FAILED)]
    context = replace(FREE, history=harm, circuit=limits)
    assert held(context) == (
        HeldReason.CIRCUIT_OPEN,
        "2 failed or harmful runs in a row on cart, the last 4000s ago",
    )
    assert held(replace(context, history=[*harm, run(3700)])) is None, "a success closes it"
    assert held(replace(context, circuit=CircuitLimits(2, 4000))) is None
    assert held(replace(context, circuit=CircuitLimits(2, 3000))) is None, "it stays let through, not for a moment only"
    assert held(replace(context, history=harm[:1])) is None


@pytest.mark.parametrize(
    ("failures", "reset_s", "ago_s", "closed"),
    [
        (3, 600, (500, 400, 300), False),
        (4, 600, (500, 400, 300), True),
        (3, 300, (500, 400, 300), True),  # counted from the last of them
        (3, 301, (500, 400, 300), False),
        (1, 600, (500,), False),
        (1, 500, (500,), True),
    ],
)
def test_the_circuit_counts_harm_and_the_time_since_the_last_of_it(
    failures: int, reset_s: float, ago_s: tuple[int, ...], closed: bool
):
    harm = [run(ago, state) for ago, state in zip(ago_s, [RunState.FAILED, RunState.ROLLED_BACK] * 2, strict=False)]
    context = replace(FREE, history=harm[::-1], circuit=CircuitLimits(failures, reset_s))
    found = held(context, playbook(guards=Guards(cooldown_s=60, max_per_hour=9)))
    text = f"{len(ago_s)} failed or harmful runs in a row on cart, the last {ago_s[-1]}s ago"
    assert found == (None if closed else (HeldReason.CIRCUIT_OPEN, text))


def test_a_success_begins_the_count_of_harm_anew():
    harm, limits = [RunState.FAILED, RunState.ROLLED_BACK], CircuitLimits(2, 7200)
    wide = playbook(guards=Guards(cooldown_s=60, max_per_hour=9))
    told = [RunState.FAILED, RunState.FAILED, RunState.SUCCEEDED, *harm]
    history = [run(900 - 100 * i, state) for i, state in enumerate(told)]
    assert held(replace(FREE, history=history[:4], circuit=limits), wide) is None
    found = held(replace(FREE, history=history, circuit=limits), wide)
    assert found == (HeldReason.CIRCUIT_OPEN, "2 failed or harmful runs in a row on cart, the last 500s ago")


def test_an_unknown_effect_is_of_its_target_until_something_is_done_there():
    lost = run(3000, RunState.UNKNOWN, playbook="scale")
    elsewhere = run(3000, RunState.UNKNOWN, playbook="scale", target="web")
    assert held(replace(FREE, history=[elsewhere])) is None
    refused = run(2000, RunState.REFUSED, playbook="other", acted=False)
    on_other = run(2000, playbook="other", target="web")
    for later in (refused, on_other):
        found = held(replace(FREE, history=[lost, later]))
        assert found is not None
        assert found[0] is HeldReason.CIRCUIT_OPEN


def test_a_target_with_an_unknown_effect_is_left_alone_by_every_playbook():
    lost = run(3000, RunState.UNKNOWN, playbook="scale")
    assert held(replace(FREE, history=[lost])) == (
        HeldReason.CIRCUIT_OPEN,
        "whether scale had its effect on cart is not known: a person must look",
    )
    assert held(replace(FREE, history=[lost, run(2000, playbook="other")])) is None
    assert (
        held(replace(FREE, history=[replace(lost, created_ns=NOW - 3600 * S, updated_ns=NOW - 3600 * S, steps=())]))
        is None
    )


@pytest.mark.parametrize(
    ("arguments", "reason", "text"),
    [
        ({"by": 3}, HeldReason.MAX_REPLICAS, "5 replicas, at most 4 are allowed"),
        ({"replicas": 5}, HeldReason.MAX_REPLICAS, "5 replicas, at most 4 are allowed"),
        ({"by": -1}, HeldReason.MIN_REPLICAS, "1 replicas, at least 2 must stay"),
        ({"by": 0}, HeldReason.MIN_REPLICAS, "cart has 2 replicas already"),
    ],
)
def test_replicas_stay_within_bounds(arguments: dict[str, object], reason: HeldReason, text: str):
    book = playbook("scale", "scale", Guards(max_replicas=4, min_replicas=2), **arguments)
    assert held(replace(FREE, planned=planned_replicas(book, STATE, {})), book) == (reason, text)


def test_a_factor_stops_at_the_limit_and_is_held_back_there():
    book = playbook("scale", "scale", Guards(max_replicas=3), factor=2.0)
    assert planned_replicas(book, STATE, {}) == (3,)
    full = replace(STATE, replicas=3)
    context = replace(FREE, planned=planned_replicas(book, full, {}))
    assert held(context, book, full) == (HeldReason.MAX_REPLICAS, "cart has 3 replicas already")


def test_an_autoscaler_of_the_target_has_its_own_limit():
    state = replace(STATE, most=3)
    grows = playbook("scale", "scale", Guards(), factor=2.0)
    assert planned_replicas(grows, state, {}) == (3,)
    more = playbook("scale", "scale", Guards(), by=2)
    context = replace(FREE, planned=planned_replicas(more, state, {}))
    assert held(context, more, state) == (HeldReason.MAX_REPLICAS, "4 replicas, cart's autoscaler allows 3")
    full = replace(state, replicas=3)
    context = replace(FREE, planned=planned_replicas(grows, full, {}))
    assert held(context, grows, full) == (HeldReason.MAX_REPLICAS, "cart has 3 replicas already")


@pytest.mark.parametrize(
    ("now", "most", "planned", "reason", "text"),
    [
        (2, None, 1, None, ""),
        (2, None, 6, None, ""),
        (2, None, 7, HeldReason.MAX_REPLICAS, "7 replicas, at most 6 are allowed"),
        (2, None, 0, HeldReason.MIN_REPLICAS, "0 replicas, at least 1 must stay"),
        (4, 5, 3, None, ""),  # below what its autoscaler allows, as far as one likes
        (2, 5, 4, None, ""),
        (2, 5, 5, None, ""),
        (2, 5, 6, HeldReason.MAX_REPLICAS, "6 replicas, cart's autoscaler allows 5"),
        (2, 9, 7, HeldReason.MAX_REPLICAS, "7 replicas, at most 6 are allowed"),
        # There are more already than its autoscaler allows: it may have fewer, and no more.
        (5, 3, 2, None, ""),
        (5, 3, 4, None, ""),
        (5, 3, 6, HeldReason.MAX_REPLICAS, "6 replicas, cart's autoscaler allows 3"),
        (5, 3, 5, HeldReason.MAX_REPLICAS, "cart has 5 replicas already"),
        (3, 3, 3, HeldReason.MAX_REPLICAS, "cart has 3 replicas already"),
        (3, 4, 3, HeldReason.MIN_REPLICAS, "cart has 3 replicas already"),
        (6, None, 6, HeldReason.MAX_REPLICAS, "cart has 6 replicas already"),
        # It may not have any.
        (0, 0, 1, HeldReason.MAX_REPLICAS, "1 replicas, cart's autoscaler allows 0"),
        (1000, 2000, 999, HeldReason.MAX_REPLICAS, "999 replicas, at most 6 are allowed"),
    ],
)
def test_replicas_on_both_sides_of_each_limit(
    now: int, most: int | None, planned: int, reason: HeldReason | None, text: str
):
    book = playbook("scale", "scale", Guards(max_replicas=6, min_replicas=1), replicas=planned)
    state = replace(STATE, replicas=now, ready=now, most=most)
    found = held(replace(FREE, planned=(planned,)), book, state)
    assert found == (None if reason is None else (reason, text))


def test_computed_replicas():
    book = playbook("scale", "scale", Guards(), replicas="${{ replicas + ready }}")
    assert planned_replicas(book, STATE, {"replicas": 2, "ready": 1}) == (3,)


def test_blast_radius_counts_what_is_acted_on_at_once():
    others = [run(300, RunState.RUNNING, target=t, playbook="p" + t, name=t) for t in ("web", "db")]
    services = (*(f"s{i}" for i in range(5)), "cart", "web", "db")
    context = replace(FREE, open_runs=others, max_concurrent=9, known_services=services)
    assert affected_by("cart", context) == ("cart", "db", "web")
    assert held(context) == (HeldReason.BLAST_RADIUS, "3 of 8 services acted on at once, at most 2 are allowed")
    assert held(replace(context, open_runs=others[:1])) is None
    assert held(replace(FREE, known_services=("cart",))) is None, "one may always be"
    assert held(replace(context, known_services=services[-3:], open_runs=others[:1])) == (
        HeldReason.BLAST_RADIUS,
        "2 of 3 services acted on at once, at most 1 are allowed",
    )
    hundred = tuple(f"s{i}" for i in range(100))
    of_hundred = [replace(FREE, known_services=hundred, affected=hundred[:n]) for n in (29, 30)]
    book = playbook(guards=replace(playbook().guards, blast_radius=0.29))
    assert held(of_hundred[0], book) is None
    assert held(of_hundred[1], book) == (
        HeldReason.BLAST_RADIUS,
        "30 of 100 services acted on at once, at most 29 are allowed",
    )


def test_two_services_that_are_one_thing_are_one_target():
    mine = replace(FREE, identity="kubernetes:c/Deployment/shop/cart")
    other = replace(run(50), target="basket", identities=("kubernetes:c/Deployment/shop/cart",))
    assert held(replace(mine, history=[other])) == (HeldReason.COOLDOWN, "last run 50s ago, cooldown is 1m")
    busy = replace(run(60, RunState.RUNNING, playbook="scale"), target="basket", identities=other.identities)
    crowded = replace(mine, open_runs=[busy], max_concurrent=9)
    assert held(crowded) == (HeldReason.CONCURRENCY, "scale is under way on cart")
    assert affected_by("cart", crowded) == ("cart",)
    lost = replace(run(60, RunState.UNKNOWN, playbook="scale"), target="basket", identities=other.identities)
    assert held(replace(mine, history=[lost]))[0] is HeldReason.CIRCUIT_OPEN
    elsewhere = replace(other, identities=("kubernetes:d/Deployment/shop/cart",))
    assert held(replace(mine, history=[elsewhere])) is None


def test_an_environment_that_is_bound_to_nothing():
    unbound = replace(FREE, actions=frozenset({"webhook"}))
    assert held(unbound, state=None) == (
        HeldReason.UNBOUND_ENVIRONMENT,
        "environment 'prod' is bound to nothing that could (act.environments)",
    )


def test_windows():
    night = playbook(guards=Guards(windows=("Mon-Fri 22:00-06:00",)))
    assert held(FREE, night) == (HeldReason.WINDOW, "only Mon-Fri 22:00-06:00 (UTC)")
    assert held(replace(FREE, now_ns=NOW + 11 * 3600 * S), night) is None


def test_the_kill_switch_comes_first():
    def switch(scope: str) -> Control:
        return Control(scope=scope, acting=False, autonomy=Autonomy.ACT, by="ada", time_ns=1, reason="maintenance")

    text = "acting was stopped by ada (maintenance)"
    assert held(replace(FREE, controls=[switch("*")], history=[run(1)])) == (HeldReason.KILL_SWITCH, text)
    assert held(replace(FREE, controls=[switch("prod")])) == (HeldReason.KILL_SWITCH, text)
    assert held(replace(FREE, controls=[switch("staging")])) is None


def test_what_can_not_be_done_is_held_back():
    assert held(FREE, state=None) == (HeldReason.NO_TARGET, "no actuator knows cart")
    assert held(FREE, playbook("page", "webhook", body="look"), None) is None
    assert held(replace(FREE, actions=frozenset({"scale"}))) == (HeldReason.NOT_CAPABLE, "no actuator can restart")
    reason, text = held(
        replace(FREE, actions=frozenset({"restart"})), playbook("turn", "flag", flag="new", to="off")
    ) or ("", "")
    assert (reason, text) == (HeldReason.NOT_CAPABLE, action_of("flag").unoffered)
    assert "act.actions.flag" in text
    named = replace(FREE, named=(("act.commands", ()), ("act.webhooks", ("ops",))))
    for name, found in (("pager", "there is no act.webhooks.pager in the settings"), ("ops", "")):
        page = replace(playbook("page", "webhook"), steps=(Step("do", "webhook", {"name": name, "body": "look"}),))
        assert held(named, page, None) == ((HeldReason.NOT_CAPABLE, found) if found else None)
    back = playbook("back", "rollback")
    first = replace(STATE, previous_version="")
    assert held(FREE, back, first) == (HeldReason.NOT_CAPABLE, "cart has no earlier version to go back to")
    assert held(FREE, playbook("back", "rollback", version="v0"), first) is None


def test_all_reasons_can_be_asked_for():
    context = replace(FREE, history=[run(10), run(20)])
    assert [h.reason for h in check_all(playbook(), CART, STATE, context)] == [
        HeldReason.COOLDOWN,
        HeldReason.RATE_LIMIT,
    ]


@pytest.mark.parametrize(
    ("action", "arguments", "held_back"),
    [
        ("scale", {"by": 1}, True),
        ("restart", {}, True),
        ("restart", {"strategy": "rolling"}, True),
        ("restart", {"strategy": "instance"}, False),
        ("rollback", {}, False),
        ("webhook", {}, False),
    ],
)
def test_what_the_owner_of_a_target_would_undo_is_held_back(
    action: str, arguments: dict[str, object], held_back: bool
) -> None:
    owned = replace(STATE, refusals={"scale": "it is KEDA's", "restart/rolling": "it is a Canary's"})
    found = held(FREE, playbook(action=action, **arguments), owned)
    assert (found is not None) == held_back
    assert found is None or found[0] is HeldReason.OWNED


@pytest.mark.parametrize(
    ("state", "action", "arguments", "outage"),
    [
        (replace(STATE, disrupts=2), "restart", {}, True),
        (replace(STATE, disrupts=2), "rollback", {}, True),
        (replace(STATE, disrupts=1), "restart", {"strategy": "rolling"}, False),
        (replace(STATE, disrupts=0), "restart", {}, False),
        (replace(STATE, disrupts=2), "restart", {"strategy": "instance"}, False),
        (replace(STATE, ready=1, disrupts=1), "restart", {"strategy": "instance"}, False),
        (replace(STATE, ready=1, disrupts=1), "restart", {"strategy": "instance", "instance": "a"}, False),
        (replace(STATE, replicas=1, ready=1, disrupts=1), "restart", {"strategy": "instance"}, False),
        (replace(STATE, replicas=1, ready=1, disrupts=1), "restart", {"strategy": "rolling"}, True),
        (replace(STATE, ready=0, disrupts=0), "restart", {}, False),
        (replace(STATE, disrupts=2), "scale", {"by": 1}, False),
        (STATE, "restart", {}, False),
    ],
)
def test_what_takes_away_all_that_serve_is_an_outage(
    state: TargetState, action: str, arguments: dict[str, object], outage: bool
) -> None:
    assert bool(outage_of(playbook(action=action, **arguments), state)) == outage
    assert outage_of(playbook(action=action, **arguments), None) == ""


@pytest.mark.parametrize(
    ("ready", "replicas", "held"), [(3, 3, None), (2, 2, "2 of 2"), (3, 4, "3 of 4"), (4, 3, "4 of 3")]
)
def test_a_probe_takes_one_of_three_that_are_all_ready(ready: int, replicas: int, held: str | None) -> None:
    checks = Verify((Check("latency_p95", "instance"),))
    probe = replace(playbook(strategy="instance"), verify=checks)
    state = replace(STATE, ready=ready, replicas=replicas)
    found = check(probe, CART, state, GuardContext(NOW, known_services=("cart",)))
    assert (found is None) == (held is None)
    if found is not None and held is not None:
        assert found.reason is HeldReason.MIN_REPLICAS
        assert held in found.text
    assert check(replace(probe, verify=Verify(())), CART, state, GuardContext(NOW, known_services=("cart",))) is None
