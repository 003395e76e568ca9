"""What is decided, why, and that it is decided again the same way."""

import random
from dataclasses import replace

import hypothesis.strategies as st
import msgspec
import pytest
from hypothesis import given, settings

from contracts.claims import CONTESTED
from contracts.events import Candidate, Change, Control, Decision, Evidence, FlagChange, Incident, encode
from contracts.ports import RunEntry, TargetState
from contracts.settings import DecideSettings
from contracts.units import SECOND as S
from contracts.verdicts import (
    Autonomy,
    CauseKind,
    Conduct,
    DecisionVerdict,
    HeldReason,
    IncidentPhase,
    RunState,
    Severity,
)
from playbooks.decision import NOTHING, PERSON, Attempt, DecisionWorld, ServiceView, decide
from playbooks.decision.belief import believed
from playbooks.decision.candidates import proposals
from playbooks.decision.scoring import blast_share
from playbooks.guards import Standing
from playbooks.language import Guards, Match, Playbook, Step, Trigger, Verify, library
from playbooks.learning import Posteriors, Prediction

NOW = 1_800_000_000 * S
SETTINGS = DecideSettings(min_confidence=0.5)
LIBRARY = library()
STATE = TargetState(replicas=2, ready=2, version="v2", previous_version="v1")
ACTIONS = frozenset({"scale", "restart", "rollback"})


def cause(service: str, kind: CauseKind, probability: float) -> Candidate:
    return Candidate(service=service, kind=kind, probability=probability, evidence=(), path=())


def changed(kind: str, service: str = "cart", after: str = "v2") -> Change:
    return Change(environment="prod", service=service, kind=kind, time_ns=NOW - 80 * S, actor="ada", after=after)


def incident(
    *candidates: Candidate, severity: Severity = Severity.WARNING, changes: tuple[Change, ...] | None = None
) -> Incident:
    """Without `changes` what is blamed on a release has seen one."""
    if changes is None:
        changes = tuple(changed("deploy", c.service) for c in candidates if c.kind is CauseKind.BAD_RELEASE)
    return Incident(
        id="inc-1", environment="prod", phase=IncidentPhase.UPDATED, severity=severity, onset_ns=NOW - 65 * S, time_ns=NOW - S,
        revision=1, anomalies=("a",), services=("cart", "web"), candidates=candidates, blast_radius=("web",), confidence=0.9,
        settled=True, text="", changes=changes,
    )  # fmt: skip


HANG = incident(cause("cart", CauseKind.HANG, 0.9), cause("web", CauseKind.LATENCY, 0.06))
WORLD = DecisionWorld(
    now_ns=NOW,
    number=1,
    heard_ns=NOW - S,
    posteriors=Posteriors(),
    targets={"cart": STATE, "web": STATE},
    services={
        "cart": ServiceView("v2", {"k8s.namespace.name": "shop"}, {"request_rate": 10.0}, {}, {"request_rate": 5.0})
    },
    known_services=("cart", "db", "pay", "web"),
    actions=ACTIONS,
)


def switch(*, acting: bool = True, autonomy: Autonomy = Autonomy.ACT, scope: str = "*") -> Control:
    return Control(scope=scope, acting=acting, autonomy=autonomy, by="ada", time_ns=1)


def run(
    state: RunState, *, playbook: str = "restart-hung-service", target: str = "cart", ago_s: float = 10
) -> RunEntry:
    at = NOW - int(ago_s * S)
    return RunEntry("r", "d", "prod", target, playbook, state, at, at, 1, {})


def why(decision, playbook: str) -> str:
    return next(o.why for o in decision.options if o.playbook == playbook)


def test_the_remedy_of_the_leading_cause_is_done():
    d = decide(HANG, WORLD, LIBRARY, SETTINGS)
    assert (d.verdict, d.chosen.playbook, d.chosen.target) == (DecisionVerdict.ACT, "restart-hung-service", "cart")
    assert (d.id, d.incident, d.cause, d.cause_service, d.cause_probability) == (
        "inc-1-d1",
        "inc-1",
        CauseKind.HANG,
        "cart",
        0.9,
    )
    assert d.autonomy is Autonomy.ACT
    assert d.chosen.success_probability == pytest.approx(0.9 * 2 / 3)
    assert {t.name for t in d.chosen.terms} == {"success", "failure", "disturbance"}
    assert d.chosen.score == pytest.approx(sum(t.value for t in d.chosen.terms))
    assert d.text == "hang of cart (90%); does restart-hung-service on cart (P(success) 60%, score 0.44)"


def test_every_option_is_listed_best_first_with_its_reason():
    d = decide(HANG, WORLD, LIBRARY, SETTINGS)
    assert {NOTHING, PERSON} < {o.playbook for o in d.options}
    assert [o.score for o in d.options] == sorted((o.score for o in d.options), reverse=True)
    assert all(o.why for o in d.options)
    assert why(d, "restart-hung-service") == "chosen: best score, and it may be done without a person"
    assert why(d, NOTHING) == "scores 0.00, restart-hung-service scores 0.44"
    assert why(d, "scale-out-slow-service").startswith("held back (condition): it takes features[")


def test_tier_two_acts_after_validation_tier_three_asks_and_telling_asks_nobody():
    release = decide(incident(cause("cart", CauseKind.BAD_RELEASE, 0.9)), WORLD, LIBRARY, SETTINGS)
    assert (release.verdict, release.chosen.playbook) == (DecisionVerdict.ACT, "roll-back-bad-release")
    assert "validated first" in release.text
    world = replace(WORLD, actions=ACTIONS | {"webhook"})
    outside = decide(incident(cause("db", CauseKind.DEPENDENCY, 0.9)), world, LIBRARY, SETTINGS)
    assert (outside.verdict, outside.chosen.playbook) == (DecisionVerdict.ACT, "page-dependency-owner")
    told = replace(world, number=2, attempts=(Attempt(outside.id, "page-dependency-owner", "db", "inconclusive", NOW),))
    again = decide(incident(cause("db", CauseKind.DEPENDENCY, 0.9)), told, LIBRARY, SETTINGS)
    assert (again.verdict, again.chosen.playbook) == (DecisionVerdict.NOTHING, NOTHING)
    assert again.text.startswith("dependency of db (90%); somebody was told by page-dependency-owner")
    recent = Change(environment="prod", service="cart", kind="deploy", time_ns=NOW - 60 * S, actor="ada")
    asks = decide(incident(cause("cart", CauseKind.ERRORS, 0.9), changes=(recent,)), WORLD, LIBRARY, SETTINGS)
    assert (asks.verdict, asks.chosen.playbook) == (DecisionVerdict.ASK, "roll-back-recent-release")
    assert "tier 3 needs a person's approval" in asks.text


