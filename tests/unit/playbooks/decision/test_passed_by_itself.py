"""What has ended by itself is not acted on; what comes again, or never ceased, is."""

from __future__ import annotations

from dataclasses import replace

import msgspec
import numpy as np
import pytest

from contracts.events import PathStep
from contracts.frames import EvidenceFrame
from contracts.units import SECOND as S
from contracts.verdicts import CauseKind, DecisionVerdict, Severity
from tests.unit.playbooks.decision.test_instances_compared import suspected
from tests.unit.playbooks.decision.test_pending import T0, Told, frame, half, incident

ONSET = -3
PATH = tuple(PathStep(service=s, symptom="slow") for s in ("web", "cart"))


def seen(window: int, *, cart: bool, web: bool) -> EvidenceFrame:
    told = frame(window)
    for name, usual in (("latency_p50", 0.01), ("latency_p95", 0.015)):
        told.values[:, told.features.index(name)] = [usual * (10 if ill else 1) for ill in (cart, web)]
        told.high[:, told.features.index(name)] = 2 * usual
    return replace(told, counts=np.full(2, 50))


@pytest.mark.parametrize("saved", [False, True])
@pytest.mark.parametrize(
    ("cart", "web", "acts"),
    [
        (lambda t: t < 34, lambda t: t < 34, False),
        (lambda t: True, lambda t: True, True),
        (lambda t: t < 34, lambda t: True, True),
        (lambda t: t % 8 < 4, lambda t: t % 8 < 4, True),
    ],
    ids=["ended", "goes on", "users still suffer", "comes and goes"],
)
def test_before_anything_is_done_the_newest_windows_are_looked_at(cart, web, acts: bool, saved: bool) -> None:
    """The moment that is left to what users hardly feel is over at second 27 after T0."""
    acting = half()
    book = Told(acting)
    slow = msgspec.structs.replace(suspected(CauseKind.LATENCY, "latency"), path=PATH)
    for t in range(-60, 40):
        book.evidence(seen(T0 + t * S, cart=t >= ONSET and cart(t), web=t >= ONSET and web(t)), T0 + t * S)
    at = T0 + 40 * S
    how = {"candidates": (slow,), "severity": Severity.WARNING, "felt": Severity.WARNING}
    assert book.incident(incident(at, 1, settled=False, **how), at) == []
    if saved:
        state = book.snapshot()
        book = Told(acting)
        book.restore(state)
    found = book.incident(incident(at, 2, **how), at)
    assert [d.verdict for d in found] == [DecisionVerdict.ACT if acts else DecisionVerdict.NOTHING]
    assert acts or "have been well for" in found[0].text
    for t in range(40, 46):  # it comes again
        book.evidence(seen(T0 + t * S, cart=True, web=True), T0 + t * S)
        found += book.tick(T0 + t * S)
    assert found[-1].verdict is DecisionVerdict.ACT
