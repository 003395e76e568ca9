"""Detection: feature frames and our own changes in, evidence frames and anomaly events out."""

from __future__ import annotations

from collections import Counter
from typing import Final

from contracts import topics
from contracts.errors import UnknownName, UnreadableEvent
from contracts.events import OURSELVES, Adoption, Anomaly, Change, Strictness, decode, encode
from contracts.features import OPERATIONS
from contracts.frames.codec import pack, unpack
from contracts.frames.feature_frame import FeatureFrame
from contracts.plugins import NO_SECTIONS, PluginSections
from contracts.ports import Record
from contracts.settings import MAX_ENVIRONMENTS, DetectSettings
from contracts.units import SECOND
from models.engine import DetectEngine
from streams.environments import Environments
from streams.stage import Emit, Output

DISTURBED_NS: Final = 10 * SECOND
"""Nothing is learnt from a service for this long after a change of ours: what it does then is our doing."""

REBASES: Final = frozenset({"deploy", "config", "flag", "scale", "restart", "rollback"})
"""Kinds of changes after which a service is another: what befell an instance is none."""


class DetectStage:
    """One partition of `telemetry.features`, all of `telemetry.changes`, `telemetry.strictness` and `autonomous.adoptions`. What it emits is
    routed by environment."""

    def __init__(
        self,
        partition: int,
        settings: DetectSettings,
        max_environments: int = MAX_ENVIRONMENTS,
        plugins: PluginSections = NO_SECTIONS,
    ) -> None:
        self.engine = DetectEngine(partition, settings, plugins=plugins)
        self._counters: Counter[str] = Counter()
        self._environments = Environments(max_environments, self.engine.forget)

    @property
    def counters(self) -> Counter[str]:
        """Frames, rows and anomalies so far, and names for which there was no room."""
        self._counters.update(self._environments.counters)
        self._environments.counters.clear()
        return self._counters

    def handle(self, record: Record, now_ns: int) -> list[Output]:
        """Judge one frame, or take note of a change or a word.

        Raises:
            UnreadableEvent: not a feature frame, or one of features and signals this version does not know; not a change,
                an adoption, or a word on strictness.
        """
        if record.topic == topics.CHANGES:
            self._heed(decode(Change, record.value))
            return []
        if record.topic == topics.ADOPTIONS:
            adoption = decode(Adoption, record.value)
            self._counters[f"adoptions_{adoption.verdict.value}"] += 1
            return self._tell(self.engine.heed(adoption))
        if record.topic == topics.STRICTNESS:
            self.engine.heed_strictness(decode(Strictness, record.value))
            return []
        return self._judge(record, now_ns)

    def _judge(self, record: Record, now_ns: int) -> list[Output]:
        frame = unpack(FeatureFrame, record.value)
        if not self._environments.lets_in(frame.environment, now_ns):
            return []
        try:
            if frame.signal == OPERATIONS:
                self._counters["operations"] += len(frame.services)
                return self._tell(self.engine.observe_operations(frame))
            if frame.glimpse:
                self._counters["glimpses"] += len(frame.services)
                return self._tell(self.engine.glimpse(frame))
            evidence, anomalies = self.engine.observe(frame, now_ns)
        except (UnknownName, ValueError, IndexError) as e:
            raise UnreadableEvent(f"a feature frame that can't be judged: {e}") from e
        self._counters["frames"] += 1
        self._counters["rows"] += len(frame.services)
        if frame.revision > 0:
            self._counters["corrections"] += 1
        route = frame.environment
        emits: list[Output] = [Emit(topics.EVIDENCE, key=route, value=pack(evidence), route=route)]
        return emits + self._tell(anomalies)

    def tick(self, now_ns: int) -> list[Output]:
        """Notice who fell silent."""
        self._counters["service_left"] += self.engine.make_room()
        return self._tell(self.engine.tick(now_ns))

    def snapshot(self) -> bytes:
        """The whole state."""
        return self.engine.snapshot()

    def restore(self, state: bytes) -> None:
        """Take a snapshot's state."""
        self.engine.restore(state)
        self._environments.restored(self.engine.environments)

    def _heed(self, change: Change) -> None:
        """Deploys of others show in the telemetry itself; only what we do is kept from being learnt. Neither is drift."""
        if change.kind in REBASES:
            self.engine.changed(change.environment, change.service, change.time_ns)
        if change.actor == OURSELVES:
            self._counters["own_changes"] += 1
            self.engine.suspend(change.environment, change.service, change.time_ns + DISTURBED_NS)

    def _tell(self, anomalies: list[Anomaly]) -> list[Output]:
        for anomaly in anomalies:
            if anomaly.step is not None:
                self._counters[f"models_{anomaly.step.value}"] += 1
            else:
                self._counters[f"anomalies_{anomaly.phase.value}"] += 1
        return [Emit(topics.ANOMALIES, key=a.service, value=encode(a), route=a.environment) for a in anomalies]