def test_where_no_playbook_helps_a_person_is_asked():
    d = decide(incident(cause("cart", CauseKind.UNKNOWN, 0.9)), WORLD, LIBRARY, SETTINGS)
    assert (d.verdict, d.chosen.playbook) == (DecisionVerdict.ASK, PERSON)
    assert d.text == "unknown of cart (90%); a person is asked, no playbook is a remedy for it"
    none = decide(incident(), WORLD, LIBRARY, SETTINGS)
    assert (none.verdict, none.cause, none.cause_service) == (DecisionVerdict.ASK, CauseKind.UNKNOWN, "")


def test_what_does_not_matter_is_left_alone():
    d = decide(incident(cause("cart", CauseKind.UNKNOWN, 0.9), severity=Severity.INFO), WORLD, LIBRARY, SETTINGS)
    assert (d.verdict, d.chosen.playbook) == (DecisionVerdict.NOTHING, NOTHING)


def test_a_target_no_actuator_knows_is_not_acted_on():
    d = decide(HANG, replace(WORLD, targets={}), LIBRARY, SETTINGS)
    assert (d.verdict, d.chosen.playbook) == (DecisionVerdict.ASK, PERSON)
    held = next(o for o in d.options if o.playbook == "restart-hung-service")
    assert (held.held, held.held_text) == (HeldReason.NO_TARGET, "no actuator knows cart")


def test_where_telemetry_comes_late_a_diagnosis_is_as_old_when_it_comes():
    late = replace(WORLD, now_ns=NOW + 50 * S, heard_ns=NOW + 50 * S, reached_ns=NOW + 2 * S)
    d = decide(HANG, late, LIBRARY, SETTINGS)
    assert (d.verdict, d.chosen.playbook) == (DecisionVerdict.ACT, "restart-hung-service")


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"heard_ns": NOW - 31 * S}, "no telemetry has come in for 31 s"),
        ({"heard_ns": 0}, "no telemetry has come in yet"),
        (
            {"now_ns": NOW + 40 * S, "heard_ns": NOW + 40 * S},
            "the diagnosis is 41 s old, and nothing confirmed it since",
        ),
        ({"now_ns": NOW + 40 * S, "heard_ns": NOW + 40 * S, "confirmed_ns": NOW + 8 * S}, "the diagnosis is 32 s old"),
        ({"now_ns": NOW + 40 * S, "heard_ns": NOW + 40 * S, "reached_ns": NOW + 38 * S}, "the diagnosis is 41 s old"),
        ({"now_ns": NOW + 130 * S, "heard_ns": NOW + 130 * S, "reached_ns": NOW}, "the diagnosis is 131 s old"),
        ({"known_services": ()}, "no topology is known"),
        ({"known_services": ("web",)}, "cart is not in the topology"),
        (
            {"predictions": tuple(Prediction(NOW, 0.8, False) for _ in range(3))},
            "recent repairs went worse than predicted",
        ),
        ({"controls": (switch(autonomy=Autonomy.SUGGEST, scope="prod"),)}, "autonomy is set to suggest"),
        (
            {"services": {"cart": replace(WORLD.services["cart"], attributes={CONTESTED: "a or b"})}},
            "telemetry says different things of what cart is: a or b",
        ),
    ],
)
def test_autonomy_falls_with_confidence(change: dict[str, object], word: str):
    d = decide(HANG, replace(WORLD, **change), LIBRARY, SETTINGS)
    assert (d.verdict, d.autonomy, d.chosen.playbook) == (DecisionVerdict.ASK, Autonomy.SUGGEST, "restart-hung-service")
    assert word in d.text
    assert word in d.chosen.why


def test_a_cause_that_is_not_sure_enough_is_asked_about():
    d = decide(incident(cause("cart", CauseKind.HANG, 0.49)), WORLD, LIBRARY, SETTINGS)
    assert (d.verdict, d.autonomy) == (DecisionVerdict.ASK, Autonomy.SUGGEST)
    assert "the cause is only 49% sure, 50% is needed to act alone" in d.text


def test_a_switch_elsewhere_changes_nothing():
    d = decide(HANG, replace(WORLD, controls=(switch(acting=False, scope="staging"),)), LIBRARY, SETTINGS)
    assert d.verdict is DecisionVerdict.ACT


def test_the_kill_switch_stops_everything_and_says_so():
    d = decide(HANG, replace(WORLD, controls=(switch(acting=False),)), LIBRARY, SETTINGS)
    assert (d.verdict, d.chosen.playbook) == (DecisionVerdict.NOTHING, NOTHING)
    assert "acting was stopped by ada" in d.text
    assert all(o.held is HeldReason.KILL_SWITCH for o in d.options if o.target and o.held is not HeldReason.CONDITION)


def test_observing_says_what_would_be_done():
    d = decide(HANG, WORLD, LIBRARY, DecideSettings(autonomy=Autonomy.OBSERVE))
    assert (d.verdict, d.chosen.playbook, d.autonomy) == (
        DecisionVerdict.NOTHING,
        "restart-hung-service",
        Autonomy.OBSERVE,
    )
    assert "would do restart-hung-service on cart" in d.text


def test_what_is_under_way_is_waited_for_rather_than_asking_a_person():
    d = decide(HANG, replace(WORLD, history=(run(RunState.RUNNING, target="web", playbook="x"),)), LIBRARY, SETTINGS)
    assert (d.verdict, d.chosen.playbook) == (DecisionVerdict.NOTHING, NOTHING)
    assert "waiting to do restart-hung-service on cart: 1 runs under way" in d.text


