"""Ports: protocols to everything that has more than one implementation. All but the clock have a check suite in `contracts.checks`."""

from contracts.ports.acting import (
    BUILT_IN,
    UNBOUND,
    Actuator,
    Applied,
    PolicyEngine,
    PolicyVerdict,
    StepRequest,
    StepResult,
    ensure_alone,
)
from contracts.ports.clock import Clock, ManualClock, SystemClock
from contracts.ports.detecting import Detector, Explains, Scores, SeriesKey, Spoken, Symptoms, WarmsUp
from contracts.ports.exchange import PUBLISHED, Published, Sink, Source, Telemetry
from contracts.ports.stores import Broker, GraphStore, GraphWrite, Journal, Record, RunEntry, StateStore, StepEntry
from contracts.targets import Identity, Mark, Target, TargetState

__all__ = [
    "BUILT_IN",
    "PUBLISHED",
    "UNBOUND",
    "Actuator",
    "Applied",
    "Broker",
    "Clock",
    "Detector",
    "Explains",
    "GraphStore",
    "GraphWrite",
    "Identity",
    "Journal",
    "ManualClock",
    "Mark",
    "PolicyEngine",
    "PolicyVerdict",
    "Published",
    "Record",
    "RunEntry",
    "Scores",
    "SeriesKey",
    "Sink",
    "Source",
    "Spoken",
    "StateStore",
    "StepEntry",
    "StepRequest",
    "StepResult",
    "Symptoms",
    "SystemClock",
    "Target",
    "TargetState",
    "Telemetry",
    "WarmsUp",
    "ensure_alone",
]
