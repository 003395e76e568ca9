"""The exception tree. Two axes: *retryable or permanent* (the class), and *why* (`reason`, a word that is also the metric label).

    HomeostatError
    ├── Retryable                     the same call may succeed later
    │   ├── BrokerUnavailable         Kafka cannot be reached
    │   ├── GraphUnavailable          the graph store cannot be reached
    │   ├── PolicyUnavailable         the policy engine cannot be asked (so: no action)
    │   ├── ActuatorUnavailable       the target system cannot be reached
    │   ├── ClusterUnavailable        the cluster that is watched cannot be reached
    │   └── Conflict                  somebody else changed the target meanwhile
    └── Permanent                     repeating the call cannot help
        ├── UndecodableTelemetry      bytes that are not telemetry -> telemetry.deadletter
        ├── UnreadableEvent           an event of an unknown schema version or shape
        ├── InvalidPlaybook           refused, with file, line, column and a suggestion
        ├── InvalidSettings           a setting is unknown, missing or out of range
        ├── InvalidPlugin             what is installed beside Homeostat can't be loaded, or has a name that it mustn't have
        ├── InvalidQuery              Cypher the store refuses
        ├── UnknownName               a name that is not in the list (which is given)
        ├── TargetNotFound            the actuator does not know the target
        ├── InvalidTarget             what telemetry calls the target is no name of anything, or of several things
        ├── Forbidden                 credentials or roles do not allow it
        ├── ActionFailed              the target system refused or failed the effect
        ├── OutcomeUnknown            whether an effect happened cannot be known: ask a person
        ├── Fenced                    another owner has taken this run over
        └── ChainBroken               the audit trail does not verify

Driver exceptions are mapped onto these in one place per driver.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class HomeostatError(Exception):
    """Base of all errors Homeostat raises on purpose. `reason` is one snake_case word; `fix` says what to do."""

    reason = "error"

    def __init__(self, message: str, *, reason: str | None = None, fix: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.fix = fix
        if reason is not None:
            self.reason = reason

    def __str__(self) -> str:
        return f"{self.message} ({self.fix})" if self.fix else self.message


class Retryable(HomeostatError):
    """The same call may succeed later."""

    reason = "unavailable"


class Permanent(HomeostatError):
    """Repeating the call cannot help."""

    reason = "permanent"


class BrokerUnavailable(Retryable):
    """Kafka cannot be reached."""

    reason = "broker_unavailable"


class GraphUnavailable(Retryable):
    """The graph store cannot be reached."""

    reason = "graph_unavailable"


class PolicyUnavailable(Retryable):
    """The policy engine cannot be asked; nothing may be done until it can."""

    reason = "policy_unavailable"


class ActuatorUnavailable(Retryable):
    """The system that would be acted on cannot be reached."""

    reason = "actuator_unavailable"


class ClusterUnavailable(Retryable):
    """The cluster that would be watched cannot be reached."""

    reason = "cluster_unavailable"


class Conflict(Retryable):
    """The target was changed by somebody else between reading and writing."""

    reason = "conflict"


class UndecodableTelemetry(Permanent):
    """Bytes that are not the telemetry their topic promises."""

    reason = "undecodable"


class UnreadableEvent(Permanent):
    """An event of an unknown schema version or shape."""

    reason = "unreadable_event"


class InvalidPlaybook(Permanent):
    """A playbook that cannot be used. The message carries file:line:column and a suggestion."""

    reason = "invalid_playbook"


class InvalidSettings(Permanent):
    """A setting is unknown, missing or out of range."""

    reason = "invalid_settings"


class InvalidPlugin(Permanent):
    """A plugin that can't be loaded or opened, or that takes a name that isn't its own. The message names its distribution."""

    reason = "invalid_plugin"


class InvalidQuery(Permanent):
    """Cypher that the store refuses."""

    reason = "invalid_query"


class TargetNotFound(Permanent):
    """The actuator does not know the target."""

    reason = "target_not_found"


class InvalidTarget(Permanent):
    """What telemetry calls the target is no name of its system, or leads to more than one thing: nothing was asked for it."""

    reason = "invalid_target"


class Forbidden(Permanent):
    """Credentials or roles do not allow the call."""

    reason = "forbidden"


class ActionFailed(Permanent):
    """The target system refused or failed the effect; it did not happen."""

    reason = "action_failed"


class OutcomeUnknown(Permanent):
    """Whether the effect happened cannot be known. Never retried: a person decides."""

    reason = "outcome_unknown"


class Fenced(Permanent):
    """Another owner has taken over; whoever sees this must stop."""

    reason = "fenced"


class ChainBroken(Permanent):
    """The audit trail's hash chain does not verify."""

    reason = "chain_broken"


class UnknownName(Permanent):
    """A name that is not one of the valid ones, which the message lists."""

    reason = "unknown_name"

    def __init__(self, kind: str, name: str, valid: Iterable[str]) -> None:
        names = sorted(valid)
        close = suggest(name, names)
        fix = f"did you mean {close!r}? " if close else ""
        super().__init__(f"unknown {kind} {name!r}", fix=f"{fix}valid: {', '.join(names) or 'none'}")
        self.kind, self.name, self.valid = kind, name, names


def suggest(name: str, valid: Iterable[str]) -> str | None:
    """The valid name closest to `name`, or None if none is close."""
    found = difflib.get_close_matches(name, list(valid), n=1, cutoff=0.6)
    return found[0] if found else None
