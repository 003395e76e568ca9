"""What came after an incident that is not over may come of it; and who was repaired in vain makes the next suspect no surer."""

from dataclasses import replace

import msgspec
import numpy as np
import pytest

from contracts.events import Candidate, Change, Decision, Feedback, Incident
from contracts.features import BY_SIGNAL, Signal
from contracts.frames import EvidenceFrame
from contracts.ports import TargetState
from contracts.settings import ActSettings, DecideSettings, DetectSettings
from contracts.units import SECOND as S
from contracts.verdicts import CauseKind, Conduct, DecisionVerdict, IncidentPhase, Outcome, RunState, Severity
from playbooks.decision import NOTHING, Attempt, DecisionWorld, ServiceView, decide, limits_of
from playbooks.decision.known_calls import KnownCalls
from playbooks.decision.pending import PendingDecisions
from playbooks.decision.world import Earlier
from playbooks.guards import Standing
from playbooks.language import library
from playbooks.learning import Posteriors
from tests.acting_half import ActingHalf

T0 = 1_800_000_000 * S
LIBRARY = library()
ACT, ASK, WAIT = DecisionVerdict.ACT, DecisionVerdict.ASK, DecisionVerdict.NOTHING
COLUMNS = BY_SIGNAL[Signal.EDGES]


def calls(*pairs: tuple[str, str], window: int = T0) -> EvidenceFrame:
    shape = (len(pairs), len(COLUMNS))
    return EvidenceFrame(
        environment="prod", signal=Signal.EDGES, partition=0, window_ns=window, width_ns=S,
        services=tuple(a for a, _ in pairs), peers=tuple(b for _, b in pairs), versions=(), attributes=(), features=COLUMNS,
        values=np.full(shape, np.nan), counts=np.ones(len(pairs), np.int64), score=np.zeros(shape), low=np.zeros(shape),
        high=np.full(shape, 20.0), p_value=np.ones(len(pairs)), state=("healthy",) * len(pairs), notes=("",) * len(pairs),
    )  # fmt: skip


def incident(name: str, service: str, kind: CauseKind, onset: int, severity: Severity = Severity.WARNING) -> Incident:
    suspect = Candidate(service=service, kind=kind, probability=0.95, evidence=(), path=())
    return Incident(
        id=name, environment="prod", phase=IncidentPhase.UPDATED, severity=severity, onset_ns=onset, time_ns=max(onset, T0) + 2 * S,
        revision=1, anomalies=("a",), services=(service,), candidates=(suspect,), blast_radius=(), confidence=0.95,
        settled=True, text="",
    )  # fmt: skip


class Environment:
    """Pending decisions of an environment whose gateway calls cart, cart a database, and whose billing calls a ledger."""

    def __init__(self) -> None:
        known = ("gateway", "cart", "billing", "ledger")
        self.half = ActingHalf({s: TargetState(2, 2, "v2", "v1") for s in known})
        limits = replace(limits_of(ActSettings(), DetectSettings()), max_concurrent=4)
        self.pending = PendingDecisions(LIBRARY, DecideSettings(learn_s=0), limits)
        self.hear(T0)

    def hear(self, at: int) -> None:
        made = [("gateway", "cart"), ("cart", "db:postgresql/orders"), ("billing", "ledger")]
        made += [(f"other-{i}", f"other-{i + 1}") for i in range(20)]
        self.pending.evidence(calls(*made, window=at), at)
        self.pending.report(self.half.report(at), at)

    def told(self, found: Incident) -> list[Decision]:
        self.hear(found.time_ns)
        return self.pending.incident(found, found.time_ns)


FIRST = incident("one", "db:postgresql/orders", CauseKind.DEPENDENCY, T0)
UNLED = msgspec.structs.replace(
    FIRST, candidates=tuple(msgspec.structs.replace(c, probability=0.4) for c in FIRST.candidates)
)


