"""What plugin authors import, and the only module whose names stay: ports, events, features, errors, verdicts, check-suites.

A plugin is one module that is registered by name under the entry-point group of its kind, `homeostat.action`, `homeostat.actuator`, `homeostat.detector`,
`homeostat.graph_store`, `homeostat.policy`, `homeostat.sink` or `homeostat.source`. The entry point leads to a callable that takes the
settings of its kind, or to a `Plugin`, which also declares settings of its own and what its check-suite runs on; an action's leads to the
`Action`, which has neither. The suites are `checks.action`, `checks.actuator`, `checks.detector` and so on: `homeostat plugin check` runs them on what is installed, and so may a plugin's own tests.
The pages on plugins (docs/plugins.md) have one runnable example for each port.
"""

from __future__ import annotations

from pathlib import Path

from contracts import checks
from contracts.actions import (
    BEFORE,
    Action,
    Argument,
    ChoiceValue,
    DocumentValue,
    DurationValue,
    ListValue,
    Mistake,
    NumberValue,
    ReplicaBounds,
    TextValue,
    Touches,
    name_from,
)
from contracts.checks import action as _action  # noqa: F401 - so that it is there as `checks.action`, as the others
from contracts.checks import actuator as _actuator  # noqa: F401
from contracts.checks import broker as _broker  # noqa: F401
from contracts.checks import detector as _detector  # noqa: F401
from contracts.checks import graph_store as _graph_store  # noqa: F401
from contracts.checks import journal as _journal  # noqa: F401
from contracts.checks import journal_takeovers as _journal_takeovers  # noqa: F401
from contracts.checks import policy as _policy  # noqa: F401
from contracts.checks import sink as _sink  # noqa: F401
from contracts.checks import source as _source  # noqa: F401
from contracts.checks import state_store as _state_store  # noqa: F401
from contracts.errors import (
    ActionFailed,
    ActuatorUnavailable,
    BrokerUnavailable,
    ChainBroken,
    ClusterUnavailable,
    Conflict,
    Fenced,
    Forbidden,
    GraphUnavailable,
    HomeostatError,
    InvalidPlaybook,
    InvalidPlugin,
    InvalidQuery,
    InvalidSettings,
    InvalidTarget,
    OutcomeUnknown,
    Permanent,
    PolicyUnavailable,
    Retryable,
    TargetNotFound,
    UndecodableTelemetry,
    UnknownName,
    UnreadableEvent,
)
from contracts.events import *  # noqa: F403 - all of them, and their list is theirs
from contracts.events import __all__ as _events
from contracts.features import FEATURES, Feature, FeatureKind, Signal
from contracts.frames import EvidenceFrame, FeatureFrame, Presence
from contracts.plugins import Plugin, PluginSettings
from contracts.ports import *  # noqa: F403 - all of them, and their list is theirs
from contracts.ports import GraphStore, PolicyEngine
from contracts.ports import __all__ as _ports
from contracts.settings import ActSettings, DetectSettings, GraphPlace, GraphSettings, SinkSettings, SourceSettings
from contracts.supervision import Supervised, once
from contracts.verdicts import (
    AdoptionVerdict,
    AnomalyKind,
    AnomalyPhase,
    Autonomy,
    CauseKind,
    Conduct,
    DecisionVerdict,
    GapKind,
    HeldReason,
    IncidentPhase,
    ModelStep,
    Outcome,
    ProbeFinding,
    RunState,
    ServiceState,
    Severity,
    StepPhase,
    VerdictKind,
)

__all__ = [  # noqa: PLE0604 - names, all of them
    *_events,
    *_ports,
    "FEATURES",
    "ClusterUnavailable",
    "ChainBroken",
    "Fenced",
    "InvalidPlaybook",
    "Conduct",
    "FeatureKind",
    "BEFORE",
    "Action",
    "Argument",
    "ChoiceValue",
    "DocumentValue",
    "DurationValue",
    "ListValue",
    "Mistake",
    "NumberValue",
    "ReplicaBounds",
    "TextValue",
    "Touches",
    "name_from",
    "ActSettings",
    "ActionFailed",
    "ActuatorUnavailable",
    "AdoptionVerdict",
    "AnomalyKind",
    "AnomalyPhase",
    "Autonomy",
    "BrokerUnavailable",
    "CauseKind",
    "Conflict",
    "DecisionVerdict",
    "DetectSettings",
    "EvidenceFrame",
    "Feature",
    "FeatureFrame",
    "Forbidden",
    "GraphPlace",
    "GraphSettings",
    "GraphUnavailable",
    "HeldReason",
    "HomeostatError",
    "GapKind",
    "IncidentPhase",
    "InvalidPlugin",
    "InvalidQuery",
    "InvalidSettings",
    "InvalidTarget",
    "ModelStep",
    "Outcome",
    "OutcomeUnknown",
    "Permanent",
    "Plugin",
    "PluginSettings",
    "PolicyUnavailable",
    "Presence",
    "ProbeFinding",
    "Retryable",
    "RunState",
    "ServiceState",
    "Severity",
    "Signal",
    "SinkSettings",
    "SourceSettings",
    "StepPhase",
    "Supervised",
    "TargetNotFound",
    "UndecodableTelemetry",
    "UnknownName",
    "UnreadableEvent",
    "VerdictKind",
    "built_in_policy",
    "checks",
    "embedded_graph",
    "once",
]


def built_in_policy() -> PolicyEngine:
    """The policy that is asked where nothing else is set, for those who forbid more than it does."""
    from connectors.policy import open_policy

    return open_policy("")


def embedded_graph(data_dir: Path) -> GraphStore:
    """The embedded graph store of a data folder, without its schema, for those who put something before it.

    Raises:
        GraphUnavailable: another process has it open (reason graph_locked), or it is damaged.
    """
    from graph.stores import STORES

    return STORES.open("ladybug", GraphPlace(GraphSettings(), data_dir))
