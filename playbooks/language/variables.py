"""What an expression may speak of: one table of typed variables. The reference and the compiler are made from it."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from contracts.events import FlagChange
from contracts.ports import Target, TargetState


class CelType(enum.StrEnum):
    """Types of variables and results, as the reference writes them."""

    BOOL = "bool"
    INT = "int"
    DOUBLE = "double"
    STRING = "string"
    STRINGS = "list(string)"
    TEXTS = "map(string, string)"
    NUMBERS = "map(string, double)"
    RECORDS = "list(map(string, dyn))"


@dataclass(frozen=True, slots=True)
class Variable:
    """One name. `in_arguments`: known to the executor too, so that step arguments may use it."""

    name: str
    type: CelType
    text: str
    in_arguments: bool = False


_T = CelType

VARIABLES: Final[dict[str, Variable]] = {
    v.name: v
    for v in (
        Variable("environment", _T.STRING, "environment (cluster) the incident is in", True),
        Variable("incident.id", _T.STRING, "the incident's name", True),
        Variable("incident.severity", _T.STRING, "info, warning or critical"),
        Variable("incident.age_s", _T.DOUBLE, "seconds since onset"),
        Variable("incident.services", _T.STRINGS, "services with an anomaly in this incident"),
        Variable("incident.blast_radius", _T.STRINGS, "services that suffer from it"),
        Variable("cause.kind", _T.STRING, "kind of the suspected cause", True),
        Variable(
            "cause.service",
            _T.STRING,
            "service of the suspected cause, which is the playbook's target (of `shift`, it is the caller)",
            True,
        ),
        Variable("cause.peer", _T.STRING, "other end, where the cause is between two services; else empty"),
        Variable("cause.caller", _T.STRING, "who calls, where the cause is between two services; else empty", True),
        Variable("cause.callee", _T.STRING, "whom they call; else empty", True),
        Variable("cause.probability", _T.DOUBLE, "how sure the diagnosis is, 0 to 1", True),
        Variable("cause.evidence", _T.STRINGS, "channels of evidence that speak for it, such as cpu or memory"),
        Variable("cause.instances", _T.INT, "instances that are compared; 0 where none fares otherwise than before"),
        Variable(
            "cause.instance",
            _T.STRING,
            "the one that is sick while all others are well, where its platform knows it by that name; else empty",
            True,
        ),
        Variable(
            "cause.node",
            _T.STRING,
            "the node that several services are sick on, where that is the cause; else empty",
            True,
        ),
        Variable(
            "cause.zone",
            _T.STRING,
            "the zone that several services are sick in, where it is all of that and no single node; else empty",
            True,
        ),
        Variable("cause.alike", _T.INT, "instances that are sick, where all are, alike; else 0"),
        Variable(
            "cause.sickest",
            _T.STRING,
            "the sickest of those that are sick alike, where its platform knows it by that name; else empty",
            True,
        ),
        Variable(
            "cause.probed",
            _T.STRING,
            "what a probe in this incident told of the cause's service: `well` (the instance that was replaced, while its siblings are "
            "sick), `sick` (it is as sick as they are), or empty",
        ),
        Variable(
            "flag.name",
            _T.STRING,
            "the flag whose change is the cause, where it is told which, no other was changed, and it is not back yet; else empty",
            True,
        ),
        Variable("flag.before", _T.STRING, "its value before the change; else empty", True),
        Variable("flag.after", _T.STRING, "its value since; else empty", True),
        Variable("service.name", _T.STRING, "the target's name", True),
        Variable("service.version", _T.STRING, "version it runs; empty where unknown", True),
        Variable("service.previous_version", _T.STRING, "version it ran before; empty where unknown", True),
        Variable("service.attributes", _T.TEXTS, "its identity attributes, such as k8s.namespace.name", True),
        Variable("replicas", _T.INT, "replicas wanted now; an error where unknown", True),
        Variable("ready", _T.INT, "replicas serving now; an error where unknown", True),
        Variable(
            "demand",
            _T.DOUBLE,
            "times its usual requests that the target has been asked for since the onset; 1.0 where that is no more, or not known",
            True,
        ),
        Variable("features", _T.NUMBERS, "last observed features of the target"),
        Variable("expected.low", _T.NUMBERS, "lower end of each feature's expected range"),
        Variable("expected.high", _T.NUMBERS, "upper end of each feature's expected range"),
        Variable("changes", _T.RECORDS, "recent changes: service, kind, actor, before, after, age_s"),
        Variable("hour", _T.INT, "hour of the day, 0 to 23, UTC"),
        Variable("weekday", _T.INT, "day of the week, 1 (Monday) to 7 (Sunday), UTC"),
    )
}

ARGUMENT_VARIABLES: Final = tuple(v.name for v in VARIABLES.values() if v.in_arguments)

Scope = Mapping[str, Any]
"""Values by variable name. What is not known is left out: using it is an error, and an error makes a condition false."""


def numbers(values: Mapping[str, float | None]) -> dict[str, float]:
    """Features as a map without what was not observed."""
    return {k: float(v) for k, v in values.items() if v is not None and v == v}  # noqa: PLR0124 (NaN)


def argument_scope(
    environment: str,
    incident: str,
    kind: str,
    probability: float,
    target: Target,
    state: TargetState | None,
    demand: float = 1.0,
) -> dict[str, Any]:
    """Values of the variables that step arguments may use. The cause's service is the target."""
    scope: dict[str, Any] = {
        **detail_scope("", "", "", None),
        "cause.node": "",
        "cause.zone": "",
        "cause.sickest": "",
        "environment": environment,
        "incident.id": incident,
        "cause.kind": str(kind),
        "cause.service": target.service,
        "cause.probability": float(probability),
        "service.name": target.service,
        "demand": demand,
        "service.attributes": dict(target.attributes),
        "service.version": "",
        "service.previous_version": "",
    }
    if state is not None:
        scope |= {"service.version": state.version, "service.previous_version": state.previous_version}
        scope |= {"replicas": state.replicas, "ready": state.ready}
    return scope


def detail_scope(instance: str, caller: str, callee: str, flag: FlagChange | None) -> dict[str, str]:
    """Values of the variables that say which part of the cause's service, which calls or which flag are meant."""
    return {
        "cause.instance": instance,
        "cause.caller": caller,
        "cause.callee": callee,
        "flag.name": "" if flag is None else flag.name,
        "flag.before": "" if flag is None else flag.before,
        "flag.after": "" if flag is None else flag.after,
    }
