"""Strictness is told by the one stage that sees an environment: at once where somebody says something, and the same through redelivery and restarts."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec
import numpy as np
import pytest

from contracts.errors import UnreadableEvent
from contracts.events import Incident, IncidentVerdict, Strictness, decode, encode
from contracts.features import Signal
from contracts.frames import EvidenceFrame, pack
from contracts.ports import Record
from contracts.settings import DetectSettings
from contracts.topics import ADOPTIONS, DEADLETTER, EVIDENCE, INCIDENTS, STRICTNESS, VERDICTS
from contracts.units import DAY, MINUTE, SECOND
from contracts.verdicts import IncidentPhase, VerdictKind
from streams.host import StageHost
from streams.stage import Emit, Output
from streams.stages.strictness import TOLD_AGAIN_NS, StrictnessStage, spec
from tests.unit.contracts.samples import EVENTS, FRAMES, T

NOW = T + DAY


def evidence(environment: str = "prod", services: tuple[str, ...] = ("cart", "web"), signal: str = "spans") -> bytes:
    sample = FRAMES["EvidenceFrame"]
    assert isinstance(sample, EvidenceFrame)
    rows, n = len(services), len(sample.features)
    wide, narrow = np.zeros((rows, n)), np.zeros(rows)
    return pack(
        EvidenceFrame(
            environment=environment, signal=signal, partition=0, window_ns=NOW, width_ns=SECOND, services=services,
            peers=("db",) * rows if signal == Signal.EDGES else (), versions=("",) * rows, attributes=("",) * rows,
            features=sample.features, values=wide, counts=narrow.astype(np.int64), score=wide, low=wide, high=wide,
            p_value=narrow, state=("healthy",) * rows, notes=(), presence=narrow.astype(np.int8),
        )
    )  # fmt: skip


def verdict(
    kind: VerdictKind = VerdictKind.FALSE_ALARM, about: str = "inc-1", at_ns: int = NOW, environment: str = "prod"
) -> bytes:
    return encode(
        IncidentVerdict(id=about, environment=environment, verdict=kind, by="ann", time_ns=at_ns, about_ns=at_ns)
    )


def incident(name: str) -> bytes:
    sample = EVENTS["Incident"]
    assert isinstance(sample, Incident)
    return encode(msgspec.structs.replace(sample, id=name, phase=IncidentPhase.OPENED, time_ns=NOW))


class Driven:
    """One stage, and what it told."""

    def __init__(self, state: bytes | None = None, most: int = 9) -> None:
        self.stage = StrictnessStage(DetectSettings(), most)
        if state is not None:
            self.stage.restore(state)
        self.now_ns, self._taken = NOW, 0

    def take(self, topic: str, *values: bytes) -> Driven:
        for value in values:
            self._taken += 1
            assert self.stage.handle(Record(topic, 0, self._taken, None, value, (), 0), self.now_ns) == []
        return self

    def told(self, after_ns: int = 0) -> list[Strictness]:
        self.now_ns += after_ns
        return list(words(self.stage.tick(self.now_ns)))


def words(outputs: Iterable[Output]) -> Iterable[Strictness]:
    for output in outputs:
        assert isinstance(output, Emit)
        assert (output.topic, output.key) == (STRICTNESS, output.route)
        yield decode(Strictness, output.value)


def test_it_is_told_at_first_sight_again_after_a_while_and_at_once_when_somebody_says_something() -> None:
    driven = Driven().take(EVIDENCE, evidence())
    assert [(w.environment, w.services, w.strictness) for w in driven.told()] == [("prod", 2, 0.0)]
    driven.take(EVIDENCE, evidence())
    assert driven.told(2 * MINUTE) == [], "nothing is new"
    driven.take(VERDICTS, verdict())
    assert [(w.false_alarms, w.strictness > 0.1) for w in driven.told()] == [(1, True)]
    driven.take(VERDICTS, verdict(), verdict())
    assert driven.told(SECOND) == [], "the same again says nothing"
    assert len(driven.told(TOLD_AGAIN_NS)) == 1


def test_who_calls_whom_makes_no_service() -> None:
    driven = Driven().take(EVIDENCE, evidence(signal=Signal.EDGES.value))
    assert driven.told() == []


def test_verdicts_on_an_environment_that_is_seen_elsewhere_are_kept_and_not_told() -> None:
    driven = Driven().take(EVIDENCE, evidence()).take(VERDICTS, verdict(environment="staging"))
    assert [w.environment for w in driven.told()] == ["prod"]
    driven.take(EVIDENCE, evidence("staging"))
    assert [(w.environment, w.false_alarms) for w in driven.told(SECOND)] == [("staging", 1)]


def test_a_restart_tells_what_was_in_force_and_redelivery_changes_nothing() -> None:
    driven = Driven().take(EVIDENCE, evidence()).take(INCIDENTS, incident("inc-1"), incident("inc-2"))
    driven.take(VERDICTS, verdict(), verdict(about="inc-2"), verdict(VerdictKind.WITHDRAWN, "inc-2", NOW + 1))
    (before,) = driven.told()
    again = Driven(driven.stage.snapshot())
    again.take(VERDICTS, verdict(about="inc-2"), verdict()).take(INCIDENTS, incident("inc-1"))
    assert again.told() == [before]
    assert (before.false_alarms, before.opened, before.said_false, before.unknown) == (1, 2, 1, 1)


def test_an_environment_that_leaves_for_others_is_told_of_no_more_and_what_was_said_of_it_stays() -> None:
    driven = Driven(most=1).take(EVIDENCE, evidence()).take(VERDICTS, verdict())
    assert [w.environment for w in driven.told()] == ["prod"]
    driven.told(10 * MINUTE)
    driven.take(EVIDENCE, evidence("staging"))
    assert [w.environment for w in driven.told()] == ["staging"]
    driven.told(10 * MINUTE)
    driven.take(EVIDENCE, evidence())
    assert [(w.environment, w.false_alarms) for w in driven.told()] == [("prod", 1)]
    assert driven.stage.counters["environment_left"] == 2


def test_a_verdict_of_long_ago_is_taken_for_nothing() -> None:
    driven = Driven().take(EVIDENCE, evidence()).take(VERDICTS, verdict(at_ns=NOW - 29 * DAY))
    assert [w.strictness for w in driven.told()] == [0.0]
    assert driven.stage.counters["verdicts_known"] == 1


def test_every_instance_is_told_of_verdicts_and_those_to_come_too() -> None:
    host = StageHost([spec(DetectSettings())])
    record = Record(VERDICTS, 3, 0, b"prod/inc-1", verdict(), (), 0)
    host.overhear(record, NOW)
    host.handle(Record(EVIDENCE, 1, 0, None, evidence(), (), 0), NOW)
    assert [w.false_alarms for w in words(host.tick(NOW))] == [1]


@pytest.mark.parametrize(
    ("topic", "value"),
    [(VERDICTS, b"{}"), (VERDICTS, b'{"verdict":"dunno"}'), (INCIDENTS, b"?"), (EVIDENCE, b"?"), (ADOPTIONS, b"{}")],
)
def test_what_is_no_verdict_is_refused_with_a_reason(topic: str, value: bytes) -> None:
    with pytest.raises(UnreadableEvent):
        Driven().take(topic, value)
    out = StageHost([spec(DetectSettings())])
    out.handle(Record(EVIDENCE, 1, 0, None, evidence(), (), 0), NOW)
    if topic == VERDICTS:
        (dead,) = out.overhear(Record(topic, 0, 0, b"k", value, (), 0), NOW)
        assert isinstance(dead, Emit)
        assert dead.topic == DEADLETTER


def test_a_snapshot_of_something_else_is_refused() -> None:
    with pytest.raises(UnreadableEvent):
        Driven(b"?")
