"""Which anomalies belong together: near on the graph and near in time.

Deterministic in the order of event time: an anomaly joins the incident it is near to (the oldest, which takes in the others it
is near to as well), or starts a group of its own.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

from contracts.events import Anomaly, Contribution
from contracts.features import FEATURES, LOG_ERROR_RATE, FeatureKind, Signal
from contracts.units import SECOND
from contracts.verdicts import ENDED
from graph.judgement import LASTS_NS, SLIGHTLY

USERS: Final = frozenset(
    n
    for n, x in FEATURES.items()
    if x.signal in (Signal.SPANS, Signal.EDGES)
    or (x.signal is Signal.METRICS and n.startswith("metric_"))
    or n == LOG_ERROR_RATE
)
"""Features of requests and calls, and of what fails in them: what users feel. Resources, and how much is logged, are not."""


def felt(anomaly: Anomaly) -> bool:
    """Whether an anomaly is about requests or calls, at least in part; one that does not say what it is about may be, and pooled
    evidence is gathered for nothing else."""
    return anomaly.pooled_s > 0 or not anomaly.contributions or any(c.feature in USERS for c in anomaly.contributions)


def slight(anomaly: Anomaly) -> bool:
    """Whether an anomaly is of nothing but requests or calls that take a little longer than expected: whether users mind is for what they suffer to
    say."""
    parts = [c for c in anomaly.contributions if c.feature in USERS]
    return bool(parts) and all(map(_slightly_late, parts)) and not anomaly.operation and not anomaly.pooled_s


def lasting(anomaly: Anomaly, now_ns: int) -> bool:
    """Whether an anomaly has been of nothing but late requests or calls for a while, of a whole service, whose single windows show it: whether
    users mind these windows say as well."""
    parts = [c for c in anomaly.contributions if c.feature in USERS]
    late = bool(parts) and all(FEATURES[c.feature].kind is FeatureKind.LATENCY for c in parts)
    return late and now_ns - anomaly.onset_ns >= LASTS_NS and not anomaly.operation and not anomaly.pooled_s


def _slightly_late(part: Contribution) -> bool:
    if part.value is None or FEATURES[part.feature].kind is not FeatureKind.LATENCY:
        return False
    return part.value <= SLIGHTLY * part.high


Distance = Callable[[str, str], int | None]
"""Hops between two services, None where too far."""


@dataclass(slots=True)
class Group:
    """Anomalies that belong together; `anomalies` by id, in order of arrival."""

    id: str
    onset_ns: int
    first: str
    anomalies: dict[str, Anomaly] = field(default_factory=dict)
    last_ns: int = 0

    @property
    def services(self) -> list[str]:
        """Services with an anomaly (an edge's anomaly counts for both ends), in order of arrival."""
        return list(dict.fromkeys(s for a in self.anomalies.values() for s in (a.service, a.peer) if s))

    @property
    def open(self) -> list[Anomaly]:
        """Anomalies that have not ended."""
        return [a for a in self.anomalies.values() if a.phase not in ENDED]

    @property
    def pooled(self) -> bool:
        """Whether detection has pooled evidence of one of them that is on: single windows can't show it, so its word is enough. Of a service of
        which single windows showed something they show as well when that is over, a minute before pooled ones do."""
        shown = {a.service for a in self.anomalies.values() if not a.pooled_s and not a.operation}
        return any(a.pooled_s > 0 and a.service not in shown for a in self.open)

    def add(self, anomaly: Anomaly) -> None:
        """Take an anomaly (or its newest phase) in."""
        self.anomalies[anomaly.id] = anomaly
        self.last_ns = max(self.last_ns, anomaly.time_ns)
        self.onset_ns, self.first = min((self.onset_ns, self.first), (anomaly.onset_ns, anomaly.service))


def incident_id(environment: str, onset_ns: int, first: str) -> str:
    """The same incident has the same id wherever and whenever it is computed."""
    digest = hashlib.sha256(f"{environment}\0{onset_ns}\0{first}".encode()).hexdigest()
    return f"inc-{onset_ns // SECOND}-{digest[:10]}"


def place(
    groups: Mapping[str, Group], anomaly: Anomaly, distance: Distance, hops: int, window_ns: int
) -> tuple[Group | None, list[Group]]:
    """The group an anomaly joins (None: it starts one) and the groups that this joins with it, oldest first."""
    known = [g for g in groups.values() if anomaly.id in g.anomalies]
    if known:
        return known[0], []
    near = [g for g in groups.values() if _near(g, anomaly, distance, hops, window_ns)]
    near.sort(key=lambda g: (g.onset_ns, g.id))
    return (near[0], near[1:]) if near else (None, [])


def _near(group: Group, anomaly: Anomaly, distance: Distance, hops: int, window_ns: int) -> bool:
    if abs(anomaly.onset_ns - group.onset_ns) > window_ns:
        return False
    mine = [s for s in (anomaly.service, anomaly.peer) if s]
    for name in group.services:
        for other in mine:
            hop = 0 if name == other else distance(name, other)
            if hop is not None and hop <= hops:
                return True
    return False