@pytest.mark.parametrize(
    ("service", "after_s", "first", "expected"),
    [
        ("gateway", 60, FIRST, ASK),
        ("cart", 1, FIRST, ASK),
        ("billing", 60, FIRST, ACT),  # nobody there calls anybody whom the first is about
        ("gateway", 1000, FIRST, ACT),  # borne for so long, the first is no news
        ("gateway", 60, msgspec.structs.replace(FIRST, severity=Severity.INFO), ACT),  # no user minds the first
        ("gateway", 60, msgspec.structs.replace(FIRST, environment="test"), ACT),
        ("gateway", 60, msgspec.structs.replace(FIRST, candidates=(), services=("cart",)), ASK),  # whoever is to blame
        ("gateway", 61, msgspec.structs.replace(FIRST, candidates=(), services=("cart",)), ACT),  # nobody is
        ("gateway", 61, UNLED, ACT),  # after a minute nobody is the cause of the first
        ("gateway", 59, UNLED, ASK),  # who is may still turn out
        ("gateway", 61, FIRST, ASK),
        ("gateway", -5, FIRST, ACT),  # it began before the other
    ],
)
def test_what_began_after_an_incident_that_is_not_over_is_a_persons_to_disturb(service, after_s, first, expected):
    it = Environment()
    it.told(first)
    (d,) = it.told(incident("two", service, CauseKind.HANG, T0 + after_s * S))
    assert (d.verdict, d.chosen.playbook) == (expected, "restart-hung-service")
    assert ("may come of it" in d.text) == (expected is ASK)


def test_once_the_earlier_one_is_over_or_was_repaired_it_is_acted_on():
    it, hang = Environment(), incident("two", "gateway", CauseKind.HANG, T0 + 60 * S)
    it.told(FIRST)
    assert it.told(hang)[0].verdict is ASK
    over = msgspec.structs.replace(FIRST, phase=IncidentPhase.RESOLVED, revision=2, time_ns=T0 + 70 * S)
    assert it.told(over) == []
    assert [d.verdict for d in it.pending.tick(T0 + 71 * S)] == [ACT]


def test_while_the_earlier_one_is_being_repaired_what_comes_of_it_is_waited_for():
    it = Environment()
    (first,) = it.told(incident("one", "cart", CauseKind.LEAK, T0))
    assert first.verdict is ACT
    it.half.journal(first, RunState.RUNNING, T0 + 3 * S)
    (d,) = it.told(incident("two", "gateway", CauseKind.HANG, T0 + 4 * S))
    assert (d.verdict, d.chosen.playbook) == (WAIT, NOTHING)
    assert "cart, ill since earlier, is being repaired" in d.text


@pytest.mark.parametrize(
    ("kind", "after_s", "waits"),
    [
        (CauseKind.SATURATION, 10, True),
        (CauseKind.SATURATION, 29, True),
        (CauseKind.SATURATION, 31, False),
        (CauseKind.CRASH, 10, False),  # who no longer answers is no echo of those that were late
    ],
)
def test_what_ends_late_after_a_repair_is_its_echo(kind: CauseKind, after_s: int, waits: bool):
    """Requests that hung in the cart end when it was restarted, or their callers give up: the gateway has many more, all of them late."""
    it = Environment()
    (first,) = it.told(incident("one", "cart", CauseKind.LEAK, T0))
    it.half.journal(first, RunState.SUCCEEDED, T0 + 5 * S)
    it.hear(T0 + 5 * S)
    better = Feedback(
        run="run-" + first.id, decision=first.id, incident="one", environment="prod", playbook=first.chosen.playbook,
        target="cart", cause=CauseKind.LEAK, outcome=Outcome.BETTER, time_ns=T0 + 5 * S, measures=(), text="",
    )  # fmt: skip
    it.pending.feedback(better, T0 + 5 * S)
    at = T0 + (5 + after_s) * S
    late = msgspec.structs.replace(incident("two", "gateway", kind, at, Severity.CRITICAL), time_ns=at)
    found = it.told(late) or it.pending.tick(at + S)
    assert any("was a moment ago" in d.text for d in found) is waits
    assert any(d.verdict is ACT for d in found) is not waits


WORLD = DecisionWorld(
    now_ns=T0 + 5 * S,
    number=2,
    heard_ns=T0 + 5 * S,
    posteriors=Posteriors(),
    targets={s: TargetState(2, 2, "v2", "v1") for s in ("cart", "gateway")},
    services={"gateway": ServiceView("v2", {}, {"request_rate": 10.0}, {}, {"request_rate": 5.0})},
    known_services=("cart", "gateway", "search", "users"),
    actions=frozenset({"scale", "restart", "rollback"}),
)


def verdict(kind: CauseKind, world: DecisionWorld) -> DecisionVerdict:
    felt = incident("two", "gateway", kind, T0, Severity.CRITICAL)
    return decide(felt, world, LIBRARY, DecideSettings()).verdict