def test_a_cooldown_makes_it_ask():
    d = decide(HANG, replace(WORLD, history=(run(RunState.SUCCEEDED),)), LIBRARY, SETTINGS)
    assert (d.verdict, d.chosen.playbook) == (DecisionVerdict.ASK, PERSON)
    assert "held back: restart-hung-service: last run 10s ago, cooldown is 2m" in d.text


def book(
    name: str, *, causes: tuple[CauseKind, ...] = (CauseKind.HANG,), cost: float = 0.1, **match: object
) -> Playbook:
    trigger = Trigger(Match(causes=causes, **match))
    steps = (Step("do", "restart", {"strategy": "rolling"}),)
    return Playbook(name, "1", "", trigger, 1, Guards(), steps, Verify(()), cost=cost)


def test_after_a_failure_the_next_best_comes_and_at_last_a_person():
    books = [book("best", cost=0.05), book("second", cost=0.1)]
    first = decide(HANG, WORLD, books, SETTINGS)
    assert first.chosen.playbook == "best"
    failed = Attempt(first.id, "best", "cart", "same", NOW)
    second = decide(HANG, replace(WORLD, number=2, attempts=(failed,)), books, SETTINGS)
    assert (second.chosen.playbook, second.id) == ("second", "inc-1-d2")
    assert any(
        t.name == "tried" and t.text == "tried in this incident already: same" for o in second.options for t in o.terms
    )
    both = (failed, Attempt(second.id, "second", "cart", "rolled_back", NOW))
    third = decide(HANG, replace(WORLD, number=3, attempts=both), books, SETTINGS)
    assert (third.verdict, third.chosen.playbook) == (DecisionVerdict.ASK, PERSON)
    assert "tried already: best on cart (same), second on cart (rolled_back)" in third.text


def test_a_playbook_for_two_kinds_of_cause_on_a_service_counts_both():
    unsure = incident(cause("cart", CauseKind.HANG, 0.4), cause("cart", CauseKind.LATENCY, 0.3))
    d = decide(unsure, WORLD, [book("both", causes=(CauseKind.HANG, CauseKind.LATENCY))], SETTINGS)
    assert d.verdict is DecisionVerdict.ACT, "0.7 together is sure enough"
    assert d.chosen.success_probability == pytest.approx(0.7 * 2 / 3)
    assert d.cause is CauseKind.HANG


@pytest.mark.parametrize(
    ("match", "found"),
    [
        ({"services": ("ca*",)}, True),
        ({"services": ("web",)}, False),
        ({"labels": {"k8s.namespace.name": "sh?p"}}, True),
        ({"labels": {"k8s.namespace.name": "shop", "absent": "*x"}}, False),
        ({"severities": (Severity.WARNING,)}, True),
        ({"severities": (Severity.CRITICAL,)}, False),
    ],
)
def test_matching(match: dict[str, object], found: bool):
    d = decide(incident(cause("cart", CauseKind.HANG, 0.9)), WORLD, [book("it", **match)], SETTINGS)
    assert ("it" in {o.playbook for o in d.options}) is found


def test_a_recent_deploy_speaks_for_the_roll_back_and_against_the_restart():
    deploy = Change(environment="prod", service="cart", kind="deploy", time_ns=NOW - 60 * S, after="v2")
    d = decide(incident(cause("cart", CauseKind.ERRORS, 0.9), changes=(deploy,)), WORLD, LIBRARY, SETTINGS)
    assert (d.verdict, d.chosen.playbook) == (DecisionVerdict.ASK, "roll-back-recent-release")
    held = next(o for o in d.options if o.playbook == "restart-failing-service")
    assert held.held is HeldReason.CONDITION


def test_load_above_the_expected_is_answered_with_replicas():
    web = ServiceView("", {}, {"request_rate": 50.0}, {}, {"request_rate": 20.0})
    world = replace(WORLD, services={"web": web})
    d = decide(incident(cause("web", CauseKind.LATENCY, 0.9)), world, LIBRARY, SETTINGS)
    assert (d.verdict, d.chosen.playbook) == (DecisionVerdict.ACT, "scale-out-slow-service")
    calm = replace(web, values={"request_rate": 15.0})
    d = decide(
        incident(cause("web", CauseKind.LATENCY, 0.9)), replace(WORLD, services={"web": calm}), LIBRARY, SETTINGS
    )
    assert (d.verdict, d.chosen.playbook) == (DecisionVerdict.ACT, "restart-slow-service")


CAUSES = st.lists(
    st.builds(cause, st.sampled_from(["cart", "web", "db"]), st.sampled_from(list(CauseKind)), st.floats(0, 1)),
    max_size=4,
)
WORLDS = st.builds(
    lambda heard, known, attempts, stopped: replace(
        WORLD,
        heard_ns=NOW - heard * S,
        known_services=known,
        attempts=tuple(Attempt("d", p, "cart", o, NOW) for p, o in attempts),
        controls=(switch(acting=not stopped),),
    ),
    st.integers(0, 60),
    st.sampled_from([(), ("cart", "db", "web")]),
    st.lists(
        st.tuples(st.sampled_from([p.name for p in LIBRARY]), st.sampled_from(["same", "worse", "inconclusive"])),
        max_size=3,
    ),
    st.booleans(),
)


@settings(max_examples=60, deadline=None)
@given(CAUSES, WORLDS, st.sampled_from(list(Severity)), st.integers(0, 100))
def test_the_same_world_gives_the_same_decision(causes, world, severity, seed):
    found = incident(*causes, severity=severity)
    shuffled = list(LIBRARY)
    random.Random(seed).shuffle(shuffled)
    other = replace(
        world,
        targets=dict(reversed(world.targets.items())),
        services=dict(reversed(world.services.items())),
    )
    a, b = decide(found, world, LIBRARY, SETTINGS), decide(found, other, shuffled, SETTINGS)
    assert encode(a) == encode(b)
    assert a.chosen in a.options
    if a.verdict is DecisionVerdict.ACT:
        assert a.chosen.held is None
        assert a.chosen.tier in (1, 2)
        assert a.chosen.score == max(o.score for o in a.options if o.held is None)
        assert not any(not c.acting for c in world.controls)


