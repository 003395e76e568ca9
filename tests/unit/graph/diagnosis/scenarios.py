"""Plays the shop into an engine and gives back what it said."""

from __future__ import annotations

from collections.abc import Iterable

from contracts.events import Anomaly, Change, Incident
from contracts.frames import EvidenceFrame
from contracts.ports import GraphWrite
from contracts.settings import DiagnoseSettings
from graph.diagnosis import DiagnosisEngine
from tests.unit.graph.diagnosis import shop

Said = list[tuple[int, Incident | GraphWrite]]


def feed(engine: DiagnosisEngine, events: Iterable[object], now_ns: int) -> None:
    """Hand a second's events over."""
    for event in events:
        if isinstance(event, EvidenceFrame):
            engine.evidence(event, now_ns)
        elif isinstance(event, Anomaly):
            engine.anomaly(event, now_ns)
        elif isinstance(event, Change):
            engine.change(event, now_ns)


def run(faults: dict, engine: DiagnosisEngine | None = None, **how: object) -> Said:
    """All that the engine says, with the event time at which it says it."""
    engine = engine or DiagnosisEngine("shop", DiagnoseSettings())
    said: Said = []
    for now_ns, events in shop.play(faults, **how):
        feed(engine, events, now_ns)
        said += [(now_ns, x) for x in engine.tick(now_ns)]
    return said


def incidents(said: Said) -> list[Incident]:
    """Only the incidents."""
    return [x for _, x in said if isinstance(x, Incident)]
