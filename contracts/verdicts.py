"""Named states and reasons. The same word is the metric label, the audit text and what an operator reads."""

from __future__ import annotations

import enum


class ServiceState(enum.StrEnum):
    """What detection knows of a service. Only `HEALTHY` means healthy."""

    WARMING = "warming"
    HEALTHY = "healthy"
    ANOMALOUS = "anomalous"
    STALE = "stale"


class AnomalyKind(enum.StrEnum):
    """What an anomaly is about."""

    SERVICE = "service"  # what a service does, as its telemetry shows it
    TELEMETRY = (
        "telemetry"  # telemetry that stopped coming: it says nothing of the services, and nothing is done to them
    )
    SERIES = "series"  # a general series (or a group of them): it is told, and no incident follows from it
    MODEL = "model"  # a member of detection no longer fits, or another of its models took over: nothing is done because of it


class GapKind(enum.StrEnum):
    """What is missing in the telemetry of a service for good judgement. What each means and what mends it: `contracts.gaps`."""

    NO_SPANS = "no_spans"
    NO_SERVER_SPANS = "no_server_spans"
    NO_CLIENT_SPANS = "no_client_spans"
    UNNAMED_PEERS = "unnamed_peers"
    BROKEN_TRACES = "broken_traces"
    SAMPLED = "sampled"
    LATE_SPANS = "late_spans"
    LATE_LOGS = "late_logs"
    SKEWED_CLOCK = "skewed_clock"
    NO_LOGS = "no_logs"
    NO_RESOURCE_METRICS = "no_resource_metrics"
    SLOW_METRICS = "slow_metrics"
    UNMAPPED_METRICS = "unmapped_metrics"
    UNNAMED_SERVICE = "unnamed_service"
    NO_NAMESPACE = "no_namespace"
    NO_VERSION = "no_version"
    NO_INSTANCE = "no_instance"
    NO_WORKLOAD = "no_workload"


class AnomalyPhase(enum.StrEnum):
    """Where an anomaly is in its life."""

    OPENED = "opened"
    UPDATED = "updated"
    CLOSED = "closed"
    ADOPTED = "adopted"  # it ended because what it was about is taken for the new normal: no harm, or a person's word


ENDED = frozenset({AnomalyPhase.CLOSED, AnomalyPhase.ADOPTED})


class ModelStep(enum.StrEnum):
    """What became of a model of a member of detection."""

    DRIFTED = "drifted"  # calm windows are no longer as it knows them: a challenger is trained
    PROMOTED = "promoted"  # the challenger proved better, and took its place
    DROPPED = "dropped"  # the challenger did not prove better
    ROLLED_BACK = "rolled_back"  # the one before proved better than the one promoted, and is back


class AdoptionVerdict(enum.StrEnum):
    """What a person says of a service's new level."""

    ACCEPT = "accept"  # take it for normal from now on, harm or not
    REFUSE = "refuse"  # it is not normal: undo its adoption, and adopt nothing of this service by itself


class VerdictKind(enum.StrEnum):
    """What a person says of what was detected. What nobody says anything of is unknown, and never taken for right."""

    FALSE_ALARM = "false_alarm"  # nothing was wrong: the incident should not have been opened
    RIGHT = "right"  # something was wrong
    MISSED = "missed"  # something was wrong, and no incident told of it
    WITHDRAWN = "withdrawn"  # what was said before is taken back, as if it had never been said


class IncidentPhase(enum.StrEnum):
    """Where an incident is in its life."""

    OPENED = "opened"
    UPDATED = "updated"
    RESOLVED = "resolved"


class CauseKind(enum.StrEnum):
    """What kind of thing went wrong at the root: what playbooks match on."""

    CRASH = "crash"  # the service stopped serving
    HANG = "hang"  # it is there but does not answer in time, and does not work
    LATENCY = "latency"  # it became slow by itself
    ERRORS = "errors"  # it answers with failures
    SATURATION = "saturation"  # more demand than it has capacity for
    LEAK = "leak"  # a resource grows until it runs out
    BAD_RELEASE = "bad_release"  # errors or latency since a new version
    FLAG = "flag"  # errors or latency since a feature flag, or a setting kept beside the release, was changed
    NETWORK = "network"  # time or calls are lost between two services
    NODE = "node"  # what several services run on: a node (host), or a zone
    DEPENDENCY = "dependency"  # something outside of what can be acted on
    UNKNOWN = "unknown"


class Severity(enum.StrEnum):
    """How bad it is for those who call."""

    INFO = "info"
    WARNING = "warning"
    CRITICAL = "critical"


class DecisionVerdict(enum.StrEnum):
    """What was decided."""

    ACT = "act"
    ASK = "ask"  # a person is asked to approve, or to take over
    NOTHING = "nothing"