def test_the_hash_changes_with_every_input():
    base = decide(HANG, WORLD, LIBRARY, SETTINGS).world_hash
    others = [
        decide(HANG, replace(WORLD, now_ns=NOW + 1), LIBRARY, SETTINGS),
        decide(HANG, replace(WORLD, history=(run(RunState.SUCCEEDED),)), LIBRARY, SETTINGS),
        decide(HANG, replace(WORLD, targets={"cart": replace(STATE, replicas=3)}), LIBRARY, SETTINGS),
        decide(HANG, WORLD, LIBRARY[1:], SETTINGS),
        decide(HANG, WORLD, LIBRARY, DecideSettings(min_confidence=0.4)),
        decide(incident(cause("cart", CauseKind.HANG, 0.8)), WORLD, LIBRARY, SETTINGS),
    ]
    assert len({base, *(d.world_hash for d in others)}) == 7


def test_what_takes_away_all_that_serve_is_asked_about_whatever_its_tier():
    leak = incident(cause("cart", CauseKind.LEAK, 0.9))
    found = decide(leak, replace(WORLD, targets={"cart": replace(STATE, disrupts=1)}), LIBRARY, SETTINGS)
    assert (found.verdict, found.chosen.playbook) == (DecisionVerdict.ACT, "restart-leaking-service")
    found = decide(leak, replace(WORLD, targets={"cart": replace(STATE, disrupts=2)}), LIBRARY, SETTINGS)
    assert (found.verdict, found.chosen.playbook) == (DecisionVerdict.ASK, "restart-leaking-service")
    assert "all 2 instances that serve at once: an outage of all of it" in found.text


@pytest.mark.parametrize("kind", [CauseKind.HANG, CauseKind.CRASH])
@pytest.mark.parametrize(
    ("replicas", "ready", "strategy"),
    [(1, 1, "instance"), (1, 0, "instance"), (3, 2, "instance"), (3, 3, "rolling"), (3, 0, "rolling")],
)
def test_one_instance_is_replaced_only_where_it_is_known_which(
    kind: CauseKind, replicas: int, ready: int, strategy: str
):
    """Of three that hang, one that is replaced mends a third of it; of three of which one hangs, most others are well."""
    known = replace(WORLD, targets={"cart": replace(STATE, replicas=replicas, ready=ready)})
    found = decide(at_age(20, incident(cause("cart", kind, 0.9))), known, LIBRARY, SETTINGS)
    chosen = next(p for p in LIBRARY if p.name == found.chosen.playbook)
    assert (found.verdict, chosen.steps[0].arguments) == (DecisionVerdict.ACT, {"strategy": strategy})


@pytest.mark.parametrize(
    ("ready", "since_s", "befell", "verdict"),
    [
        (2, 5, "", DecisionVerdict.NOTHING),  # a platform takes a moment to notice
        (2, 20, "", DecisionVerdict.ASK),
        (1, 5, "", DecisionVerdict.ACT),
        (0, 5, "", DecisionVerdict.ACT),
        (2, 5, "restart", DecisionVerdict.ACT),  # it starts, and ends again
        (2, 20, "oom", DecisionVerdict.ACT),
        (2, 20, "scheduling", DecisionVerdict.ASK),
    ],
)
def test_what_refuses_its_calls_and_is_ready_all_the_same_has_not_crashed(
    ready: int, since_s: int, befell: str, verdict: DecisionVerdict
):
    """Calls that are refused may be lost on the way: by a certificate, a name, a policy, a proxy. A restart mends none of those."""
    gone = at_age(since_s, incident(cause("cart", CauseKind.CRASH, 0.99), changes=(changed(befell),) if befell else ()))
    world = replace(answers(Conduct.WORSE, refused=True), targets={"cart": replace(STATE, ready=ready)})
    found = decide(gone, world, LIBRARY, SETTINGS)
    assert found.verdict is verdict
    assert ("refused at once" in found.text) == (verdict is not DecisionVerdict.ACT)
    waits = replace(world, standings=answers(Conduct.WORSE).standings)
    assert decide(gone, waits, LIBRARY, SETTINGS).verdict is DecisionVerdict.ACT, "who hangs is ready all the same"


@pytest.mark.parametrize(("replicas", "verdict"), [(1, DecisionVerdict.ASK), (2, DecisionVerdict.ACT)])
def test_the_only_instance_has_not_crashed_where_it_answers_others(replicas: int, verdict: DecisionVerdict):
    """Of its calls a part is lost, and what reaches it is answered as before: they are lost on the way. One of several may be gone."""
    gone = at_age(20, incident(cause("cart", CauseKind.CRASH, 0.99)))
    world = replace(
        answers(Conduct.UNKNOWN, answers=True), targets={"cart": replace(STATE, replicas=replicas, ready=replicas)}
    )
    found = decide(gone, world, LIBRARY, SETTINGS)
    assert found.verdict is verdict
    assert ("are lost, while it answers others" in found.text) is (verdict is DecisionVerdict.ASK)


def test_what_its_owner_would_undo_is_not_chosen():
    owned = replace(STATE, refusals={"restart/rolling": "Deployment cart is controlled by Canary cart (flagger.app)"})
    found = decide(HANG, replace(WORLD, targets={"cart": owned}), LIBRARY, SETTINGS)
    assert found.chosen.playbook != "restart-hung-service"
    assert "controlled by Canary cart" in why(found, "restart-hung-service")


def answers(conduct: Conduct, **how: bool) -> DecisionWorld:
    return replace(
        WORLD, standings={"cart": Standing(conduct, "what was seen", **how), "web": Standing(Conduct.AS_BEFORE, "")}
    )


@pytest.mark.parametrize(
    "kind", [k for k in CauseKind if k not in (CauseKind.NETWORK, CauseKind.DEPENDENCY, CauseKind.NODE)]
)
def test_whoever_is_blamed_nothing_is_done_to_what_answers_as_before(kind: CauseKind):
    turned = FlagChange(name="new-checkout", before="off", after="on") if kind is CauseKind.FLAG else None
    blamed = msgspec.structs.replace(cause("cart", kind, 0.99), flag=turned)
    world = replace(answers(Conduct.AS_BEFORE), actions=ACTIONS | {"flag"})
    found = decide(incident(blamed), world, LIBRARY, SETTINGS)
    assert (found.verdict, found.chosen.playbook) == (DecisionVerdict.ASK, PERSON)
    remedies = [o for o in found.options if o.target]
    assert all(o.held is not None for o in remedies)
    assert not remedies or any(
        o.held is HeldReason.INNOCENT and "cart is not to blame" in o.held_text for o in remedies
    )


