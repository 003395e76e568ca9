"""Alerts that a data set ships ready made, as findings: which channel speaks, and how exclusively of one service.

An alert that half of the services raise says little of any; what counts is how few raise the same one, and how seldom a service does. What
is measured of one thing under several names (a share and a total, core by core) is one reason.
"""

from __future__ import annotations

import math
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple

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
_USED: Final = frozenset({"memory", "cpu", "network", "log_shape"})
"""Channels of what is used; what no name is known of speaks in the last."""
_GOOD: Final = "success"
_MANNERS: Final = frozenset(
    {
        "pct",
        "percent",
        "ratio",
        "norm",
        "total",
        "stats",
        "summary",
        "rate",
        "bytes",
        "usage",
        "used",
        "avg",
        "mean",
        "max",
        "min",
        "p50",
        "p90",
        "p95",
        "p99",
    }
)
"""Words of a metric's name that say how it was summed up, not what of."""
_WORDS: Final = re.compile(r"[^a-zA-Z0-9]+")
_NUMBER: Final = re.compile(r"\d+")
_EXCLUSIVE: Final = 0.5
_UNUSUAL: Final = 2.0
_OTHERS_SHARE: Final = 0.5
_CALLER_SHARE: Final = 0.3
_LESS_SHARE: Final = 0.3
"""Powers of how many raise an alert by which it counts less, and of how unusual it is of who raises it; what one about a service's calls to
others counts, a symptom of one who calls others about whom there are alerts, and one that less is used than before. Set on the half `tuned` of tv_gaia,
tv_hotel, tv_sockshop."""


class AlertKey(NamedTuple):
    """What alerts of one matter have in common."""

    modality: str
    matter: str
    detail: str


def matter_of(alert: LabelledAlert) -> AlertKey:
    """What an alert is about: of a metric, what is measured, however it was summed up, whichever of several it was."""
    if alert.modality != "metric":
        return AlertKey(alert.modality, alert.name, alert.detail)
    words = [_NUMBER.sub("#", w) if w not in _MANNERS else "" for w in _WORDS.split(alert.name.lower())]
    return AlertKey("metric", "_".join(w for w in words if w not in ("", "#")) or alert.name, alert.detail)


class AlertHistory:
    """How often each service raised what, over cases of one system; who was to blame in them is not asked."""

    def __init__(self, known: Iterable[FailureCase] = ()) -> None:
        self._cases: set[str] = set()
        self._raised: Counter[tuple[str, AlertKey]] = Counter()
        self._seen: Counter[tuple[str, AlertKey]] = Counter()
        for case in known:
            self._cases.add(case.id)
            matters = {(a, matter_of(a)) for a in case.alerts}
            self._raised.update({(a.entity, m) for a, m in matters})
            self._seen.update({(a.source, m) for a, m in matters if a.source != a.entity})

    def unusual(self, case: FailureCase, entity: str, matter: AlertKey, caller: bool = False) -> float:
        """How much it says that a service raises this (`caller`: that its calls do) in a case, by the other cases: 1 where it never did or
        nothing is known, 0 where it always does. In units of what is never seen (inverse document frequency, Spärck Jones 1972)."""
        mine = case.id in self._cases
        times = max(0, (self._seen if caller else self._raised)[entity, matter] - mine)
        others = len(self._cases) - mine
        return max(0.0, -math.log((times + 0.5) / (others + 1)) / math.log(2 * (others + 1)))


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


def findings_of(case: FailureCase, history: AlertHistory | None = None) -> Iterator[Finding]:
    """What the alerts of a case say, one finding for each service and channel. Symptoms of a caller are its callees' for the most part,
    where calls to them raise alerts, too."""
    entities, history = set(case.entities), history or AlertHistory()
    raised: dict[AlertKey, set[str]] = defaultdict(set)
    for alert in case.alerts:
        raised[matter_of(alert)].add(alert.entity)
    asks = {a.source: a.entity for a in case.alerts if a.modality == "trace" and a.source != a.entity}
    heard: dict[tuple[str, str, CauseKind | None], dict[AlertKey, tuple[float, LabelledAlert]]] = defaultdict(dict)
    for alert in case.alerts:
        if alert.entity not in entities:
            continue
        (channel, kind), matter = channel_of(alert), matter_of(alert)
        weight = len(raised[matter]) ** -_EXCLUSIVE
        weight *= history.unusual(case, alert.entity, matter) ** _UNUSUAL * _direction(alert, channel)
        weight *= _OTHERS_SHARE if alert.name.startswith(_OTHERS_VIEW) else 1.0
        weight *= _CALLER_SHARE if channel in _SYMPTOMS and alert.entity in asks else 1.0
        mine = heard[alert.entity, channel, kind]
        mine[matter] = max((weight, alert), mine.get(matter, (0.0, alert)))
    for (entity, channel, kind), said in sorted(heard.items(), key=lambda x: (x[0][0], x[0][1], str(x[0][2]))):
        _, best = max(said.values())
        text = f"{entity}: {best.name} {best.detail}".rstrip() + (
            f", and {len(said) - 1} more" if len(said) > 1 else ""
        )
        by = asks.get(entity, "") if channel in _SYMPTOMS else ""
        yield Finding(entity, channel, math.sqrt(sum(w for w, _ in said.values())), text, kind, by)


def _direction(alert: LabelledAlert, channel: str) -> float:
    """What an alert counts by its direction: less used than before, or served better, follows from trouble elsewhere for the most part."""
    if alert.modality != "metric" or alert.detail not in ("up", "down"):
        return 1.0
    served_better = channel in _SYMPTOMS and (alert.detail == "up") == (_GOOD in alert.name.lower())
    return _LESS_SHARE if served_better or (channel in _USED and alert.detail == "down") else 1.0
