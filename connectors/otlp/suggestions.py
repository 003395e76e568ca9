"""What a metric that could not be read may be: the row of the nearest known name that its type and unit allow.

Names are compared as sets of words weighted by how rare each is among the known names (Spärck Jones, J. Documentation 28, 1972).
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterator
from functools import lru_cache
from typing import Final

import msgspec

from connectors.otlp.convention_table import MUST_NAME, MetricRule
from connectors.otlp.conventions import Conventions
from connectors.otlp.flatten import UnreadMetric
from connectors.otlp.metric_data import EXPONENTIAL, HISTOGRAM, SUMMARY
from connectors.otlp.reasons import UNMAPPED_UNIT

NEAR: Final = 0.25
"""Similarity from which on a known name is taken for what may be meant."""
_WORD: Final = re.compile(r"[A-Z]?[a-z0-9]+|[A-Z]+(?![a-z])")
_SAME: Final = {
    **dict.fromkeys(("waiter", "waiting", "pending", "queued"), "wait"),
    **dict.fromkeys(("backlog", "depth", "behind", "undelivered", "ready", "visible"), "lag"),
    **dict.fromkeys(("latency", "time", "elapsed", "took"), "duration"),
    **dict.fromkeys(("mem", "heap", "rss"), "memory"),
    **dict.fromkeys(("restarted", "restart", "crashe"), "restart"),
    **dict.fromkeys(("utilisation", "util", "load"), "utilization"),
}
"""Words that people use for what the table calls otherwise."""
_DURATIONS: Final = frozenset({HISTOGRAM, EXPONENTIAL, SUMMARY})
_MEANT_BY_NAME: Final = (
    *(("milliseconds", "ms"), ("millis", "ms"), ("ms", "ms"), ("seconds", "s"), ("secs", "s"), ("nanoseconds", "ns")),
    *(("nanos", "ns"), ("microseconds", "us"), ("percent", "%"), ("bytes", "By")),
)


class Suggestion(msgspec.Struct, frozen=True):
    """A row for the settings, and the known name that it is modelled on. `unit_meant`: the unit is what isn't known; the row then
    is empty, and the unit belongs under `conventions.units`."""

    like: str = ""
    row: dict[str, object] = {}
    unit_meant: bool = False


def suggest(metric: UnreadMetric, conventions: Conventions) -> Suggestion:
    """What may be meant by a metric; where nothing is near, that it feeds no feature."""
    if metric.reason == UNMAPPED_UNIT:
        rules = conventions.rules.get(metric.name, ())
        if metric.unit and not any(r.unit == MUST_NAME or r.scope for r in rules):
            return Suggestion(metric.name, unit_meant=True)
        row = _row(metric, rules[0], conventions) if rules else {}
        return Suggestion(metric.name, row)
    weights, known = _known(conventions)
    words = _words(metric.name)
    best, like = 0.0, ""
    for name, other in known.items():
        if not any(_allows(rule, metric, conventions) for rule in conventions.rules[name]):
            continue
        both = sum(weights[w] for w in words & other)
        near = both / max(sum(weights.get(w, _RARE) for w in words | other), 1e-9)
        if near > best:
            best, like = near, name
    if best >= NEAR:
        rule = next(r for r in conventions.rules[like] if _allows(r, metric, conventions))
        return Suggestion(like, _row(metric, rule, conventions))
    if metric.kind in _DURATIONS and _unit_of(metric, "time", conventions):
        return Suggestion("", _row(metric, MetricRule(kind="duration"), conventions))
    return Suggestion("", {"names": [metric.name], "kind": "unused"})


_RARE: Final = 6.0


@lru_cache(maxsize=8)
def _known(conventions: Conventions) -> tuple[dict[str, float], dict[str, frozenset[str]]]:
    """The weight of each word, and the words of each name that feeds a feature."""
    named = {n: _words(n) for n, rules in conventions.rules.items() if any(r.kind != "unused" for r in rules)}
    often = Counter(w for words in named.values() for w in words)
    return {w: math.log(1 + len(named) / n) for w, n in often.items()}, named


def _words(name: str) -> frozenset[str]:
    words = (w.lower().rstrip("s") for w in _WORD.findall(name))
    return frozenset(_SAME.get(w, w) for w in words) - {"total"}


def _allows(rule: MetricRule, metric: UnreadMetric, conventions: Conventions) -> bool:
    if rule.kind == "unused" or (rule.kind == "duration") != (metric.kind in _DURATIONS):
        return False
    return not metric.unit or conventions.factor(metric.unit, rule.measures) is not None


def _unit_of(metric: UnreadMetric, dimension: str, conventions: Conventions) -> str:
    """The unit that a metric says, else the one its name ends in; "" where neither says one of this dimension."""
    if metric.unit and conventions.factor(metric.unit, dimension) is not None:
        return metric.unit
    words = [w.lower() for w in _WORD.findall(metric.name)]
    named = (unit for word, unit in _MEANT_BY_NAME if word in words[-2:])
    return next((unit for unit in named if conventions.factor(unit, dimension) is not None), "")


def _row(metric: UnreadMetric, rule: MetricRule, conventions: Conventions) -> dict[str, object]:
    return {"names": [metric.name], **dict(_parts(metric, rule, conventions))}


def _parts(metric: UnreadMetric, rule: MetricRule, conventions: Conventions) -> Iterator[tuple[str, object]]:
    if rule.feature:
        yield "feature", rule.feature
    if rule.kind != "level":
        yield "kind", rule.kind
    unit = _unit_of(metric, rule.measures, conventions)
    if unit or rule.measures != "count":
        yield "unit", unit or MUST_NAME
    if rule.subject:
        yield "subject", rule.subject
    if rule.kind_required:
        yield "kind_required", True
