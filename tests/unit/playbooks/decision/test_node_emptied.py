"""A sick node: who is sick there is moved off it one after another, and no verdict on the one before is waited for."""

from __future__ import annotations

import pytest

from contracts.events import Candidate, Decision, Incident
from contracts.ports import TargetState
from contracts.units import SECOND as S
from contracts.verdicts import CauseKind, DecisionVerdict, Outcome, RunState, Severity
from playbooks.decision.views import Views
from tests.acting_half import ActingHalf
from tests.unit.playbooks.decision.test_pending import T0, Told, feedback, incident

HERE = ("cart", "pay", "web")


@pytest.fixture
def facts() -> ActingHalf:
    made = ActingHalf({s: TargetState(2, 2, "v2", "v1") for s in HERE})
    made.actions |= {"drain"}
    return made


class Town(Told):
    """Pending decisions that have heard of a dozen services."""

    def _first(self, now_ns: int) -> list[Decision]:
        self._views.setdefault("prod", Views())._services.update({f"s{n}": 0 for n in range(8)})
        return super()._first(now_ns)


def sick(at: int, revision: int, leading: str, *, node: str = "n1", kind: CauseKind = CauseKind.NODE) -> Incident:
    there = tuple(sorted(HERE)) if kind is CauseKind.NODE else ()
    suspect = Candidate(
        service=leading, kind=kind, probability=0.95, evidence=(), path=(), there=there, node=node if there else ""
    )
    return incident(at, revision, services=HERE, candidates=(suspect,), blast_radius=(), severity=Severity.CRITICAL)


def test_the_next_one_follows_as_soon_as_one_is_moved(facts: ActingHalf) -> None:
    book = Town(facts)
    (first,) = book.incident(sick(T0, 1, "cart"), T0)
    assert (first.verdict, first.chosen.playbook, first.chosen.target) == (
        DecisionVerdict.ACT,
        "move-off-sick-node",
        "cart",
    )
    facts.journal(first, RunState.RUNNING, T0 + S)
    assert book.incident(sick(T0 + S, 2, "pay"), T0 + S) == []
    assert book.tick(T0 + 2 * S) == [], "it is being moved"
    facts.journal(first, RunState.VERIFYING, T0 + 3 * S)
    (second,) = book.tick(T0 + 4 * S)
    assert (second.verdict, second.chosen.target, second.cause_node) == (DecisionVerdict.ACT, "pay", "n1")
    facts.journal(second, RunState.VERIFYING, T0 + 6 * S)
    assert book.tick(T0 + 7 * S) == [], "the same one is looked after: nothing is done twice"
    (third,) = book.incident(sick(T0 + 8 * S, 3, "web"), T0 + 8 * S)
    assert third.chosen.target == "web"
    facts.journal(third, RunState.VERIFYING, T0 + 9 * S)
    assert book.incident(sick(T0 + 10 * S, 4, "cart"), T0 + 10 * S) == [], "it has been moved"
    assert book.feedback(feedback(first, Outcome.BETTER, T0 + 11 * S), T0 + 11 * S) == []
    facts.journal(first, RunState.SUCCEEDED, T0 + 11 * S)
    assert book.tick(T0 + 12 * S) == []


@pytest.mark.parametrize(
    "after",
    [
        sick(T0 + 4 * S, 2, "pay", node="n2"),
        sick(T0 + 4 * S, 2, "pay", kind=CauseKind.HANG),
        sick(T0 + 4 * S, 2, "cart"),
    ],
    ids=["another node", "another cause", "the same service"],
)
def test_anything_else_waits_for_the_verdict(facts: ActingHalf, after: Incident) -> None:
    book = Town(facts)
    (first,) = book.incident(sick(T0, 1, "cart"), T0)
    facts.journal(first, RunState.VERIFYING, T0 + 3 * S)
    assert book.incident(after, T0 + 4 * S) == []
    assert book.tick(T0 + 6 * S) == []


def test_no_more_than_three_are_under_way(facts: ActingHalf) -> None:
    facts.targets |= {"db": TargetState(2, 2, "v2", "v1")}
    book = Town(facts)
    for n, name in enumerate(HERE):
        at = T0 + 2 * n * S
        (moved,) = book.incident(sick(at, n + 1, name), at)
        facts.journal(moved, RunState.VERIFYING, at + S)
    assert book.incident(sick(T0 + 8 * S, 9, "db"), T0 + 8 * S) == []


def test_a_state_from_before_takes_up_what_was_decided_since(facts: ActingHalf) -> None:
    """The outcome of the first is still to be told: it counts then, once."""
    book = Town(facts)
    snapshot = book.snapshot()
    (first,) = book.incident(sick(T0, 1, "cart"), T0)
    facts.journal(first, RunState.VERIFYING, T0 + 2 * S)
    (second,) = book.incident(sick(T0 + 3 * S, 2, "pay"), T0 + 3 * S)
    facts.journal(second, RunState.VERIFYING, T0 + 5 * S)
    again = Town(facts)
    again.restore(snapshot)
    assert again.incident(sick(T0 + 6 * S, 3, "pay"), T0 + 6 * S) == []
    again.feedback(feedback(first, Outcome.SAME, T0 + 7 * S), T0 + 7 * S)
    (case,) = again._cases.values()
    assert [(a.target, a.outcome) for a in case.attempts] == [("cart", "same")]
    assert case.live == second.id