def test_a_target_that_shows_nothing_by_itself_takes_more_certainty():
    unsure = incident(cause("cart", CauseKind.HANG, 0.8))
    found = decide(unsure, answers(Conduct.UNKNOWN), LIBRARY, SETTINGS)
    assert (found.verdict, found.chosen.playbook) == (DecisionVerdict.ASK, "restart-hung-service")
    assert "what was seen; the cause must be 90% sure" in found.text
    sure = incident(cause("cart", CauseKind.HANG, 0.95))
    assert decide(sure, answers(Conduct.UNKNOWN), LIBRARY, SETTINGS).verdict is DecisionVerdict.ACT
    assert decide(sure, answers(Conduct.UNKNOWN, lost=True), LIBRARY, SETTINGS).verdict is DecisionVerdict.ASK
    assert decide(unsure, answers(Conduct.WORSE), LIBRARY, SETTINGS).verdict is DecisionVerdict.ACT


def test_evidence_that_is_still_to_come_is_waited_for():
    found = decide(HANG, answers(Conduct.UNKNOWN, young=True), LIBRARY, SETTINGS)
    assert (found.verdict, found.chosen.playbook) == (DecisionVerdict.NOTHING, NOTHING)
    assert "waiting to do restart-hung-service on cart" in found.text


def test_one_operation_that_stands_out_is_a_persons_to_judge():
    def judged(cause_: Candidate, *, partly: bool) -> Decision:
        usual = ServiceView("v2", {"k8s.namespace.name": "shop"}, {"request_rate": 4.0}, {}, {"request_rate": 5.0})
        world = replace(answers(Conduct.WORSE, partly=partly), services={"cart": usual})
        return decide(incident(cause_), world, LIBRARY, SETTINGS)

    slow = cause("cart", CauseKind.LATENCY, 0.9)
    waiting = judged(slow, partly=True)
    assert waiting.verdict is DecisionVerdict.NOTHING
    assert "waiting to do restart-slow-service" in waiting.text
    for partly in (True, False):
        found = judged(msgspec.structs.replace(slow, operation="GET /search"), partly=partly)
        assert (found.verdict, found.chosen.playbook) == (DecisionVerdict.ASK, "restart-slow-service")
        assert "only GET /search stands out" in found.text
    assert judged(slow, partly=False).verdict is DecisionVerdict.ACT
    hanging = msgspec.structs.replace(cause("cart", CauseKind.HANG, 0.9), operation="GET /search")
    assert judged(hanging, partly=True).verdict is DecisionVerdict.ACT


BANK = "external:api.bank.example"


@pytest.mark.parametrize("kind", [k for k in CauseKind if k is not CauseKind.DEPENDENCY])
def test_who_suffers_from_what_others_run_is_left_alone_and_a_person_is_told(kind: CauseKind):
    found = decide(
        incident(cause(BANK, CauseKind.DEPENDENCY, 0.5), cause("cart", kind, 0.45)), WORLD, LIBRARY, SETTINGS
    )
    assert found.verdict is DecisionVerdict.ASK
    acting = [o for o in found.options if o.target == "cart" and not o.playbook.startswith("page-")]
    assert all(o.held in (HeldReason.OUTSIDE, HeldReason.CONDITION) for o in acting)
    assert all(BANK in o.held_text for o in acting if o.held is HeldReason.OUTSIDE)


def test_nothing_acts_on_what_others_run_even_if_an_actuator_knows_that_name():
    world = replace(WORLD, targets={BANK: STATE})
    found = decide(incident(cause(BANK, CauseKind.HANG, 0.95)), world, LIBRARY, SETTINGS)
    assert found.verdict is DecisionVerdict.ASK
    assert "is run by others" in why(found, "restart-hung-service")


def test_a_service_that_is_the_likelier_cause_is_acted_on_although_something_outside_is_suspected():
    found = decide(
        incident(cause("cart", CauseKind.HANG, 0.9), cause(BANK, CauseKind.DEPENDENCY, 0.05)), WORLD, LIBRARY, SETTINGS
    )
    assert found.chosen.playbook == "restart-hung-service"


def test_made_up_names_make_no_share_smaller() -> None:
    """Neither the score's, nor what the guard lets be acted on at once."""
    names = (*WORLD.known_services, *(f"job-{n}" for n in range(300)))
    at_work = replace(WORLD, serving=WORLD.known_services)
    proposal = next(p for p in proposals(HANG, at_work, LIBRARY) if p.playbook.name == "restart-hung-service")
    share = blast_share(proposal, HANG, at_work)
    assert share == 0.5
    assert blast_share(proposal, HANG, replace(at_work, known_services=names)) == share


RELEASE_OR_HANG = incident(
    cause("cart", CauseKind.HANG, 0.6),
    cause("web", CauseKind.BAD_RELEASE, 0.35),
)


def at_age(seconds: float, base: Incident) -> Incident:
    return msgspec.structs.replace(base, onset_ns=NOW - int(seconds * S))


@pytest.mark.parametrize(
    ("felt", "well_s", "acts"),
    [
        (Severity.CRITICAL, 0, True),
        (Severity.INFO, 0, True),  # for a moment
        (Severity.INFO, 9, True),
        (Severity.INFO, 10, False),
        (Severity.WARNING, 10, True),
    ],
)
def test_who_hangs_no_more_as_users_have_it_is_left_alone(felt: Severity, well_s: int, acts: bool):
    """What is left of it in the numbers since the onset was taken for a hang, a minute after the way was well again."""
    told = msgspec.structs.replace(HANG, severity=Severity.CRITICAL, felt=felt)
    world = replace(WORLD, well_ns=NOW - well_s * S if well_s else 0)
    found = decide(told, world, LIBRARY, SETTINGS)
    assert (found.verdict is DecisionVerdict.ACT) is acts
    assert acts or "users are served as before by now" in why(found, "restart-hung-service")


