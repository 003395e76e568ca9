"""Strictness: what happens in whole environments and what people say of it -> how much more is asked for before an anomaly opens there.

Colocated: an environment's services, its incidents and what repairs came to are on one partition. Verdicts are told to every instance; it is the one
that sees an environment's services that speaks for it.
"""

from __future__ import annotations

from collections import Counter
from typing import Final

import msgspec

from contracts.errors import UnreadableEvent
from contracts.events import Feedback, Incident, IncidentVerdict, Strictness, decode, encode
from contracts.features import Signal
from contracts.frames import EvidenceFrame, unpack
from contracts.ports import Record
from contracts.settings import MAX_ENVIRONMENTS, DetectSettings
from contracts.topics import EVIDENCE, FEEDBACK, INCIDENTS, STRICTNESS, VERDICTS
from contracts.units import MINUTE
from models.snapshots import load, save
from models.strictness import EnvironmentRecord
from streams.environments import Environments
from streams.stage import Emit, Output, StageSpec

NAME: Final = "strictness"
CONSUMES: Final = (EVIDENCE, INCIDENTS, FEEDBACK)
LOOKS_EVERY_NS: Final = MINUTE
"""How often it is looked at what time alone changes: who is there, and what is past."""
TOLD_AGAIN_NS: Final = 5 * MINUTE
"""It is told again after this long though nothing changed: who has lost its state waits no longer."""
_KIND, _VERSION = "StrictnessStage", 1


class StrictnessStage:
    """One partition of environments."""

    def __init__(self, settings: DetectSettings, max_environments: int = MAX_ENVIRONMENTS) -> None:
        self._settings = settings
        self._records: dict[str, EnvironmentRecord] = {}
        self._told: dict[str, Strictness] = {}
        """What was told last; of those that have a part here."""
        self._looked: dict[str, int] = {}
        """When it was last looked at an environment; 0 where something changed since."""
        self._counters: Counter[str] = Counter()
        self._environments = Environments(max_environments, self._forget)

    @property
    def counters(self) -> Counter[str]:
        """Verdicts that were new and those that were known, how often strictness was told, and names for which there was no room."""
        self._counters.update(self._environments.counters)
        self._environments.counters.clear()
        return self._counters

    def handle(self, record: Record, now_ns: int) -> list[Output]:
        """Take note of one message; what follows is told at the next tick.

        Raises:
            UnreadableEvent: the value is not what its topic promises.
        """
        if record.topic == EVIDENCE:
            frame = unpack(EvidenceFrame, record.value)
            if frame.signal != Signal.EDGES and self._lets_in(frame.environment, now_ns):
                self._records[frame.environment].hear(frame.services, frame.window_ns)
        elif record.topic == INCIDENTS:
            incident = decode(Incident, record.value)
            if self._lets_in(incident.environment, now_ns):
                self._changed(incident.environment, self._records[incident.environment].note_incident(incident))
        elif record.topic == FEEDBACK:
            feedback = decode(Feedback, record.value)
            if feedback.environment in self._records:
                self._changed(feedback.environment, self._records[feedback.environment].note_feedback(feedback))
        elif record.topic == VERDICTS:
            verdict = decode(IncidentVerdict, record.value)
            new = self._record(verdict.environment).note_verdict(verdict, now_ns)
            self._counters["verdicts" if new else "verdicts_known"] += 1
            self._changed(verdict.environment, new)
        else:
            raise UnreadableEvent(f"strictness does not read {record.topic}", reason="unknown_topic")
        return []

    def tick(self, now_ns: int) -> list[Output]:
        """Tell what changed, at once where somebody said something."""
        told = []
        for environment, looked_ns in list(self._looked.items()):
            if now_ns - looked_ns < LOOKS_EVERY_NS:
                continue
            self._looked[environment] = now_ns
            word, last = self._records[environment].told(self._settings, now_ns), self._told.get(environment)
            if last is None or now_ns - last.time_ns >= TOLD_AGAIN_NS or not _same(word, last):
                self._told[environment] = word
                told.append(word)
        self._counters["told"] += len(told)
        return [Emit(STRICTNESS, key=w.environment, value=encode(w), route=w.environment) for w in told]

    def _lets_in(self, environment: str, now_ns: int) -> bool:
        """Whether there is room for an environment that is seen here; then there is a record of it, and it is told of."""
        if not self._environments.lets_in(environment, now_ns):
            return False
        self._record(environment)
        self._looked.setdefault(environment, 0)
        return True

    def _record(self, environment: str) -> EnvironmentRecord:
        found = self._records.get(environment)
        if found is None:
            found = self._records[environment] = EnvironmentRecord(environment)
        return found

    def _changed(self, environment: str, really: bool) -> None:
        if really and environment in self._looked:
            self._looked[environment] = 0

    def _forget(self, environment: str) -> None:
        """An environment is gone; what people said of it stays, for it may come back."""
        record = self._records.pop(environment, None)
        if record is not None and record.verdicts:
            self._records[environment] = EnvironmentRecord(environment, verdicts=record.verdicts)
        self._told.pop(environment, None)
        self._looked.pop(environment, None)

    def snapshot(self) -> bytes:
        """The whole state. What was told is not part of it: after a restart it is told again."""
        records = [msgspec.to_builtins(r) for r in self._records.values()]
        return save(_KIND, _VERSION, {"records": records, "seen": list(self._looked)})

    def restore(self, state: bytes) -> None:
        """Take a snapshot's state.

        Raises:
            UnreadableEvent: it is none.
        """
        body = load(_KIND, _VERSION, state)
        try:
            records = msgspec.convert(body["records"], list[EnvironmentRecord])
        except (KeyError, msgspec.ValidationError) as e:
            raise UnreadableEvent(f"not a snapshot of strictness: {e}") from e
        self._records = {r.environment: r for r in records}
        self._told, self._looked = {}, dict.fromkeys((e for e in body["seen"] if e in self._records), 0)
        self._environments.restored(self._looked)


def _same(word: Strictness, last: Strictness) -> bool:
    return msgspec.structs.replace(word, time_ns=last.time_ns) == last


def spec(settings: DetectSettings, max_environments: int = MAX_ENVIRONMENTS) -> StageSpec:
    """The stage as the drivers run it."""
    return StageSpec(
        NAME,
        CONSUMES,
        (STRICTNESS,),
        lambda _topic, _partition: StrictnessStage(settings, max_environments),
        colocated=True,
        overhears=(VERDICTS,),
    )
