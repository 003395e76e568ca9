"""One of several instances that are slow alike is replaced as a probe; what it told decides what is done with the others."""

from __future__ import annotations

from dataclasses import replace

import msgspec
import numpy as np
import pytest

from contracts.events import Candidate, Feedback, Incident, decode, encode
from contracts.frames import EvidenceFrame
from contracts.units import SECOND as S
from contracts.verdicts import CauseKind, DecisionVerdict, HeldReason, Outcome, ProbeFinding, RunState, Severity
from playbooks.decision import PERSON, Attempt, DecisionWorld, decide
from playbooks.decision.belief import believed
from playbooks.decision.probing import attempt_of
from playbooks.language import library
from playbooks.learning import Posteriors
from playbooks.runs.arguments import resolve
from playbooks.runs.plan import Surroundings, plan_of
from tests.acting_half import ActingHalf
from tests.unit.playbooks.decision.test_deciding import LIBRARY, NOW, SETTINGS, cause, changed, incident
from tests.unit.playbooks.decision.test_instances_compared import CALM, KNOWN, after, suspected
from tests.unit.playbooks.decision.test_pending import T0, Told, frame
from tests.unit.playbooks.decision.test_pending import feedback as verified
from tests.unit.playbooks.decision.test_pending import incident as pending_incident
from tests.unit.playbooks.guards.test_guards import run

FOUR = replace(KNOWN, replicas=4, ready=4, instances=("cart-1", "cart-2", "cart-3", "cart-4"))
WORLD = replace(CALM, targets={"cart": FOUR, "web": KNOWN})
ALIKE = {"instances": 4, "alike": 4, "sickest": "cart-3"}
PROBE = "probe-one-instance"
SLOW = after(suspected(CauseKind.LATENCY, "latency", **ALIKE), 40)
SICK = "probe: one of 4 instances was replaced, and cart-9 is as sick as the others: it is what they share"
WELL = "probe: one instance was replaced, and cart-9 is well while its 3 siblings are sick: the trouble sits in the processes"


def told(finding: ProbeFinding | None, text: str = "", ago_s: float = 1.0) -> DecisionWorld:
    """The world after a probe, as the journal and the incident's attempts have it."""
    attempt = Attempt(
        "inc-1-d1", PROBE, "cart", "inconclusive", NOW - int(ago_s * S), False, finding, text, CauseKind.LATENCY
    )
    ran = replace(run(ago_s, RunState.INCONCLUSIVE, name=PROBE), target="cart", playbook=PROBE)
    return replace(WORLD, attempts=(attempt,), history=(ran,), number=2)


def test_the_sickest_of_several_that_are_slow_alike_is_replaced() -> None:
    found = decide(SLOW, WORLD, LIBRARY, SETTINGS)
    assert (found.verdict, found.chosen.playbook, found.cause_sickest) == (DecisionVerdict.ACT, PROBE, "cart-3")
    assert "a probe: one instance is replaced" in found.text
    (playbook,) = [p for p in library() if p.name == PROBE]
    plan = plan_of(found, playbook, now_ns=NOW, surroundings=Surroundings())
    assert resolve(plan, playbook.steps[0], FOUR) == {"strategy": "instance", "instance": "cart-3"}
    unknown = replace(FOUR, instances=())
    assert resolve(plan, playbook.steps[0], unknown) == {"strategy": "instance", "instance": ""}


@pytest.mark.parametrize(
    ("seen", "state"),
    [
        (SLOW, replace(FOUR, replicas=2, ready=2)),
        (SLOW, replace(FOUR, ready=3)),
        (SLOW, replace(FOUR, ready=5)),
        (msgspec.structs.replace(SLOW, changes=(changed("deploy"),)), FOUR),
        (after(suspected(CauseKind.LATENCY, "latency", instances=2, alike=2), 40), FOUR),
        (after(suspected(CauseKind.LATENCY, "latency", "cold_cache", **ALIKE), 40), FOUR),
    ],
)
def test_where_too_few_serve_or_something_else_may_say_why_nothing_is_probed(seen: Incident, state: object) -> None:
    found = decide(seen, replace(WORLD, targets={"cart": state, "web": KNOWN}), LIBRARY, SETTINGS)
    assert found.verdict is not DecisionVerdict.ACT


def test_what_is_well_once_replaced_has_the_others_restarted_at_once() -> None:
    found = decide(SLOW, told(ProbeFinding.WELL, WELL), LIBRARY, SETTINGS)
    assert (found.verdict, found.chosen.playbook) == (DecisionVerdict.ACT, "restart-slow-service")
    assert f"goes on with what a probe began; {WELL}" in found.text


def test_slow_processes_that_fill_up_are_restarted_though_it_looks_like_demand() -> None:
    """Callers ask again; but the new instance is well under the same demand."""
    full = after(suspected(CauseKind.SATURATION, "latency", "waiting", instances=3), 60)
    asked = replace(WORLD.services["cart"], values={"request_rate": 16.0})
    world = replace(told(ProbeFinding.WELL, WELL), services={"cart": asked})
    found = decide(full, world, LIBRARY, SETTINGS)
    assert (found.verdict, found.chosen.playbook) == (DecisionVerdict.ACT, "restart-slow-service")
    assert decide(full, replace(world, attempts=()), LIBRARY, SETTINGS).chosen.playbook != "restart-slow-service"


