"""Changes of a world: what several tell of one change is one."""

from __future__ import annotations

import itertools

import pytest

from contracts.events import PLATFORM, Change
from contracts.units import SECOND
from graph.world.world import SAME_CHANGE_NS, World

NOW = 1_700_000_000 * SECOND


def change(kind: str, actor: str, after_s: float = 0.0, service: str = "cart", after: str = "v2") -> Change:
    return Change(
        environment="prod",
        service=service,
        kind=kind,
        time_ns=NOW + int(after_s * SECOND),
        actor=actor,
        before="v1",
        after=after,
    )


def known(*told: Change) -> list[Change]:
    world = World("prod")
    for one in told:
        world.change(one)
    return list(world.changes)


SEEN, TOLD = change("deploy", PLATFORM), change("deploy", "argocd", 3.0, after="shop/cart:2")


@pytest.mark.parametrize("order", list(itertools.permutations((SEEN, TOLD))))
def test_a_release_that_is_told_and_seen_is_one_as_it_was_told(order: tuple[Change, ...]) -> None:
    assert known(*order) == [TOLD]


def test_what_only_the_platform_shows_is_a_change_as_any() -> None:
    other = change("scale", PLATFORM, after="1")
    much_later = change("deploy", PLATFORM, SAME_CHANGE_NS / SECOND + 1)
    anothers = change("deploy", PLATFORM, service="stock")
    assert known(SEEN, other, much_later, anothers) == [SEEN, other, much_later, anothers]
    assert known(SEEN, SEEN) == [SEEN]


def test_going_back_is_told_as_a_release_by_some() -> None:
    back = change("rollback", PLATFORM)
    assert known(back, TOLD) == [TOLD] == known(TOLD, back)


def test_a_version_that_spans_carry_is_replaced_by_what_the_platform_shows() -> None:
    assert known(change("deploy", "telemetry", 2.0), SEEN) == [SEEN]
