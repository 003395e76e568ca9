"""The pipeline from bytes to audit, on one screen: which part reads which topics, and which it writes.

    perceive_specs   telemetry -> features -> anomalies -> incidents, and how sure one must be: looks, and touches nothing
    decide           incidents -> decisions: pure
    act_specs        decisions -> effects, their audit trail and what came of them: touches the world

What is perceived and decided are stages (`streams.stage`): state and pure methods, driven by the consume loop or by a replay. What acts
are handlers (`streams.worker`): awaited by the consume loop alone. `homeostat.runtime` starts and stops what is wired here.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Final

from connectors.kafka.embedded import is_embedded
from contracts.errors import UnknownName
from contracts.plugins import installed
from contracts.settings import Settings
from contracts.topics import (
    ACTIONS,
    ADDRESSES,
    ADOPTIONS,
    ANOMALIES,
    APPROVALS,
    CHANGES,
    CLOCKS,
    CONTROL,
    DECISIONS,
    EVIDENCE,
    FEATURES,
    FEEDBACK,
    GAPS,
    INCIDENTS,
    INGRESS,
    PARTIALS,
    POINTS,
    SERIES,
    SPANS,
    STRICTNESS,
    TARGETS,
)
from contracts.units import HOUR
from homeostat.acting import Acting
from homeostat.cluster import ClusterWatch
from homeostat.release import software
from playbooks.decision import limits_of
from playbooks.language.model import Playbook
from streams.replay.recorder import recorded
from streams.stage import StageSpec
from streams.stages import decide, diagnose, strictness
from streams.stages.detect import DetectStage
from streams.stages.edges import EdgeStage
from streams.stages.features import FeatureStage
from streams.stages.general_series import SeriesStage
from streams.stages.ingest import IngestStage
from streams.worker import HandlerSpec

LIFE_NS: Final = 4 * HOUR
"""A replay goes back to the beginning of a recorded life: after this long another life of `decide` begins, with the state of the one
before."""


def perceive_specs(settings: Settings, partitions: Mapping[str, int]) -> tuple[StageSpec, ...]:
    """The stages from telemetry to incidents: they look, and touch nothing."""
    targets = partitions[PARTIALS]
    return (
        StageSpec(
            "ingest",
            (*INGRESS, SERIES, *settings.ingest.topics),
            (PARTIALS, SPANS, POINTS),
            lambda t, p: IngestStage(t, p, settings, targets, partitions[POINTS]),
            overhears=(CLOCKS,),
        ),
        StageSpec(
            "edges",
            (SPANS,),
            (PARTIALS, CLOCKS),
            lambda _, p: EdgeStage(p, settings, targets),
            overhears=(ADDRESSES, GAPS),
        ),
        StageSpec(
            "features",
            (PARTIALS,),
            (FEATURES, ANOMALIES, GAPS),
            lambda _, p: FeatureStage(p, settings, targets),
            overhears=(ADDRESSES,),
        ),
        StageSpec(
            "detect",
            (FEATURES,),
            (EVIDENCE, ANOMALIES),
            lambda _, p: DetectStage(p, settings.detect, settings.ingest.max_environments, settings.plugins),
            overhears=(CHANGES, ADOPTIONS, STRICTNESS),
        ),
        StageSpec(
            "series",
            (POINTS,),
            (ANOMALIES,),
            lambda _, __: SeriesStage(settings.series, settings.ingest.max_environments),
        ),
        diagnose.spec(settings.diagnose, settings.ingest.max_environments, settings.detect),
        strictness.spec(settings.detect, settings.ingest.max_environments),
    )


def spread_of(settings: Settings) -> Mapping[str, int]:
    """Over how many partitions what stages emit is spread, by topic, where that is not all. One embedded process has all services anyway:
    those that call each other are seen to agree where they are together, and messages are fewer."""
    return {PARTIALS: 1} if is_embedded(settings.broker) else {}


def stage_specs(
    settings: Settings, partitions: Mapping[str, int], playbooks: Iterable[Playbook]
) -> tuple[StageSpec, ...]:
    """All stages."""
    offered, limits = tuple(playbooks), limits_of(settings.act, settings.detect)
    return (
        *perceive_specs(settings, partitions),
        decide.spec(offered, settings.decide, limits, settings.ingest.max_environments),
    )


def act_specs(acting: Acting, cluster: ClusterWatch) -> tuple[HandlerSpec, ...]:
    """The parts that act on decisions, and that watch the cluster: what they learn of themselves is telemetry again."""
    return (
        HandlerSpec(
            "act",
            {
                CONTROL: acting.switchboard.take,
                DECISIONS: acting.on_decision,
                APPROVALS: acting.on_approval,
                EVIDENCE: acting.on_evidence,
                INCIDENTS: acting.on_incident,
                ANOMALIES: acting.on_anomaly,
                STRICTNESS: acting.on_strictness,
            },
            (ACTIONS, FEEDBACK, CHANGES, TARGETS),
        ),
        HandlerSpec("the cluster watch", {EVIDENCE: cluster.on_evidence}, (ADDRESSES, CHANGES, PARTIALS)),
    )


def recorded_specs(
    settings: Settings, partitions: Mapping[str, int], playbooks: Iterable[Playbook]
) -> tuple[StageSpec, ...]:
    """All stages; those that the settings name are recorded, for replays. `partitions` are all there are of each topic.

    Raises:
        UnknownName: the settings name a stage that there isn't.
    """
    offered = tuple(playbooks)
    made_with, wanted = made_with_of(settings, offered), set(settings.decide.recorded)
    spread = spread_of(settings)
    plain = {s.name: s for s in stage_specs(settings, {**partitions, **spread}, offered)}
    for name in sorted(wanted - plain.keys()):
        raise UnknownName("stage in decide.recorded", name, plain)
    taped = {
        name: recorded(spec, made_with, LIFE_NS if name == decide.NAME else 0, spread)
        for name, spec in plain.items()
        if name in wanted
    }
    return tuple(taped.get(name, spec) for name, spec in plain.items())


def made_with_of(settings: Settings, playbooks: Iterable[Playbook]) -> str:
    """Short digest of what stages are made with besides their input: settings, playbooks, the release."""
    sections = {"environment", "ingest", "detect", "series", "diagnose", "decide", "plugins"}
    said = settings.model_dump_json(include=sections, exclude={"decide": {"recorded"}})
    limits = limits_of(settings.act, settings.detect)
    plugged = [p.words for p in installed("detector") if p.name in settings.detect.detectors]
    plugged += [p.words for p in installed("action")]
    remedies = [repr(replace(p, source="")) for p in sorted(playbooks, key=lambda p: p.name)]
    return hashlib.blake2b(
        repr((software(), sorted(plugged), said, limits, remedies)).encode(), digest_size=8
    ).hexdigest()
