"""A fleet that shares its beginning with others tells what it would have told alone."""

from __future__ import annotations

from contracts.frames import pack
from tests.unit.streams.fleet import Fault, Fleet, Loss

SERVICES = ("cart", "pay")


def told(fleet: Fleet) -> object:
    frames = [pack(frame) for frame in (*fleet.frames, *fleet.evidence)]
    return [frames, fleet.told, fleet.served, fleet.pipeline.host.totals()]


def test_what_is_shared_is_what_would_have_been_and_nobody_else_is_changed_by_what_happens_next() -> None:
    def fleet(**happens: object) -> Fleet:
        return Fleet(SERVICES, rate=10, seed=77, **happens)

    fleet(faults=(Fault("crash", "pay", 4, 6),)).run(6)
    lost = {"losses": (Loss(("cart",), 4, 6),)}
    alone, shared = fleet(**lost), fleet(**lost).run(6)
    alone._until(shared.now)
    assert told(alone) == told(shared)
