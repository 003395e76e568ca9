"""Recordings from the field through the whole of perception, and what would be decided if everything could be acted on."""

from __future__ import annotations

from connectors.otlp.recording import read
from contracts.events import Decision, Incident, decode
from contracts.ports import Record, TargetState
from contracts.settings import DecideSettings, load
from contracts.topics import INCIDENTS, TOPICS
from homeostat.replay.recording import replay
from homeostat.wiring import perceive_specs
from playbooks.decision import DecisionWorld, decide
from playbooks.language import library
from playbooks.learning import Posteriors
from streams.in_memory import MemoryPipeline
from tests.checks.field.inputs import recording

PARTITIONS = 2


def incidents(number: str) -> list[Incident]:
    """What was found in a recording, in order."""
    settings, found = load(), []

    def on_message(record: Record) -> None:
        if record.topic == INCIDENTS:
            found.append(decode(Incident, record.value))

    pipeline = MemoryPipeline(perceive_specs(settings, dict.fromkeys(TOPICS, PARTITIONS)), PARTITIONS, on_message)
    for _ in replay(read([recording(number)]), pipeline, settings.ingest.flush_ms * 1_000_000):
        pass
    return found


def decided(incident: Incident) -> Decision:
    """The decision on an incident where every suspect could be acted on."""
    state = TargetState(replicas=2, ready=2, version="v2", previous_version="v1")
    world = DecisionWorld(
        now_ns=incident.time_ns,
        number=1,
        heard_ns=incident.time_ns,
        posteriors=Posteriors(),
        targets={c.service: state for c in incident.candidates},
        known_services=incident.services,
        confirmed_ns=incident.time_ns,
    )
    return decide(incident, world, library(), DecideSettings())