def test_one_surge_saturates_one_service_after_another():
    surge = Earlier("one", "cart", CauseKind.SATURATION, mending=False)
    assert verdict(CauseKind.SATURATION, replace(WORLD, earlier=(surge,))) is ACT
    assert verdict(CauseKind.SATURATION, replace(WORLD, earlier=(replace(surge, mending=True),))) is ACT
    assert verdict(CauseKind.HANG, replace(WORLD, earlier=(surge,))) is ASK
    other = Earlier("zero", "users", CauseKind.ERRORS, mending=False)
    assert verdict(CauseKind.SATURATION, replace(WORLD, earlier=(other, surge))) is ASK


def test_nobody_is_asked_about_the_echo_of_what_is_being_repaired():
    """A network can only be asked about; and the cart is being restarted."""
    earlier = Earlier("one", "cart", CauseKind.ERRORS, mending=False)
    assert verdict(CauseKind.NETWORK, replace(WORLD, earlier=(earlier,))) is ASK
    assert verdict(CauseKind.NETWORK, replace(WORLD, earlier=(replace(earlier, mending=True),))) is WAIT


@pytest.mark.parametrize(
    ("outcome", "target", "kind", "expected"),
    [
        ("same", "cart", CauseKind.HANG, ASK),
        ("worse", "cart", CauseKind.HANG, ASK),
        ("worse", "gateway", CauseKind.HANG, ASK),
        ("same", "gateway", CauseKind.HANG, ASK),  # the same remedy under another name
        ("inconclusive", "cart", CauseKind.HANG, ACT),
        ("better", "cart", CauseKind.HANG, ACT),
        ("failed", "cart", CauseKind.HANG, ACT),  # nothing was done
        ("same", "cart", CauseKind.SATURATION, ACT),  # that users ask for more is seen, not guessed
    ],
)
def test_who_was_repaired_in_vain_makes_the_next_suspect_no_surer(outcome, target, kind, expected):
    tried = Attempt("one-d1", "restart-crashed-service", target, outcome, T0 + S)
    assert verdict(kind, replace(WORLD, attempts=(tried,))) is expected


@pytest.mark.parametrize(
    ("tried", "target", "expected"),
    [
        ("restart-slow-service", "gateway", ACT),
        ("restart-slow-service", "cart", ASK),
        ("roll-back-bad-release", "gateway", ASK),
    ],
)
def test_a_change_that_is_told_of_late_explains_why_a_restart_only_hurt(tried: str, target: str, expected) -> None:
    change = Change(environment="prod", service="gateway", kind="deploy", time_ns=T0 - S, before="v1", after="v2")
    found = msgspec.structs.replace(incident("one", "gateway", CauseKind.BAD_RELEASE, T0), changes=(change,))
    several = replace(WORLD, targets={"gateway": TargetState(3, 3, "v2", "v1")})
    world = replace(several, attempts=(Attempt("one-d1", tried, target, "worse", T0 + S),))
    assert decide(found, several, LIBRARY, DecideSettings()).verdict is ACT
    assert decide(found, world, LIBRARY, DecideSettings()).verdict is expected


@pytest.mark.parametrize(
    ("tried", "kind", "expected"),
    [
        ("restart-slow-service", CauseKind.HANG, ASK),
        ("restart-sick-instance", CauseKind.HANG, ACT),  # of several instances one alone was restarted
        (
            "roll-back-bad-release",
            CauseKind.HANG,
            ACT,
        ),  # another remedy for the same target: belief has its say on that
        ("restart-slow-service", CauseKind.SATURATION, ACT),
        ("forgotten", CauseKind.HANG, ACT),
    ],
)
@pytest.mark.parametrize("replicas", [1, 3])
def test_what_was_done_in_vain_is_not_done_again_under_another_name(tried, kind, expected, replicas):
    several = replace(WORLD, targets={"gateway": TargetState(replicas, replicas)})
    expected = ASK if (tried, replicas) == ("restart-sick-instance", 1) else expected  # the one is all of them
    world = replace(several, attempts=(Attempt("one-d1", tried, "gateway", "same", T0 + S),))
    assert verdict(kind, several) is ACT
    assert verdict(kind, world) is expected


