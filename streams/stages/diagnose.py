"""Diagnose: evidence, anomalies and changes of whole environments -> incidents and graph writes.

Colocated: one instance reads the same partition of its three topics, so every environment of that partition is in view whole.
"""

from __future__ import annotations

from collections import Counter
from typing import Final

import msgspec

from contracts.errors import UnreadableEvent
from contracts.events import Anomaly, Change, Incident, decode, encode
from contracts.frames import EvidenceFrame, unpack
from contracts.ports import Record
from contracts.settings import DiagnoseSettings
from contracts.topics import ANOMALIES, CHANGES, EVIDENCE, INCIDENTS
from graph.diagnosis import DiagnosisEngine
from streams.stage import Emit, Output, StageSpec

CONSUMES: Final = (EVIDENCE, ANOMALIES, CHANGES)


class DiagnoseStage:
    """One engine per environment of a partition, in order of first sight."""

    def __init__(self, settings: DiagnoseSettings) -> None:
        self._settings = settings
        self._engines: dict[str, DiagnosisEngine] = {}

    @property
    def counters(self) -> Counter[str]:
        """What was taken in and found, summed over environments."""
        return sum((e.counters for e in self._engines.values()), Counter())

    def handle(self, record: Record, now_ns: int) -> list[Output]:
        """Take one message in; incidents follow at the next tick.

        Raises:
            UnreadableEvent: the value is not what its topic promises.
        """
        if record.topic == EVIDENCE:
            frame = unpack(EvidenceFrame, record.value)
            self._engine(frame.environment).evidence(frame, now_ns)
        elif record.topic == ANOMALIES:
            anomaly = decode(Anomaly, record.value)
            self._engine(anomaly.environment).anomaly(anomaly, now_ns)
        elif record.topic == CHANGES:
            change = decode(Change, record.value)
            self._engine(change.environment).change(change, now_ns)
        else:
            raise UnreadableEvent(f"diagnose does not read {record.topic}", reason="unknown_topic")
        return []

    def _engine(self, environment: str) -> DiagnosisEngine:
        if environment not in self._engines:
            self._engines[environment] = DiagnosisEngine(environment, self._settings)
        return self._engines[environment]

    def tick(self, now_ns: int) -> list[Output]:
        """What became known of each environment since the last tick."""
        out: list[Output] = []
        for environment, engine in self._engines.items():
            out += [_emit(x, environment) if isinstance(x, Incident) else x for x in engine.tick(now_ns)]
        return out

    def snapshot(self) -> bytes:
        """All engines, by environment."""
        return msgspec.msgpack.encode({n: e.snapshot() for n, e in self._engines.items()})

    def restore(self, state: bytes) -> None:
        """Take a snapshot's state.

        Raises:
            UnreadableEvent: not a snapshot of this stage.
        """
        try:
            saved = msgspec.msgpack.decode(state, type=dict[str, bytes])
        except (msgspec.DecodeError, UnicodeDecodeError) as e:
            raise UnreadableEvent(f"not a snapshot of diagnose: {e}") from e
        self._engines = {}
        for environment, part in saved.items():
            self._engine(environment).restore(part)


def _emit(incident: Incident, environment: str) -> Emit:
    return Emit(INCIDENTS, incident.id, encode(incident), route=environment)


def spec(settings: DiagnoseSettings) -> StageSpec:
    """How the pipeline makes and feeds this stage."""
    return StageSpec(
        "diagnose", CONSUMES, (INCIDENTS,), lambda _topic, _partition: DiagnoseStage(settings), colocated=True
    )
