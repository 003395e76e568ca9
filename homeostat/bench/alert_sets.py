"""Alerts that a data set ships ready made, as findings: which channel speaks, and how exclusively of one service.

An alert that half of the services raise says little of any; what counts is how few raise the same one.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator
from typing import Final

from contracts.verdicts import CauseKind
from graph.evidence.finding import Finding
from homeostat.bench.cases import FailureCase, LabelledAlert

_METRICS: Final = (
    ("latency", ("p50", "p90", "p95", "p99", "latency", "duration", "rt"), CauseKind.LATENCY),
    ("errors", ("success", "error", "fail"), CauseKind.ERRORS),
    ("memory", ("mem", "rss", "cache", "heap"), CauseKind.LEAK),
    ("cpu", ("cpu", "threads"), CauseKind.LATENCY),
    ("network", ("net", "tcp", "packet"), CauseKind.NETWORK),
    ("demand", ("qps", "rps", "request"), None),
)
"""Channels of metrics by parts of their names, the first that fits."""
_OTHERS_VIEW: Final = "src_"
"""Prefix of what is measured of a service's calls to others."""
_SYMPTOMS: Final = frozenset({"latency", "errors"})
_EXCLUSIVE: Final = 0.5
_OTHERS_SHARE: Final = 0.5
_CALLER_SHARE: Final = 0.3
"""Power of how many raise an alert by which it counts less; what one about a service's calls to others counts, and a symptom of one who
calls others about whom there are alerts. Set on the half `tuned` of tv_gaia, tv_hotel, tv_sockshop."""


def channel_of(alert: LabelledAlert) -> tuple[str, CauseKind | None]:
    """The channel an alert speaks in, and the kind of fault it speaks for."""
    if alert.modality == "log":
        return "new_logs", CauseKind.ERRORS
    if alert.modality == "trace":
        return ("latency", CauseKind.LATENCY) if alert.detail == "PD" else ("errors", CauseKind.ERRORS)
    name = alert.name.lower()
    for channel, parts, kind in _METRICS:
        if any(p in name for p in parts):
            if channel == "demand" and alert.detail == "down":
                return "silence", CauseKind.CRASH
            return channel, kind
    return "log_shape", None


def findings_of(case: FailureCase) -> Iterator[Finding]:
    """What the alerts of a case say, one finding for each service and channel. Symptoms of a caller are its callees' for the most part,
    where calls to them raise alerts, too."""
    entities = set(case.entities)
    raised: dict[tuple[str, str, str], set[str]] = defaultdict(set)
    for alert in case.alerts:
        raised[alert.modality, alert.name, alert.detail].add(alert.entity)
    asks = {a.source: a.entity for a in case.alerts if a.modality == "trace" and a.source != a.entity}
    heard: dict[tuple[str, str, CauseKind | None], dict[LabelledAlert, float]] = defaultdict(dict)
    for alert in case.alerts:
        if alert.entity not in entities:
            continue
        channel, kind = channel_of(alert)
        weight = len(raised[alert.modality, alert.name, alert.detail]) ** -_EXCLUSIVE
        weight *= _OTHERS_SHARE if alert.name.startswith(_OTHERS_VIEW) else 1.0
        weight *= _CALLER_SHARE if channel in _SYMPTOMS and alert.entity in asks else 1.0
        heard[alert.entity, channel, kind][alert] = weight
    for (entity, channel, kind), alerts in sorted(heard.items(), key=lambda x: (x[0][0], x[0][1], str(x[0][2]))):
        best = max(alerts, key=lambda a: (alerts[a], a))
        text = f"{entity}: {best.name} {best.detail}".rstrip() + (
            f", and {len(alerts) - 1} more" if len(alerts) > 1 else ""
        )
        by = asks.get(entity, "") if channel in _SYMPTOMS else ""
        yield Finding(entity, channel, math.sqrt(sum(alerts.values())), text, kind, by)
