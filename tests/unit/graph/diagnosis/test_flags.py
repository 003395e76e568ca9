"""A flag that was changed seconds before is the cause of what its service shows; one that is back, or that nobody tells of, is not."""

from __future__ import annotations

from dataclasses import replace

import pytest

from contracts.events import Change, FlagChange
from contracts.features import ERROR_RATE, REQUEST_RATE
from contracts.instance_parts import INSTANCE, Ailment, ComparedInstances
from contracts.parts import Part
from contracts.units import SECOND as S
from contracts.verdicts import CauseKind
from graph.evidence.finding import Finding
from graph.evidence.flags import the_flag
from graph.evidence.situation import Node, Shift, Situation
from graph.ranking import Suspect, kind_of, rank

ONSET = 1_780_000_000 * S


def failing(name: str = "cart") -> Node:
    rate = Shift(REQUEST_RATE, 20.0, 20.0, 0.0, 0.0, 10.0, 60.0)
    return Node(name, shifts={REQUEST_RATE: rate, ERROR_RATE: Shift(ERROR_RATE, 0.001, 0.2, 8.0, 30.0, 200.0, 1200.0)})


def turned(
    ago_s: float, before: str = "off", after: str = "on", name: str = "new-checkout", actor: str = "ada"
) -> Change:
    subject, at_ns = (f"flag/{name}" if name else ""), ONSET - int(ago_s * S)
    return Change(
        environment="shop",
        service="cart",
        kind="flag",
        time_ns=at_ns,
        before=before,
        after=after,
        subject=subject,
        actor=actor,
    )


def at(*told: Change, node: Node | None = None, changes: tuple[Change, ...] = (), after_s: float = 10.0) -> Situation:
    nodes = {"cart": node or failing(), "stock": Node("stock")}
    return Situation("shop", ONSET, ONSET + int(after_s * S), nodes, {}, changes, turned=told)


def leader(situation: Situation) -> Suspect:
    return rank(situation)[0]


def test_a_flag_turned_on_seconds_before_is_the_cause_and_is_named() -> None:
    situation = at(turned(3))
    first = leader(situation)
    assert (first.service, first.kind) == ("cart", CauseKind.FLAG)
    assert any(x.text == "cart: flag new-checkout turned from off to on 3 s before the onset" for x in first.findings)
    assert the_flag(situation, "cart") == FlagChange(name="new-checkout", before="off", after="on")


@pytest.mark.parametrize(
    "told",
    [
        (),
        (turned(20), turned(8, "on", "off")),  # on, and off again
        (turned(400, "on", "off"), turned(3, "off", "on")),  # it is as it was
        (turned(20), turned(8, "", "off", actor="homeostat")),  # by our own hand
        (turned(3, "on", "on"),),  # nothing was changed
        (turned(-30),),  # long after it began
    ],
)
def test_what_nobody_changed_or_what_is_back_is_not_suspected(told: tuple[Change, ...]) -> None:
    assert leader(at(*told)).kind is CauseKind.ERRORS
    assert the_flag(at(*told), "cart") is None


def test_it_explains_what_is_seen_a_while_after_it_is_back_and_is_not_turned_again() -> None:
    told = (turned(3), turned(-5, "on", "off", actor="homeostat"))
    assert leader(at(*told)).kind is CauseKind.FLAG
    assert "and back since" in " ".join(x.text for x in leader(at(*told)).findings)
    assert the_flag(at(*told), "cart") is None
    assert leader(at(*told, after_s=120)).kind is CauseKind.ERRORS
    undone = (*told, turned(-7, "", "on", actor="homeostat"))  # it did not help, and was undone
    assert the_flag(at(*undone), "cart") == FlagChange(name="new-checkout", before="off", after="on")


@pytest.mark.parametrize(
    "told",
    [
        (turned(3), turned(4, name="dark-mode")),  # which of them?
        (turned(3, name=""),),  # which one?
        (turned(3, before=""),),  # back to what?
    ],
)
def test_which_flag_or_what_it_was_is_not_guessed(told: tuple[Change, ...]) -> None:
    assert leader(at(*told)).kind is CauseKind.FLAG
    assert the_flag(at(*told), "cart") is None


def test_a_release_that_came_with_it_is_no_less_suspect() -> None:
    release = Change(environment="shop", service="cart", kind="deploy", time_ns=ONSET - 3 * S, after="v2")
    assert leader(at(turned(3), changes=(release,))).kind is CauseKind.BAD_RELEASE
    early = replace_time(release, 100)
    assert leader(at(turned(3), changes=(early,))).kind is CauseKind.FLAG


def replace_time(change: Change, ago_s: float) -> Change:
    return Change(
        environment="shop", service=change.service, kind=change.kind, time_ns=ONSET - int(ago_s * S), after=change.after
    )


def test_where_one_instance_alone_is_sick_it_is_no_flag() -> None:
    apart = replace(failing(), instances=ComparedInstances(3, ((Part({INSTANCE: "cart-1"}, {}), Ailment.FAILING),)))
    assert leader(at(turned(3), node=apart)).kind is not CauseKind.FLAG


def test_what_a_service_does_otherwise_is_the_flags_doing_where_one_is_told_of() -> None:
    calls = Finding("cart", "calls", 1.0, "more calls", CauseKind.BAD_RELEASE)
    told = Finding("cart", "flag", 2.0, "a flag", CauseKind.FLAG)
    assert kind_of(failing(), [calls, told]) is CauseKind.FLAG
    released = Finding("cart", "release", 2.0, "v2", CauseKind.BAD_RELEASE)
    assert kind_of(failing(), [calls, told, released, Finding("cart", "errors", 1.0, "", CauseKind.ERRORS)]) is (
        CauseKind.BAD_RELEASE
    )
