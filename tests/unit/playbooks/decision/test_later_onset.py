"""One time base: what is decided of a trouble compares with when that began, however long its incident has been open."""

from __future__ import annotations

from dataclasses import replace

import msgspec
import numpy as np

from contracts.frames import EvidenceFrame
from contracts.units import SECOND as S
from contracts.verdicts import CauseKind, Conduct, DecisionVerdict, Severity
from playbooks.decision import decide
from playbooks.decision.candidates import COMPARED_S
from playbooks.decision.views import Views
from tests.unit.playbooks.decision.test_deciding import LIBRARY, NOW, SETTINGS
from tests.unit.playbooks.decision.test_earlier import FIRST, Environment
from tests.unit.playbooks.decision.test_earlier import incident as earlier_incident
from tests.unit.playbooks.decision.test_instances_compared import CALM, after, suspected
from tests.unit.playbooks.decision.test_pending import T0, Told, frame, half, incident


def seen(window: int, seconds: float) -> EvidenceFrame:
    told = frame(window)
    for name in ("latency_p50", "latency_p95", "latency_p99"):
        told.values[:, told.features.index(name)] = seconds
        told.high[:, told.features.index(name)] = 0.5
    return replace(told, counts=np.full(2, 50))


def lived(book: Told | Views) -> None:
    """A trouble a minute ago, that was mended; and another that has begun just now, and is the smaller."""
    for t in range(-80, 12):
        took = 0.9 if -62 <= t < -40 else 0.02 if t < 0 else 0.05
        window = seen(T0 + t * S, took * (1 + 0.02 * (t % 3)))
        book.take(window) if isinstance(book, Views) else book.evidence(window, T0 + t * S)


def test_what_was_mended_long_ago_is_not_what_is_compared_with() -> None:
    views = Views()
    lived(views)
    assert views.standing("cart", T0).conduct is Conduct.WORSE
    book = Told(half())
    lived(book)
    at = T0 + 12 * S
    slow = suspected(CauseKind.LATENCY, "latency")
    sick = incident(at, 1, candidates=(slow,), severity=Severity.CRITICAL, onset_ns=T0 - 62 * S, since_ns=T0)
    (found,) = book.incident(sick, at)
    assert (found.verdict, found.chosen.playbook) == (DecisionVerdict.ACT, "restart-slow-service"), found.text
    assert found.onset_ns == T0, "what comes of it is compared with the same"


def test_a_trouble_is_as_old_as_it_is_and_not_as_its_incident() -> None:
    """Instances are compared before all are restarted, of the second trouble of an incident as of the first."""
    old = after(suspected(CauseKind.LATENCY, "latency"), 300)
    assert decide(old, CALM, LIBRARY, SETTINGS).verdict is DecisionVerdict.ACT
    fresh = msgspec.structs.replace(old, since_ns=NOW - int((COMPARED_S - 4) * S))
    assert decide(fresh, CALM, LIBRARY, SETTINGS).verdict is DecisionVerdict.NOTHING


def test_what_began_anew_after_an_incident_is_nothing_that_it_suffers_from() -> None:
    it = Environment()
    it.told(msgspec.structs.replace(FIRST, since_ns=T0 + 90 * S))
    (d,) = it.told(earlier_incident("two", "gateway", CauseKind.HANG, T0 + 60 * S))
    assert d.verdict is DecisionVerdict.ACT