def test_a_failure_is_evidence_of_the_cause():
    tried = replace(WORLD, number=2, attempts=(Attempt("inc-1-d1", "restart-hung-service", "cart", "same", NOW),))
    d = decide(at_age(20, RELEASE_OR_HANG), tried, LIBRARY, SETTINGS)
    assert (d.verdict, d.chosen.playbook, d.chosen.target) == (DecisionVerdict.ASK, "roll-back-bad-release", "web")
    assert d.cause_probability == pytest.approx(0.35 * 0.95 / (0.6 * 0.2 + 0.35 * 0.95 + 0.05 * 0.95), abs=1e-3)
    assert d.text.startswith("bad_release of web (6")


def test_a_remedy_of_something_else_that_fails_says_little():
    tried = replace(WORLD, number=2, attempts=(Attempt("inc-1-d1", "roll-back-bad-release", "pay", "same", NOW),))
    d = decide(at_age(20, HANG), tried, LIBRARY, SETTINGS)
    assert (d.chosen.playbook, d.cause_probability) == ("restart-hung-service", 0.9)


@given(
    st.lists(st.floats(0, 1), min_size=1, max_size=4),
    st.lists(st.sampled_from(["restart-hung-service", "roll-back-bad-release", "unknown-playbook"]), max_size=4),
)
def test_belief_is_a_probability_and_only_failures_move_it(weights: list[float], tried: list[str]):
    whole = sum(weights) * 1.2 or 1.0
    services = ("cart", "web", "pay", "db")
    found = incident(*(cause(s, CauseKind.HANG, w / whole) for s, w in zip(services, weights, strict=False)))
    attempts = tuple(Attempt(f"d{i}", name, "cart", "same", NOW) for i, name in enumerate(tried))
    after = believed(found, replace(WORLD, attempts=attempts), LIBRARY)
    assert sum(c.probability for c in after.candidates) <= 1.001
    before = {c.service: c.probability for c in found.candidates}
    now = {c.service: c.probability for c in after.candidates}
    assert now["cart"] <= before["cart"] + 1e-3
    assert believed(found, replace(WORLD, attempts=()), LIBRARY) == found


def test_what_is_harmless_under_the_rivals_beats_what_is_not():
    unsure = incident(cause("cart", CauseKind.HANG, 0.5), cause("cart", CauseKind.SATURATION, 0.45))
    d = decide(at_age(60, unsure), WORLD, LIBRARY, SETTINGS)
    assert d.chosen.playbook == "scale-out-saturated-service", "a restart would take capacity where it is short"
    (failure,) = [t for o in d.options if o.playbook == "restart-hung-service" for t in o.terms if t.name == "failure"]
    assert "by what it does under rival causes" in failure.text


def test_one_more_window_is_waited_for_while_it_may_tell_and_no_longer():
    unsure = incident(cause("cart", CauseKind.HANG, 0.57), cause("web", CauseKind.BAD_RELEASE, 0.4))
    waits = decide(at_age(2, unsure), WORLD, LIBRARY, SETTINGS)
    assert (waits.verdict, waits.chosen.playbook) == (DecisionVerdict.NOTHING, NOTHING)
    assert waits.text.startswith("hang of cart (57%), or bad_release of web (40%); one more window may tell")
    sure = incident(cause("cart", CauseKind.HANG, 0.65), cause("web", CauseKind.BAD_RELEASE, 0.2))
    assert decide(at_age(15, sure), WORLD, LIBRARY, SETTINGS).verdict is DecisionVerdict.ACT
    assert decide(at_age(2, HANG), WORLD, LIBRARY, SETTINGS).verdict is DecisionVerdict.ACT, "nothing to learn"
    same = incident(cause("cart", CauseKind.HANG, 0.5), cause("cart", CauseKind.CRASH, 0.45))
    assert decide(at_age(2, same), WORLD, LIBRARY, SETTINGS).verdict is not DecisionVerdict.ASK


def test_who_is_asked_reads_the_cause_first_then_what_was_held_back():
    d = decide(HANG, replace(WORLD, history=(run(RunState.SUCCEEDED),)), LIBRARY, SETTINGS)
    assert d.text.startswith("hang of cart (90%); a person is asked, held back: restart-hung-service: last run")
    assert "condition" not in d.text


def test_more_of_what_is_asked_for_no_more_mends_nothing():
    waits = incident(cause("cart", CauseKind.SATURATION, 0.9))
    asked = decide(waits, answers(Conduct.WORSE), LIBRARY, SETTINGS)
    (held,) = [o for o in asked.options if o.playbook == "scale-out-saturated-service"]
    assert (asked.verdict, held.held) == (DecisionVerdict.ASK, HeldReason.NO_DEMAND)
    assert decide(waits, answers(Conduct.WORSE, demand=True), LIBRARY, SETTINGS).verdict is DecisionVerdict.ACT
    lost = replace(answers(Conduct.WORSE), targets={"cart": replace(STATE, ready=1)})
    assert decide(waits, lost, LIBRARY, SETTINGS).verdict is DecisionVerdict.ACT, "capacity was lost"


def test_nothing_is_disturbed_while_users_are_served_as_before():
    slow = cause("cart", CauseKind.HANG, 0.99)
    found = decide(incident(slow, severity=Severity.INFO), answers(Conduct.WORSE), LIBRARY, SETTINGS)
    assert (found.verdict, found.chosen.playbook) == (DecisionVerdict.NOTHING, NOTHING)
    (held,) = [o for o in found.options if o.playbook == "restart-hung-service"]
    assert held.held is HeldReason.UNFELT
    assert decide(incident(slow), answers(Conduct.WORSE), LIBRARY, SETTINGS).verdict is DecisionVerdict.ACT


