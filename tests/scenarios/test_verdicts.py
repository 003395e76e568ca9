"""What people say of incidents moves how sure detection must be, reversibly, and hides nothing that is certain: from frames to incidents
and back, through the stages as they are wired.

One of eight services pauses for two seconds now and then: nothing that anybody minds, and enough for an anomaly.
"""

from __future__ import annotations

import copy

import pytest

from contracts.checks.detector_frames import FEATURES as COLUMNS
from contracts.checks.detector_frames import T0, frame, steady
from contracts.events import Anomaly, Incident, IncidentVerdict, Strictness, decode, encode
from contracts.frames import pack
from contracts.ports import Record
from contracts.settings import Settings
from contracts.topics import ANOMALIES, FEATURES, INCIDENTS, STRICTNESS, TOPICS, VERDICTS
from contracts.units import SECOND
from contracts.verdicts import AnomalyPhase, IncidentPhase, VerdictKind
from homeostat.wiring import perceive_specs
from streams.in_memory import MemoryPipeline

_, ERRORS, P50, _, _ = range(len(COLUMNS))
CALM, EVERY, PAUSES = 200, 60, 5
AFTER = CALM + PAUSES * EVERY
"""Windows without pauses at first, between two pauses, and after which the second five pauses begin."""
END = AFTER + PAUSES * EVERY


PAUSE = 0.035, 0.105, 0.133
"""Seconds that half, 95 and 99 of a hundred requests take at most in a pause; else 0.02, 0.06 and 0.076."""


class Life:
    """The pipeline from frames on, second by second, and what was heard of it."""

    def __init__(self) -> None:
        self.opened: list[int] = []
        self.incidents: list[Incident] = []
        self.strictness: list[Strictness] = []
        self.pipeline = MemoryPipeline(perceive_specs(Settings(), dict.fromkeys(TOPICS, 2)), 2, self._hear)
        self.now_ns = T0
        self.values, self.window = list(steady(END + 3)), 0

    def _hear(self, record: Record) -> None:
        if record.topic == ANOMALIES:
            anomaly = decode(Anomaly, record.value)
            if anomaly.phase is AnomalyPhase.OPENED:
                self.opened.append((anomaly.time_ns - T0) // SECOND)
        elif record.topic == INCIDENTS:
            incident = decode(Incident, record.value)
            self.incidents += [incident] if incident.phase is IncidentPhase.OPENED else []
        elif record.topic == STRICTNESS:
            self.strictness.append(decode(Strictness, record.value))

    def until(self, window: int, *, broken: bool = False) -> Life:
        """Go on up to this window."""
        for number in range(self.window, window):
            values = self.values[number].copy()
            if number >= CALM and number % EVERY in {0, 1}:
                values[0, P50:] = PAUSE
            if broken:
                values[0, ERRORS] = 0.5
            made = frame(number, values)
            self.now_ns = made.window_ns + SECOND
            self.pipeline.feed(FEATURES, pack(made), self.now_ns, partition=0)
            self.pipeline.tick(self.now_ns)
        self.window = window
        return self

    def say(self, kind: VerdictKind, incident: Incident) -> None:
        """A person's word on an incident, twice: the log may repeat it."""
        word = IncidentVerdict(
            id=incident.id, environment="e", verdict=kind, by="ann", time_ns=self.now_ns, about_ns=incident.onset_ns
        )
        for _ in range(2):
            self.pipeline.feed(VERDICTS, encode(word), self.now_ns, partition=1)

    def between(self, begin: int, end: int) -> int:
        """How many anomalies opened in these windows."""
        return sum(begin <= window < end for window in self.opened)


@pytest.mark.slow
def test_false_alarms_make_it_stricter_until_they_are_taken_back_and_a_hard_fault_is_found_meanwhile():
    before = Life().until(AFTER)
    assert before.between(CALM, AFTER) >= 4
    assert {word.strictness for word in before.strictness} == {0.0}
    said, back = copy.deepcopy(before), copy.deepcopy(before)
    never = before.until(END)
    assert never.between(AFTER, END) >= 4

    for incident in said.incidents[:2]:
        said.say(VerdictKind.FALSE_ALARM, incident)
    said.until(END)
    assert said.between(AFTER, END) <= never.between(AFTER, END) // 2
    word = said.strictness[-1]
    assert word.strictness > 0.5
    assert (word.false_alarms, word.said_false) == (2, 2)
    assert word.opened == word.said_false + word.unknown == len(said.incidents)
    said.until(END + 3, broken=True)
    assert said.between(END, END + 2) == 1, "found by its second window"

    for kind in (VerdictKind.FALSE_ALARM, VerdictKind.WITHDRAWN):
        for incident in back.incidents[:2]:
            back.say(kind, incident)
        back.until(back.window + 1)
    assert [w.strictness > 0.5 for w in back.strictness[-2:]] == [True, False]
    back.until(END)
    assert back.strictness[-1].strictness == 0.0
    assert back.opened == never.opened, "as if nothing had been said"