def test_what_is_as_sick_as_the_others_ends_it_and_a_person_is_told_so() -> None:
    found = decide(SLOW, told(ProbeFinding.SICK, SICK), LIBRARY, SETTINGS)
    assert (found.verdict, found.chosen.playbook) == (DecisionVerdict.ASK, PERSON)
    assert SICK in found.text
    held = {o.playbook: o.held for o in found.options}
    assert held["restart-slow-service"] is held[PROBE] is HeldReason.SHARED
    parted = after(suspected(CauseKind.LATENCY, "latency", instances=3), 60)  # they are not compared any more
    assert decide(parted, told(ProbeFinding.SICK, SICK), LIBRARY, SETTINGS).verdict is DecisionVerdict.ASK


def test_a_probe_that_told_nothing_is_not_repeated_and_a_person_is_asked() -> None:
    found = decide(SLOW, told(None), LIBRARY, SETTINGS)
    assert (found.verdict, found.chosen.playbook) == (DecisionVerdict.ASK, PERSON)


def test_what_a_probe_told_is_evidence_of_the_cause() -> None:
    slow, release = cause("cart", CauseKind.LATENCY, 0.6), cause("cart", CauseKind.BAD_RELEASE, 0.3)
    seen = incident(slow, release)
    well, sick = (
        {c.kind: c.probability for c in believed(seen, told(f, "x"), LIBRARY).candidates} for f in ProbeFinding
    )
    assert well[CauseKind.LATENCY] > 0.9
    assert sick[CauseKind.LATENCY] < 0.6
    assert sick[CauseKind.BAD_RELEASE] > 0.4


def test_a_probe_teaches_nothing_of_restarts_and_survives_as_an_attempt() -> None:
    feedback = Feedback(
        run="r", decision="inc-1-d1", incident="inc-1", environment="prod", playbook=PROBE, cause=CauseKind.LATENCY,
        target="cart", outcome=Outcome.INCONCLUSIVE, time_ns=NOW, measures=(), text=SICK, probed=ProbeFinding.SICK,
    )  # fmt: skip
    learnt = Posteriors().update(decode(Feedback, encode(feedback)), NOW)
    for playbook in (PROBE, "restart-slow-service"):
        assert learnt.probability(playbook, CauseKind.LATENCY, "prod", "cart", NOW) == pytest.approx(2 / 3)
    attempt = attempt_of(feedback, NOW)
    assert (attempt.over, attempt.probed, attempt.told) == (False, ProbeFinding.SICK, SICK)
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(attempt), type=Attempt) == attempt


def seen_slow(window: int, *, slow: bool) -> EvidenceFrame:
    """Enough requests, that take longer than expected once they are slow."""
    seen = frame(window)
    for name in ("latency_p50", "latency_p95"):
        seen.values[:, seen.features.index(name)] = 100.0 if slow else 10.0
    return replace(seen, counts=np.full(2, 200))


@pytest.mark.parametrize("restarted", [False, True])
@pytest.mark.parametrize(
    ("finding", "next_one"),
    [
        (ProbeFinding.WELL, (DecisionVerdict.ACT, "restart-slow-service")),
        (ProbeFinding.SICK, (DecisionVerdict.ASK, PERSON)),
        (None, (DecisionVerdict.ASK, PERSON)),
    ],
)
def test_an_incident_goes_on_with_what_its_probe_told_also_over_a_restart(
    finding: ProbeFinding | None, next_one: tuple[DecisionVerdict, str], restarted: bool
) -> None:
    half = ActingHalf({"cart": FOUR, "web": FOUR})
    book = Told(half)
    slow = Candidate(service="cart", kind=CauseKind.LATENCY, probability=0.95, evidence=(), path=(), **ALIKE)
    at = T0 + 40 * S
    for second in range(-20, 40):
        book.evidence(seen_slow(T0 + second * S, slow=second >= -3), T0 + second * S)
    (probing,) = book.incident(pending_incident(at, 1, candidates=(slow,), severity=Severity.CRITICAL), at)
    assert (probing.verdict, probing.chosen.playbook) == (DecisionVerdict.ACT, PROBE), probing.text
    over = at + 20 * S
    half.journal(probing, RunState.INCONCLUSIVE, over)
    told = msgspec.structs.replace(verified(probing, Outcome.INCONCLUSIVE, over), probed=finding, text="probe: as said")
    found = book.feedback(told, over)
    if restarted:
        saved = book.snapshot()
        book = Told(half)
        book.restore(saved)
    for second in range(1, 40):
        book.evidence(seen_slow(over + second * S, slow=True), over + second * S)
        found += book.tick(over + second * S)
    assert (found[0].verdict, found[0].chosen.playbook) == next_one
    assert ("probe: as said" in found[0].text) == (finding is not None)
