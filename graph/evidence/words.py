"""Numbers as an operator reads them."""

from __future__ import annotations

import math

from contracts.features import FEATURES, FeatureKind
from graph.evidence.situation import Shift


def number(feature: str, value: float) -> str:
    """A value in its unit: `340 ms`, `12 %`, `3.4/s`."""
    if not math.isfinite(value):
        return "unknown"
    kind, unit = FEATURES[feature].kind, FEATURES[feature].unit
    if kind is FeatureKind.LATENCY:
        return f"{1000 * value:.3g} ms" if value < 1 else f"{value:.3g} s"
    if kind in (FeatureKind.RATIO, FeatureKind.UTILIZATION):
        return f"{100 * value:.3g} %"
    if unit == "By":
        return f"{value / 1048576:.3g} MiB"
    return f"{value:.3g}/s" if kind is FeatureKind.COUNT else f"{value:.3g}"


_NAMES = {
    "request_rate": "requests",
    "error_rate": "errors",
    "metric_error_rate": "errors",
    "cpu_utilization": "CPU",
    "cpu_cores": "CPU",
    "memory_utilization": "memory",
    "memory_bytes": "memory",
    "call_latency_p95": "call latency (p95)",
    "call_error_rate": "failed calls",
    "network_gap": "network time",
    "log_error_rate": "error logs",
    "log_rate": "log records",
}


def label(feature: str) -> str:
    """A feature's short name in prose."""
    if feature in _NAMES:
        return _NAMES[feature]
    if "latency_p" in feature:
        return f"latency (p{feature.rsplit('p', 1)[1]})"
    return feature.replace("_", " ")


def change(shift: Shift) -> str:
    """`latency (p95) 1.2 s instead of 230 ms (×5.2)`."""
    text = f"{label(shift.feature)} {number(shift.feature, shift.after)}"
    if not math.isfinite(shift.before):
        return f"{text}, never seen before"
    text += f" instead of {number(shift.feature, shift.before)}"
    ratio = shift.ratio
    return (
        f"{text} (×{ratio:.2g})" if 0 < ratio < 1000 and FEATURES[shift.feature].kind is not FeatureKind.RATIO else text
    )
