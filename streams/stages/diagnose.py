"""Diagnose: evidence, anomalies, changes and gaps in telemetry of whole environments -> incidents and graph writes.

Colocated: one instance reads the same partition of its topics, so every environment of that partition is in view whole.
"""

from __future__ import annotations

from collections import Counter
from functools import partial
from typing import Final

import msgspec

from contracts.errors import UnreadableEvent
from contracts.events import Anomaly, Change, Incident, TelemetryGaps, decode, encode
from contracts.frames import EvidenceFrame, unpack
from contracts.ports import Record
from contracts.settings import MAX_ENVIRONMENTS, DetectSettings, DiagnoseSettings
from contracts.topics import ANOMALIES, CHANGES, EVIDENCE, GAPS, INCIDENTS
from graph.diagnosis import DiagnosisEngine
from streams.environments import Environments
from streams.stage import Emit, Output, StageSpec

CONSUMES: Final = (ANOMALIES, EVIDENCE, CHANGES, GAPS)


class DiagnoseStage:
    """One engine per environment of a partition, in order of first sight."""

    def __init__(
        self,
        settings: DiagnoseSettings,
        max_environments: int = MAX_ENVIRONMENTS,
        promises: DetectSettings | None = None,
    ) -> None:
        """`promises`: where the objectives of services are."""
        self._settings, self._promises = settings, promises or DetectSettings()
        self._engines: dict[str, DiagnosisEngine] = {}
        self._gone: Counter[str] = Counter()
        self._environments = Environments(max_environments, self._forget)

    @property
    def counters(self) -> Counter[str]:
        """What was taken in and found, summed over environments."""
        return sum((e.counters for e in self._engines.values()), self._gone + self._environments.counters)

    def handle(self, record: Record, now_ns: int) -> list[Output]:
        """Take one message in; incidents follow at the next tick.

        Raises:
            UnreadableEvent: the value is not what its topic promises.
        """
        if record.topic == EVIDENCE:
            frame = unpack(EvidenceFrame, record.value)
            if self._lets_in(frame.environment, now_ns):
                self._engine(frame.environment).evidence(frame, now_ns)
        elif record.topic == ANOMALIES:
            anomaly = decode(Anomaly, record.value)
            if self._lets_in(anomaly.environment, now_ns):
                self._engine(anomaly.environment).anomaly(anomaly, now_ns)
        elif record.topic == CHANGES:
            change = decode(Change, record.value)
            if self._lets_in(change.environment, now_ns):
                self._engine(change.environment).change(change, now_ns)
        elif record.topic == GAPS:
            gaps = decode(TelemetryGaps, record.value)
            if self._lets_in(gaps.environment, now_ns):
                self._engine(gaps.environment).gaps(gaps, now_ns)
        else:
            raise UnreadableEvent(f"diagnose does not read {record.topic}", reason="unknown_topic")
        return []

    def _lets_in(self, environment: str, now_ns: int) -> bool:
        """Whether there is room for an environment; none leaves whose incident is not over."""
        if environment in self._engines:
            return self._environments.lets_in(environment, now_ns)
        return self._environments.lets_in(environment, now_ns, {n for n, e in self._engines.items() if e.busy})

    def _forget(self, environment: str) -> None:
        engine = self._engines.pop(environment, None)
        if engine is not None:
            self._gone += engine.counters

    def _engine(self, environment: str) -> DiagnosisEngine:
        if environment not in self._engines:
            promised = partial(self._promises.objective_of, environment)
            self._engines[environment] = DiagnosisEngine(environment, self._settings, promised)
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
        self._environments.restored(self._engines)


def _emit(incident: Incident, environment: str) -> Emit:
    return Emit(INCIDENTS, incident.id, encode(incident), route=environment)


def spec(
    settings: DiagnoseSettings, max_environments: int = MAX_ENVIRONMENTS, promises: DetectSettings | None = None
) -> StageSpec:
    """How the pipeline makes and feeds this stage."""
    return StageSpec(
        "diagnose",
        CONSUMES,
        (INCIDENTS,),
        lambda _topic, _partition: DiagnoseStage(settings, max_environments, promises),
        colocated=True,
    )