@pytest.mark.parametrize(("rival", "verdict"), [(0.3, DecisionVerdict.ASK), (0.15, DecisionVerdict.ACT)])
def test_a_target_is_acted_on_only_if_it_is_singled_out_against_its_best_rival(rival: float, verdict: DecisionVerdict):
    found = decide(
        at_age(20, incident(cause("cart", CauseKind.HANG, 0.62), cause("web", CauseKind.ERRORS, rival))),
        WORLD, LIBRARY, SETTINGS,
    )  # fmt: skip
    assert (found.verdict, found.chosen.playbook) == (verdict, "restart-hung-service")
    assert ("errors of web is 30% likely" in found.text) is (verdict is DecisionVerdict.ASK)


@pytest.mark.parametrize(
    ("kind", "rival", "held"),
    [
        (CauseKind.SATURATION, CauseKind.SATURATION, False),
        (CauseKind.SATURATION, CauseKind.LATENCY, True),
        (CauseKind.HANG, CauseKind.SATURATION, True),
    ],
)
def test_services_that_one_surge_saturates_are_no_rivals(kind: CauseKind, rival: CauseKind, held: bool):
    at = at_age(20, incident(cause("cart", kind, 0.55), cause("web", rival, 0.4), severity=Severity.CRITICAL))
    options = decide(at, WORLD, LIBRARY, SETTINGS)
    assert ("must be 3 times as likely" in options.text) is held


def test_kinds_of_one_service_are_no_rivals():
    both = incident(cause("cart", CauseKind.HANG, 0.55), cause("cart", CauseKind.CRASH, 0.4))
    assert decide(at_age(20, both), WORLD, LIBRARY, SETTINGS).verdict is DecisionVerdict.ACT


@pytest.mark.parametrize(
    ("kind", "verdict"), [(CauseKind.ERRORS, DecisionVerdict.ASK), (CauseKind.HANG, DecisionVerdict.ACT)]
)
@pytest.mark.parametrize("how", ["few", "untold"])
def test_a_few_requests_or_none_tell_of_no_failing_service_however_sure_the_diagnosis_is(
    how: str, kind: CauseKind, verdict: DecisionVerdict
):
    found = decide(incident(cause("cart", kind, 0.99)), answers(Conduct.UNKNOWN, **{how: True}), LIBRARY, SETTINGS)
    assert found.verdict is verdict


@pytest.mark.parametrize(
    ("known_s", "verdict"),
    [(20, DecisionVerdict.ASK), (74, DecisionVerdict.ASK), (75, DecisionVerdict.ACT), (0, DecisionVerdict.ACT)],
)
def test_nothing_is_done_before_it_is_known_what_is_usual(known_s: int, verdict: DecisionVerdict):
    d = decide(HANG, replace(WORLD, learning_ns=known_s * S), LIBRARY, SETTINGS)
    assert d.verdict is verdict
    assert ("what is usual there is hardly known" in d.text) is (verdict is DecisionVerdict.ASK)


def test_more_of_what_is_only_asked_again_mends_nothing():
    again = replace(WORLD, standings={"cart": Standing(Conduct.WORSE, "slow", again="users ask for 1 times the usual")})
    asked = decide(incident(cause("cart", CauseKind.SATURATION, 0.9)), again, LIBRARY, SETTINGS)
    assert asked.verdict is DecisionVerdict.ASK
    assert "users ask for 1 times the usual: more of it would mend nothing" in asked.text


@pytest.mark.parametrize(
    ("how", "held"),
    [({}, True), ({"few": True}, True), ({"untold": True}, False), ({"lost": True}, False), ({"demand": True}, False)],
)
def test_more_is_not_for_what_is_asked_for_no_more_however_it_answers(how: dict[str, bool], held: bool):
    """Whether it answers as before may be unknown; of who tells of no requests nothing is known of how much it is asked for."""
    found = decide(
        incident(cause("cart", CauseKind.SATURATION, 0.99)), answers(Conduct.UNKNOWN, **how), LIBRARY, SETTINGS
    )
    assert ("is asked for no more than it had room for" in found.text) is held


@pytest.mark.parametrize(
    ("unread", "since_s", "verdict"),
    [(True, 2, DecisionVerdict.NOTHING), (True, 12, DecisionVerdict.ACT), (False, 2, DecisionVerdict.ACT)],
)
def test_before_there_is_more_of_a_service_it_is_seen_how_busy_it_is(
    unread: bool, since_s: int, verdict: DecisionVerdict
):
    world = answers(Conduct.WORSE, demand=True, unread=unread)
    found = incident(cause("cart", CauseKind.SATURATION, 0.9), severity=Severity.CRITICAL)
    options = decide(at_age(since_s, found), world, LIBRARY, SETTINGS)
    assert options.verdict is verdict
    assert ("how busy cart is has not been told since the onset" in options.text) is (
        verdict is DecisionVerdict.NOTHING
    )


def test_instances_that_were_taken_away_are_given_back():
    taken = Change(
        environment="prod", service="cart", kind="scale", time_ns=NOW - 80 * S, actor="ada", before="4", after="1"
    )
    found = incident(cause("cart", CauseKind.SATURATION, 0.9), changes=(taken,))
    assert decide(found, answers(Conduct.WORSE), LIBRARY, SETTINGS).verdict is DecisionVerdict.ACT


@pytest.mark.parametrize(
    ("kind", "after", "verdict"),
    [
        ("deploy", "v2", DecisionVerdict.ACT),
        ("config", "v2", DecisionVerdict.ACT),
        ("config", "on", DecisionVerdict.ASK),  # a flag: the version before has it, too
    ],
)
def test_only_what_came_with_the_version_is_rolled_back(kind: str, after: str, verdict: DecisionVerdict):
    since = (changed(kind, after=after),)
    found = decide(incident(cause("cart", CauseKind.BAD_RELEASE, 0.9), changes=since), WORLD, LIBRARY, SETTINGS)
    assert found.verdict is verdict


def test_nothing_is_rolled_back_where_nobody_told_of_a_change():
    """What a service does has changed, and it is not known by what."""
    found = decide(incident(cause("cart", CauseKind.BAD_RELEASE, 0.95), changes=()), WORLD, LIBRARY, SETTINGS)
    assert (found.verdict, found.chosen.playbook) == (DecisionVerdict.ASK, PERSON)


