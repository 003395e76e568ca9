"""Frozen, typed, versioned events: the words that stages say to each other and to the world."""

from contracts.events.autonomy import (
    ActionRecord,
    Adoption,
    Approval,
    Control,
    Decision,
    Feedback,
    Measure,
    NodeStatus,
    Option,
    Term,
)
from contracts.events.codec import Event, decode, encode
from contracts.events.handling import Handling, Lookup
from contracts.events.telemetry import (
    Anomaly,
    Candidate,
    Change,
    ClockOffset,
    Contribution,
    DeadLetter,
    Evidence,
    Incident,
    PathStep,
    RawMeasurement,
    RawResponse,
)

__all__ = [
    "ActionRecord",
    "Adoption",
    "Anomaly",
    "Approval",
    "Candidate",
    "Change",
    "ClockOffset",
    "Contribution",
    "Control",
    "DeadLetter",
    "Decision",
    "Event",
    "Evidence",
    "Feedback",
    "Handling",
    "Incident",
    "Lookup",
    "Measure",
    "NodeStatus",
    "Option",
    "PathStep",
    "RawMeasurement",
    "RawResponse",
    "Term",
    "decode",
    "encode",
]
