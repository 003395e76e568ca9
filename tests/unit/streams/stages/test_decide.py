"""The decide stage in the pipeline: topics in, decisions out, keyed by incident and routed by environment."""

import pytest

from contracts.errors import UnreadableEvent
from contracts.events import Candidate, Decision, Incident, decode, encode
from contracts.frames import pack
from contracts.ports import Record, TargetState
from contracts.settings import ActSettings, DecideSettings, DetectSettings
from contracts.topics import DECISIONS, EVIDENCE, INCIDENTS, TARGETS, partition_of
from contracts.units import SECOND as S
from contracts.verdicts import CauseKind, DecisionVerdict, IncidentPhase, Severity
from playbooks.decision import limits_of
from playbooks.language import library
from streams.in_memory import MemoryPipeline
from streams.stage import Emit
from streams.stages.decide import CONSUMES, DecideStage, spec
from tests.acting_half import whole
from tests.unit.playbooks.decision.test_pending import frame as evidence

T0 = 1_800_000_000 * S


INCIDENT = Incident(
    id="inc-1", environment="prod", phase=IncidentPhase.OPENED, severity=Severity.CRITICAL, onset_ns=T0, time_ns=T0, revision=1,
    anomalies=(), services=("cart",), blast_radius=("web",), confidence=1.0, settled=True, text="",
    candidates=(Candidate(service="cart", kind=CauseKind.CRASH, probability=0.9, evidence=(), path=()),),
)  # fmt: skip


HEARD = pack(evidence(T0 - S))


def settings() -> tuple:
    return library(), DecideSettings(learn_s=0), limits_of(ActSettings(), DetectSettings())


def record(topic: str, value: bytes) -> Record:
    return Record(topic, 0, 0, None, value)


def told(number: int = 1, at: int = T0) -> bytes:
    """A quiet world with one target, of which one of two instances is ready."""
    return encode(whole("prod", at, {"cart": TargetState(2, 1)}, number=number))


def informed() -> DecideStage:
    stage = DecideStage(*settings())
    assert stage.handle(record(EVIDENCE, HEARD), T0) == stage.handle(record(TARGETS, told()), T0) == []
    return stage


def test_a_decision_goes_to_its_environment():
    stage = informed()
    (out,) = stage.handle(record(INCIDENTS, encode(INCIDENT)), T0)
    assert isinstance(out, Emit)
    assert (out.topic, out.key, out.partition_in(8)) == (DECISIONS, "inc-1", partition_of("prod", 8))
    decision = decode(Decision, out.value)
    assert (decision.verdict, decision.chosen.playbook) == (DecisionVerdict.ACT, "restart-crashed-instance")
    assert stage.counters["decisions_act"] == 1


@pytest.mark.parametrize("topic", [*CONSUMES, "telemetry.raw"])
@pytest.mark.parametrize("value", [b"", b"{}", b"\x00\xff", b'{"version": 99}'])
def test_what_can_not_be_read_is_raised_for_the_dead_letters(topic: str, value: bytes):
    with pytest.raises(UnreadableEvent):
        DecideStage(*settings()).handle(record(topic, value), T0)


def test_in_the_pipeline_the_same_input_gives_the_same_decisions():
    def play() -> list[tuple[str, bytes]]:
        seen: list[tuple[str, bytes]] = []
        pipeline = MemoryPipeline([spec(*settings())], 4, on_message=lambda r: seen.append((r.topic, r.value)))
        pipeline.feed(EVIDENCE, HEARD, T0, key=b"prod")
        pipeline.feed(TARGETS, told(), T0, key=b"prod")
        pipeline.feed(INCIDENTS, encode(INCIDENT), T0, key=b"prod")
        pipeline.tick(T0 + S)
        return [x for x in seen if x[0] == DECISIONS]

    first = play()
    assert len(first) == 1
    assert play() == first


def test_a_snapshot_carries_on():
    stage, again = informed(), DecideStage(*settings())
    stage.handle(record(INCIDENTS, encode(INCIDENT)), T0)
    again.restore(stage.snapshot())
    assert again.snapshot() == stage.snapshot()
    assert again.tick(T0 + 2 * S) == []
    assert again.posteriors == stage.posteriors
