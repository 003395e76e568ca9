"""From settings to parts: the one place where implementations are chosen."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import replace

from connectors.journal.kafka import KafkaJournal
from connectors.journal.sqlite import SqliteJournal
from connectors.kafka.client import KafkaBroker
from connectors.kafka.embedded import EmbeddedBroker
from connectors.state.kafka import KafkaStateStore
from connectors.state.sqlite import SqliteStateStore
from contracts.actions import installed_actions
from contracts.errors import InvalidSettings, UnknownName
from contracts.plugins import installed
from contracts.ports import GraphWrite, Journal, StateStore
from contracts.settings import ActSettings, Settings
from contracts.topics import (
    ADOPTIONS,
    ANOMALIES,
    CHANGES,
    CLOCKS,
    DECISIONS,
    EVIDENCE,
    FEATURES,
    INGRESS,
    JOURNAL,
    PARTIALS,
    SPANS,
)
from graph.topology_file import read_topology
from homeostat.release import software
from playbooks.decision import DecisionFacts, limits_of
from playbooks.language import reader
from playbooks.language.model import Playbook
from streams.replay.recorder import recorded
from streams.stage import StageSpec
from streams.stages import decide, diagnose
from streams.stages.detect import DetectStage
from streams.stages.edges import EdgeStage
from streams.stages.features import FeatureStage
from streams.stages.ingest import IngestStage


def perceive_specs(settings: Settings, partitions: Mapping[str, int]) -> tuple[StageSpec, ...]:
    """The stages from telemetry to incidents: they look, and touch nothing."""
    targets = partitions[PARTIALS]
    return (
        StageSpec(
            "ingest",
            INGRESS,
            (PARTIALS, SPANS),
            lambda t, p: IngestStage(t, p, settings, targets),
            overhears=(CLOCKS,),
        ),
        StageSpec("edges", (SPANS,), (PARTIALS, CLOCKS), lambda _, p: EdgeStage(p, settings, targets)),
        StageSpec("features", (PARTIALS,), (FEATURES, ANOMALIES), lambda _, p: FeatureStage(p, settings, targets)),
        StageSpec(
            "detect",
            (FEATURES,),
            (EVIDENCE, ANOMALIES),
            lambda _, p: DetectStage(p, settings.detect, settings.ingest.max_environments, settings.plugins),
            overhears=(CHANGES, ADOPTIONS),
        ),
        diagnose.spec(settings.diagnose, settings.ingest.max_environments),
    )


def stage_specs(
    settings: Settings, partitions: Mapping[str, int], playbooks: Iterable[Playbook], facts: DecisionFacts
) -> tuple[StageSpec, ...]:
    """All stages."""
    offered, limits = tuple(playbooks), limits_of(settings.act, settings.detect)
    return (
        *perceive_specs(settings, partitions),
        decide.spec(offered, settings.decide, limits, facts, settings.ingest.max_environments),
    )


def recorded_specs(
    settings: Settings, partitions: Mapping[str, int], playbooks: Iterable[Playbook], facts: DecisionFacts
) -> tuple[StageSpec, ...]:
    """All stages; those that the settings name are recorded, for replays.

    Raises:
        UnknownName: the settings name a stage that there isn't.
    """
    offered, limits = tuple(playbooks), limits_of(settings.act, settings.detect)
    made_with, wanted = made_with_of(settings, offered), set(settings.decide.recorded)
    plain = {s.name: s for s in stage_specs(settings, partitions, offered, facts)}
    for name in sorted(wanted - plain.keys()):
        raise UnknownName("stage in decide.recorded", name, plain)
    taped = {
        name: decide.recorded_spec(offered, settings.decide, limits, facts, made_with, settings.ingest.max_environments)
        if name == decide.NAME
        else recorded(spec, made_with)
        for name, spec in plain.items()
        if name in wanted
    }
    return tuple(taped.get(name, spec) for name, spec in plain.items())


def made_with_of(settings: Settings, playbooks: Iterable[Playbook]) -> str:
    """Short digest of what stages are made with besides their input: settings, playbooks, the release, and detectors of others."""
    sections = {"environment", "ingest", "detect", "diagnose", "decide", "plugins"}
    said = settings.model_dump_json(include=sections, exclude={"decide": {"recorded"}})
    limits = limits_of(settings.act, settings.detect)
    detectors = sorted(p.words for p in installed("detector") if p.name in settings.detect.detectors)
    remedies = [repr(replace(p, source="")) for p in sorted(playbooks, key=lambda p: p.name)]
    return hashlib.blake2b(repr((software(), detectors, said, limits, remedies)).encode(), digest_size=8).hexdigest()


def open_state(settings: Settings, broker: KafkaBroker) -> StateStore:
    """Where snapshots go: a file for one process, the compacted topic where partitions move between workers."""
    if isinstance(broker, EmbeddedBroker):
        return SqliteStateStore(settings.data_dir / "state.sqlite")
    return KafkaStateStore(broker.bootstrap, **{k: v for k, v in broker.options.items() if k != "bootstrap_servers"})


def open_journal(settings: Settings, broker: KafkaBroker, partitions: Mapping[str, int], node: str) -> Journal:
    """Where runs are recorded: a file for one process, the compacted topic where environments move between workers.

    Raises:
        InvalidSettings: topics that must be split alike are not.
    """
    where = settings.act.journal
    if where == "sqlite" or (where == "auto" and isinstance(broker, EmbeddedBroker)):
        return SqliteJournal(settings.data_dir / "journal.sqlite")
    if partitions[JOURNAL] != partitions[DECISIONS]:
        raise InvalidSettings(
            f"{JOURNAL} has {partitions[JOURNAL]} partitions and {DECISIONS} has {partitions[DECISIONS]}",
            fix="give them the same number: see the operations guide on partitions",
        )
    return KafkaJournal(settings.broker, broker.bootstrap, partitions[JOURNAL], node)


def load_playbooks(settings: ActSettings) -> list[Playbook]:
    """The playbooks in force: the built-in library, unless switched off, and the user's.

    Raises:
        InvalidPlaybook: every mistake with file, line and column; also a webhook or command that no setting defines.
    """
    own = reader.read_all(settings.playbooks, names_for(settings)) if settings.playbooks else []
    names = {p.name for p in own}
    return [*own, *(p for p in (reader.library() if settings.library else []) if p.name not in names)]


def names_for(settings: ActSettings) -> reader.Named:
    """What playbooks may call by name."""
    named = {a.named_by for action in installed_actions().values() for a in action.arguments if a.named_by}
    return {path: getattr(settings, path.removeprefix("act.")) for path in sorted(named) if path.startswith("act.")}


def topology_writes(settings: Settings, now_ns: int) -> list[GraphWrite]:
    """What is known of the topology beforehand."""
    if settings.graph.topology is None:
        return []
    return read_topology(settings.graph.topology, settings.environment).writes(now_ns)