def test_nobody_is_asked_about_suspicions_of_those_who_answer_as_before():
    unsure = incident(cause("cart", CauseKind.LATENCY, 0.42))
    quiet = decide(unsure, answers(Conduct.AS_BEFORE), LIBRARY, SETTINGS)
    assert (quiet.verdict, quiet.chosen.playbook) == (DecisionVerdict.NOTHING, NOTHING)
    assert quiet.text == "latency of cart (42%); nothing is done: all who are suspected answer as before"
    hurt = msgspec.structs.replace(unsure, severity=Severity.CRITICAL)
    assert decide(hurt, answers(Conduct.AS_BEFORE), LIBRARY, SETTINGS).verdict is DecisionVerdict.ASK
    assert decide(unsure, answers(Conduct.UNKNOWN), LIBRARY, SETTINGS).verdict is DecisionVerdict.ASK


def test_who_fails_because_those_whom_it_calls_do_is_not_restarted_for_failing():
    """However sure the diagnosis is, and though it is slow as well."""
    told = Standing(
        Conduct.WORSE, "slow", handed_on="9 of its 10 requests that failed did so in calls of its own, most to stock"
    )
    world = replace(WORLD, standings={"cart": told})
    failing = incident(cause("cart", CauseKind.ERRORS, 0.95))
    held = {o.playbook: o.held for o in decide(failing, world, LIBRARY, SETTINGS).options if o.target == "cart"}
    assert held["restart-failing-service"] is HeldReason.INNOCENT
    assert (
        decide(failing, replace(WORLD, standings={"cart": replace(told, handed_on="")}), LIBRARY, SETTINGS).verdict
        is DecisionVerdict.ACT
    )
    hung = incident(cause("cart", CauseKind.HANG, 0.95))
    assert decide(hung, world, LIBRARY, SETTINGS).chosen.playbook == "restart-hung-service"


@pytest.mark.parametrize(
    "kind", [CauseKind.SATURATION, CauseKind.LATENCY, CauseKind.ERRORS, CauseKind.CRASH, CauseKind.HANG]
)
@pytest.mark.parametrize("severity", [Severity.WARNING, Severity.CRITICAL])
def test_what_users_hardly_feel_is_given_a_moment_unless_nothing_is_left_to_disturb(
    kind: CauseKind, severity: Severity
):
    """A burst passes, a cold cache warms up; who fails, crashed or hangs does not answer."""
    answers_late = kind in (CauseKind.SATURATION, CauseKind.LATENCY)
    found = {
        age: decide(at_age(age, incident(cause("web", kind, 0.95), severity=severity)), WORLD, LIBRARY, SETTINGS)
        for age in (15, 29, 30, 31)
    }
    waits = answers_late and severity is Severity.WARNING
    assert [d.verdict for d in found.values()][:2] == [DecisionVerdict.NOTHING if waits else DecisionVerdict.ACT] * 2
    assert [d.verdict for d in found.values()][2:] == [DecisionVerdict.ACT] * 2
    if waits:
        assert "for 30 s it may pass by itself" in found[15].text


@pytest.mark.parametrize("severity", [Severity.WARNING, Severity.CRITICAL])
@pytest.mark.parametrize(
    ("channels", "warms"),
    [
        (("release", "latency"), True),
        (("release", "latency", "cpu"), True),
        (("release", "errors"), False),
        (("release",), False),
    ],
)
def test_a_release_whose_requests_only_take_longer_is_given_time_to_warm_up(
    channels: tuple[str, ...], warms: bool, severity: Severity
):
    """Users hardly feel it: its caches fill. Where it fails, or users do feel it, it is rolled back at once."""
    told = tuple(Evidence(channel=c, weight=0.9, text=c) for c in channels)
    slow = msgspec.structs.replace(cause("cart", CauseKind.BAD_RELEASE, 0.98), evidence=told)
    new = incident(slow, severity=severity, changes=(changed("deploy"),))
    found = {age: decide(at_age(age, new), WORLD, LIBRARY, SETTINGS) for age in (5, 59, 61)}
    waits = warms and severity is Severity.WARNING
    eased = decide(at_age(5, msgspec.structs.replace(new, felt=Severity.WARNING)), WORLD, LIBRARY, SETTINGS)
    assert (eased.verdict is DecisionVerdict.NOTHING) is warms, "it was worse, and is not any more"
    assert [found[age].verdict is DecisionVerdict.NOTHING for age in (5, 59, 61)] == [waits, waits, False]
    assert ("for 60 s it may pass by itself" in found[5].text) is waits


def test_what_holds_a_remedy_back_for_good_is_not_waited_out():
    """Who is known to be innocent will be so in a minute, too: a person is asked at once."""
    found = decide(
        at_age(20, incident(cause("cart", CauseKind.ERRORS, 0.99))), answers(Conduct.AS_BEFORE), LIBRARY, SETTINGS
    )
    assert (found.verdict, found.chosen.playbook) == (DecisionVerdict.ASK, PERSON)


@pytest.mark.parametrize(("sure", "verdict"), [(0.74, DecisionVerdict.ASK), (0.76, DecisionVerdict.ACT)])
def test_unless_it_is_said_otherwise_three_in_four_is_sure_enough(sure: float, verdict: DecisionVerdict):
    assert decide(incident(cause("cart", CauseKind.HANG, sure)), WORLD, LIBRARY, DecideSettings()).verdict is verdict


def test_what_holds_the_leading_causes_remedy_back_is_said_first_and_of_whom_the_others_are():
    strict = book("restart-hung-at-night")
    strict = replace(strict, trigger=replace(strict.trigger, when=("replicas > 100",)))
    rival = replace(book("restart-crashed", causes=(CauseKind.CRASH,)), guards=Guards(cooldown_s=600.0))
    both = incident(cause("cart", CauseKind.HANG, 0.6), cause("web", CauseKind.CRASH, 0.35))
    under_way = replace(WORLD, history=(run(RunState.SUCCEEDED, target="web", playbook="restart-crashed"),))
    d = decide(both, under_way, [rival, strict], SETTINGS)
    assert d.verdict is DecisionVerdict.ASK
    said = d.text.partition("held back: ")[2]
    assert said.startswith("restart-hung-at-night: ")
    assert "; restart-crashed on web: last run" in said