class HeldReason(enum.StrEnum):
    """Why a candidate may not run now. `Refused` and `Held` verdicts carry one of these."""

    COOLDOWN = "cooldown"
    RATE_LIMIT = "rate_limit"
    MAX_REPLICAS = "max_replicas"
    MIN_REPLICAS = "min_replicas"
    BLAST_RADIUS = "blast_radius"
    WINDOW = "window"
    CONCURRENCY = "concurrency"
    CIRCUIT_OPEN = "circuit_open"
    KILL_SWITCH = "kill_switch"
    POLICY = "policy"
    POLICY_UNAVAILABLE = "policy_unavailable"
    APPROVAL = "approval"
    APPROVAL_EXPIRED = "approval_expired"
    LOW_CONFIDENCE = "low_confidence"
    STALE_TELEMETRY = "stale_telemetry"
    UNKNOWN_TOPOLOGY = "unknown_topology"
    NO_TARGET = "no_target"
    INVALID_TARGET = "invalid_target"  # what telemetry calls it is no name of anything, or leads to several things
    UNBOUND_ENVIRONMENT = "unbound_environment"  # the settings don't say what the environment stands for
    TARGET_CONTESTED = "target_contested"  # telemetry says different things of what the service is
    TARGET_CHANGED = "target_changed"  # it is no longer what guards, policy or a person were asked about
    OWNED = "owned"  # somebody else decides on the target: a controller, a repository, an autoscaler's owner
    ANOTHER = "another"  # another installation of Homeostat acts on the target, too, and has done so a moment ago
    OUTSIDE = (
        "outside"  # the target, or what probably troubles it, is run by others: nothing that is done here mends it
    )
    OUTAGE = "outage"  # it takes away all instances that serve at once: a person is asked
    INNOCENT = "innocent"  # by its own evidence the target answers as before: nothing is to be repaired there
    UNPROVEN = "unproven"  # whether the target answers as before can't be told: that takes more certainty of the cause
    NO_DEMAND = "no_demand"  # it is asked for no more than usual and has lost no capacity: more of it mends nothing
    SHARED = "shared"  # a probe told that the trouble is what its instances share: a restart finds it again
    UNFELT = "unfelt"  # users are served as before, or hardly feel it and it may pass: nothing is disturbed meanwhile
    NOT_CAPABLE = "not_capable"
    ACTUATOR_FAULT = "actuator_fault"  # an actuator broke, or answered with what is no answer: nothing was tried
    DUPLICATE = "duplicate"
    CONDITION = "condition"  # a condition of its trigger does not hold, or could not be evaluated
    AUDIT_UNAVAILABLE = "audit_unavailable"  # the intent could not be published: no effect without a prior audit event
    JOURNAL_UNAVAILABLE = "journal_unavailable"  # what is under way, and how targets are, was not told for too long
    RESOLVED = "resolved"  # the incident was over before anything was done


class Conduct(enum.StrEnum):
    """How a target answers by its own evidence. `UNKNOWN` is neither of the others."""

    AS_BEFORE = "as_before"
    WORSE = "worse"
    UNKNOWN = "unknown"


class RunState(enum.StrEnum):
    """States of a run; each change is one audit event.

    `UNKNOWN` means an effect may or may not have happened: nothing more is done until a person says so.
    """

    PENDING = "pending"
    AWAITING_APPROVAL = "awaiting_approval"
    REFUSED = "refused"
    RUNNING = "running"
    VERIFYING = "verifying"
    ROLLING_BACK = "rolling_back"
    SUCCEEDED = "succeeded"
    ROLLED_BACK = "rolled_back"
    FAILED = "failed"
    INCONCLUSIVE = "inconclusive"
    UNKNOWN = "unknown"
    CANCELLED = "cancelled"


TERMINAL_RUN_STATES = frozenset(
    {
        RunState.REFUSED,
        RunState.SUCCEEDED,
        RunState.ROLLED_BACK,
        RunState.FAILED,
        RunState.INCONCLUSIVE,
        RunState.UNKNOWN,
        RunState.CANCELLED,
    }
)


class StepPhase(enum.StrEnum):
    """Journal states of one step."""

    INTENT = "intent"
    APPLIED = "applied"
    FAILED = "failed"
    UNKNOWN = "unknown"
    SKIPPED = "skipped"


class Outcome(enum.StrEnum):
    """What verification found."""

    BETTER = "better"
    SAME = "same"
    WORSE = "worse"
    INCONCLUSIVE = "inconclusive"


class ProbeFinding(enum.StrEnum):
    """What a probe told: how the one instance that was replaced fares while its siblings are sick."""

    WELL = "well"  # the trouble sits in the processes: replacing the others ends it
    SICK = "sick"  # it is as sick as they are: the trouble is what they share


class Autonomy(enum.StrEnum):
    """How much may be done without a person."""

    OBSERVE = "observe"  # decide and record, act on nothing
    SUGGEST = "suggest"  # every action needs an approval
    ACT = "act"  # tier 1 and 2 act, tier 3 asks
