"""A database that one service alone uses, after a release of that service: what it shows is the release's doing."""

from __future__ import annotations

from dataclasses import replace

import msgspec
import pytest

from contracts.events import Change
from contracts.features import CALL_ERROR_RATE, CALL_LATENCY_P95, CALL_RATE, CPU, ERROR_RATE, LATENCY_P95
from contracts.units import SECOND as S
from contracts.verdicts import CauseKind
from graph.evidence.situation import Node
from graph.ranking import Suspect
from tests.unit.graph.diagnosis.test_whose_doing import ONSET, call, change, level, node, ranked, ratio

STORE = "db:postgresql/carts"


def leader(
    *changes: Change, callers: tuple[str, ...] = ("cart",), kind: str = "database", asks: float = 1.0
) -> Suspect:
    """Requests of `cart` fail with its calls to a store, whose processor is busy, and which takes longer. It asks so many times the usual of it."""
    told = ratio(CALL_ERROR_RATE, 0.6), level(CALL_LATENCY_P95, 0.02, 0.4)
    store = Node(STORE, kind=kind, own=False, shifts={CPU: level(CPU, 0.2, 1.0)}, known_ns=ONSET + 9 * S)
    nodes = [node(name, ratio(ERROR_RATE, 0.6), level(LATENCY_P95, 0.06, 0.5)) for name in callers]
    gateway = node("gateway", ratio(ERROR_RATE, 0.5))
    calls = [call(name, STORE, *told) for name in callers]
    calls[0] = replace(
        call(callers[0], STORE, *told, level(CALL_RATE, 20.0, 20.0 * asks)),
        observed=200.0 * asks,
        attempted=200.0 * asks,
    )
    calls += [call("gateway", name, ratio(CALL_ERROR_RATE, 0.6)) for name in callers]
    return next(iter(ranked(gateway, *nodes, store, calls=tuple(calls), changes=changes).values()))


def released(kind: str = "deploy", before_s: float = 2.0, service: str = "cart") -> Change:
    told = change(kind, before="v1", after="v2", service=service)
    return msgspec.structs.replace(told, time_ns=ONSET - int(before_s * S))


@pytest.mark.parametrize("kind", ["deploy", "config"])
@pytest.mark.parametrize("before_s", [15.0, 0.0, -4.0])
def test_a_store_that_breaks_with_the_release_of_its_only_user_is_a_part_of_that(kind: str, before_s: float) -> None:
    found = leader(released(kind, before_s))
    assert (found.service, found.kind) == ("cart", CauseKind.BAD_RELEASE)


def test_who_shows_it_only_at_its_store_has_a_bad_release_all_the_same() -> None:
    store = Node(STORE, kind="database", own=False, shifts={CPU: level(CPU, 0.2, 1.0)}, known_ns=ONSET + 9 * S)
    slow = call("cart", STORE, level(CALL_LATENCY_P95, 0.02, 0.4))
    found = ranked(node("gateway"), node("cart"), store, calls=(call("gateway", "cart"), slow), changes=(released(),))
    assert next(iter(found.values())).kind is CauseKind.BAD_RELEASE


@pytest.mark.parametrize(("asks", "own"), [(1.9, False), (2.1, True)])
def test_a_store_that_a_release_overwhelms_fails_its_other_users_too(asks: float, own: bool) -> None:
    found = leader(released(), callers=("cart", "stock"), asks=asks)
    assert (found.service == "cart") is own
    assert leader(callers=("cart", "stock"), asks=asks).service == STORE, (
        "whose doing that is without one, nobody knows"
    )


def test_most_of_what_it_is_asked_for_must_be_by_the_release() -> None:
    assert leader(released(), callers=("cart", "stock", "web", "app"), asks=2.5).service == STORE


@pytest.mark.parametrize(
    ("changes", "callers", "kind"),
    [
        ((), ("cart",), "database"),
        ((released(before_s=60.0),), ("cart",), "database"),
        ((released(service="gateway"),), ("cart",), "database"),
        ((released(),), ("cart", "stock"), "database"),
        ((released(),), ("cart",), "external"),
    ],
    ids=["no release", "a minute ago", "of another service", "others fail with it too", "others run it"],
)
def test_else_the_store_is_to_blame(changes: tuple[Change, ...], callers: tuple[str, ...], kind: str) -> None:
    assert leader(*changes, callers=callers, kind=kind).service == STORE
