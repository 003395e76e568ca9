"""Anomalies in words: what is wrong, by how much, and what was expected."""

from __future__ import annotations

from collections.abc import Sequence

from contracts.events import Contribution
from contracts.features import FEATURES, FeatureKind, Signal
from models.forecast import Forecast

NAMES = {
    "request_rate": "request rate",
    "error_rate": "error rate",
    "latency_p50": "median latency",
    "latency_p95": "p95 latency",
    "latency_p99": "p99 latency",
    "cpu_utilization": "CPU use",
    "memory_utilization": "memory use",
    "cpu_cores": "CPU cores used",
    "memory_bytes": "memory used",
    "queue_lag": "queue length",
    "pool_wait": "requests waiting for a connection",
    "pool_used": "connections in use",
    "in_flight": "requests in flight",
    "network_io": "network traffic",
    "call_rate": "calls",
    "network_gap": "time lost between services",
    "log_rate": "log records",
    "log_error_rate": "share of error logs",
    "new_log_templates": "new kinds of log records",
}
OURSELVES = "homeostat"
MOST = 3
"""Features named in one text."""


def describe(contributions: Sequence[Contribution], rising: bool = False) -> str:
    """One line such as `p95 latency 1.84 s, expected 0.04–0.09 s; error rate 12 %, expected 0–1 %`."""
    if not contributions:
        return "no reading alone is far from what is expected: many are somewhat, or repeat unchanged as from a source that is stuck"
    parts = [_part(c) for c in contributions[:MOST]]
    if rising:
        parts[0] += ", and rising"
    more = len(contributions) - MOST
    return "; ".join(parts) + (f"; and {more} more" if more > 0 else "")


def foreseen(forecasts: Sequence[Forecast], contributions: Sequence[Contribution]) -> str:
    """The text of an anomaly in which harm is foreseen, such as `memory use 52 %, expected 30–36 %, and rising: 90 % in 12–19 min;
    …`; empty where none is."""
    if not forecasts:
        return ""
    ahead = {f.feature: f for f in forecasts}
    parts = []
    for c in sorted(contributions, key=lambda c: c.feature not in ahead)[:MOST]:
        text = _part(c)
        if c.feature in ahead:
            f, feature = ahead[c.feature], FEATURES[c.feature]
            level = _quantity(f.hurts, feature.kind, feature.unit)
            text += f", and rising: {level} in {_minutes(f.soonest_s)}–{_minutes(f.latest_s)} min"
        parts.append(text)
    return "; ".join(parts)


def _minutes(seconds: float) -> str:
    return _number(round(seconds / 60.0, 1) if seconds < 300 else float(round(seconds / 60.0)))


def adopted(contributions: Sequence[Contribution], by: str) -> str:
    """The text of an adoption: the new levels, the ranges from before, and who took them for normal."""
    levels = "; ".join(_part(c, "until now") for c in contributions[:MOST]) or "what it does now"
    reason = f"taken for normal by {by}" if by != OURSELVES else "harms nobody and lasts: the new normal"
    return f"{levels}: {reason}"


def _part(c: Contribution, compared: str = "expected") -> str:
    feature = FEATURES[c.feature]
    name = NAMES.get(c.feature, c.feature.replace("_", " "))
    expected = f"{compared} {_range(c, feature.kind, feature.unit)}"
    span = f" over about {_number(c.window_s)} s" if c.window_s else ""
    if c.value is not None and c.value == 0 and feature.kind is FeatureKind.COUNT and feature.signal is Signal.SPANS:
        return f"no requests{span.replace(' over about', ' for')}, {expected}"
    value = "unknown" if c.value is None else _quantity(c.value, feature.kind, feature.unit)
    return f"{name} {value}{span}, {expected}"


def _range(c: Contribution, kind: FeatureKind, unit: str) -> str:
    if kind in {FeatureKind.RATIO, FeatureKind.UTILIZATION}:
        return f"{_number(100 * c.low)}–{_number(100 * c.high)} %"
    factor, short = _scale(c.high, unit)
    return f"{_number(c.low / factor)}–{_number(c.high / factor)}{short}"


def _quantity(value: float, kind: FeatureKind, unit: str) -> str:
    if kind in {FeatureKind.RATIO, FeatureKind.UTILIZATION}:
        return f"{_number(100 * value)} %"
    factor, short = _scale(value, unit)
    return f"{_number(value / factor)}{short}"


def _scale(value: float, unit: str) -> tuple[float, str]:
    """Factor and printed unit that make `value` a readable number."""
    if unit == "s":
        return (1.0, " s") if value >= 1 else (1e-3, " ms")
    if unit == "By":
        steps = ((1e9, " GB"), (1e6, " MB"), (1e3, " kB"))
        return next(((f, s) for f, s in steps if value >= f), (1.0, " B"))
    return 1.0, "/s" if unit == "1/s" else ""


def _number(x: float) -> str:
    if x == 0:
        return "0"
    return f"{x:.0f}" if abs(x) >= 100 else f"{x:.3g}"
