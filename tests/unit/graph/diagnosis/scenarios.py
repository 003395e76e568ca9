"""Plays the shop into an engine and gives back what it said."""

from __future__ import annotations

import copy
from collections.abc import Iterable
from functools import cache

from contracts.events import Anomaly, Change, Incident
from contracts.frames import EvidenceFrame
from contracts.ports import GraphWrite
from contracts.settings import DiagnoseSettings
from graph.diagnosis import DiagnosisEngine
from tests.unit.graph.diagnosis import shop

HEALTHY_S = 60
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
    played = list(shop.play(faults, **how))
    if engine is None and not how.keys() - {"seed", "faulty_s", "recovered_s"}:
        engine, said = _begun(how.get("seed", 1))
        return said + _goes_on(copy.deepcopy(engine), played[HEALTHY_S:])
    return _goes_on(engine or DiagnosisEngine("shop", DiagnoseSettings()), played)


@cache
def _begun(seed: object) -> tuple[DiagnosisEngine, Said]:
    """An engine just before the onset: what many begin with is lived through once."""
    engine = DiagnosisEngine("shop", DiagnoseSettings())
    return engine, _goes_on(engine, shop.play({}, healthy_s=HEALTHY_S, faulty_s=0, seed=seed))


def _goes_on(engine: DiagnosisEngine, played: Iterable[tuple[int, list]]) -> Said:
    said: Said = []
    for now_ns, events in played:
        feed(engine, events, now_ns)
        said += [(now_ns, x) for x in engine.tick(now_ns)]
    return said


def incidents(said: Said) -> list[Incident]:
    """Only the incidents."""
    return [x for _, x in said if isinstance(x, Incident)]