@pytest.mark.parametrize(
    ("outcome", "well", "felt", "asked"),
    [
        ("better", False, Severity.INFO, False),
        ("inconclusive", True, Severity.INFO, False),  # whoever mended it
        ("better", False, Severity.WARNING, True),
        ("inconclusive", False, Severity.INFO, True),
        ("succeeded", False, Severity.INFO, True),  # somebody was told of it
        ("same", False, Severity.INFO, True),
    ],
)
@pytest.mark.parametrize(("probability", "question"), [(0.6, "restart-hung-service"), (0.2, "ask-a-person")])
def test_nobody_is_asked_once_a_remedy_has_helped_and_users_are_well(
    outcome: str, well: bool, felt: Severity, asked: bool, probability: float, question: str
):
    """That an incident takes its time to end is no question; while users suffer, or if nothing is known to have helped, it is."""
    it = incident("two", "gateway", CauseKind.HANG, T0, Severity.CRITICAL)
    unsure = (msgspec.structs.replace(it.candidates[0], probability=probability),)
    it = msgspec.structs.replace(it, felt=felt, candidates=unsure)
    tried = Attempt("one-d1", "scale-out-saturated-service", "gateway", outcome, T0 + S, well)
    found = decide(it, replace(WORLD, attempts=(tried,)), LIBRARY, DecideSettings())
    assert (found.verdict is ASK) is asked
    assert found.chosen.playbook == (question if asked else NOTHING)


@pytest.mark.parametrize(
    ("conduct", "felt", "outcome", "asked"),
    [
        (Conduct.AS_BEFORE, Severity.WARNING, "better", False),
        (Conduct.AS_BEFORE, Severity.CRITICAL, "better", True),
        (Conduct.AS_BEFORE, Severity.WARNING, "same", True),
        (Conduct.WORSE, Severity.WARNING, "better", True),
        (Conduct.UNKNOWN, Severity.WARNING, "better", True),
    ],
)
def test_nobody_is_asked_after_a_remedy_while_all_who_are_suspected_answer_as_before(
    conduct: Conduct, felt: Severity, outcome: str, asked: bool
):
    it = incident("two", "gateway", CauseKind.HANG, T0, Severity.CRITICAL)
    it = msgspec.structs.replace(it, felt=felt)
    tried = Attempt("one-d1", "restart-hung-service", "gateway", outcome, T0 + S)
    world = replace(WORLD, attempts=(tried,), standings={"gateway": Standing(conduct, "what was seen")})
    assert (decide(it, world, LIBRARY, DecideSettings()).verdict is WAIT) is not asked, "asked, or something is done"


@pytest.mark.parametrize(
    ("kind", "felt", "asked"),
    [
        (CauseKind.LATENCY, Severity.INFO, False),
        (CauseKind.SATURATION, Severity.INFO, False),
        (CauseKind.LATENCY, Severity.WARNING, True),
        (CauseKind.ERRORS, Severity.INFO, True),  # what fails is not over because its callers ask again
    ],
)
def test_nobody_is_asked_of_who_was_late_while_users_are_served_as_before(kind: CauseKind, felt: Severity, asked: bool):
    it = incident("two", "gateway", kind, T0 - 60 * S, Severity.CRITICAL)
    unsure = (msgspec.structs.replace(it.candidates[0], probability=0.2),)
    it = msgspec.structs.replace(it, felt=felt, candidates=unsure)
    found = decide(it, WORLD, LIBRARY, DecideSettings())
    assert (found.verdict is ASK) is asked
    assert ("served as before by now" in found.text) is not asked


def test_calls_link_over_several_services_in_both_directions_and_by_the_names_that_callers_use():
    known = KnownCalls()
    assert known.linked(["a"], ["b"]), "nothing is known"
    known.take(calls(("shop/web", "shop/cart"), ("shop/cart", "external:pay.shop"), ("x", "y")), T0)
    assert known.linked(["shop/web"], ["shop/cart"])
    assert known.linked(["shop/cart"], ["shop/web"])
    assert known.linked(["shop/web"], ["shop/pay"])
    assert not known.linked(["shop/web"], ["y"])
    assert known.linked(["shop/web", "x"], ["y"])
    assert known.linked(["shop/web"], ["nobody-calls-it"]), "of whom no calls are known may suffer from anybody"


def test_calls_that_are_made_no_more_are_forgotten():
    known = KnownCalls()
    known.take(calls(("a", "b"), ("b", "c")), T0)
    known.take(calls(("a", "b"), ("c", "d")), T0 + 601 * S)
    assert not known.linked(["a"], ["d"])
    known.take(calls(("b", "c")), T0 + 602 * S)
    assert known.linked(["a"], ["d"])
