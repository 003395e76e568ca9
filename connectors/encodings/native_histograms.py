"""Prometheus' native histograms as OTLP's: exponential buckets, or such as the sender chose (schema −53).

https://prometheus.io/docs/specs/native_histograms/: bucket i ends at 2^(i · 2^−schema), OTLP's begins there, so indices differ by one.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from connectors.encodings.series_labels import attributes_of
from contracts.units import MILLISECOND

_CUSTOM: Final = -53
_SCHEMAS: Final = range(-4, 9)
_MOST_BUCKETS: Final = 8192
_LARGEST: Final = (1 << 63) - 1


def add_native(metric: Callable[[Any, str], Any], series: Any, histogram: Any) -> str:
    """Add a point to the metric (`metric(series, kind)` has it); what is wrong with it, or ""."""
    time_ns = histogram.timestamp * MILLISECOND
    if not 0 < time_ns <= _LARGEST:
        return f"timestamp {histogram.timestamp} is none"
    start_ns = max(histogram.start_timestamp or series.start_ms, 0) * MILLISECOND
    try:
        first, counts = _dense(histogram.positive_spans, histogram.positive_deltas, histogram.positive_counts)
        low, below = _dense(histogram.negative_spans, histogram.negative_deltas, histogram.negative_counts)
        if histogram.schema == _CUSTOM:
            given = _custom(histogram, first, counts)
            point = metric(series, "histogram").data_points.add(**given)
        elif histogram.schema in _SCHEMAS:
            zero = round(histogram.zero_count_int or histogram.zero_count_float)
            if zero < 0:
                return "a count below zero"
            point = metric(series, "exponential_histogram").data_points.add(scale=histogram.schema, zero_count=zero)
            point.count = zero + sum(counts) + sum(below)
            point.positive.offset, point.negative.offset = first - 1, low - 1
            point.positive.bucket_counts.extend(counts)
            point.negative.bucket_counts.extend(below)
        else:
            return f"schema {histogram.schema} is unknown"
    except (ValueError, OverflowError) as e:
        return str(e)
    point.time_unix_nano, point.start_time_unix_nano, point.sum = time_ns, start_ns, histogram.sum
    for key, value in attributes_of(series.labels).items():
        point.attributes.add(key=key).value.string_value = str(value)
    return ""


def _dense(spans: Any, deltas: Any, floats: Any) -> tuple[int, list[int]]:
    """Index of the first bucket, and the counts of all from there on. ValueError where spans and counts don't fit."""
    if not spans:
        if deltas or floats:
            raise ValueError("counts without spans of buckets")
        return 0, []
    length = sum(s.length for s in spans) + sum(max(s.offset, 0) for s in spans[1:])
    if length > _MOST_BUCKETS:
        raise ValueError(f"{length} buckets")
    if any(s.offset < 0 for s in spans[1:]):
        raise ValueError("spans of buckets overlap")
    wanted = sum(s.length for s in spans)
    if len(deltas or floats) != wanted:
        raise ValueError(f"{len(deltas or floats)} counts for {wanted} buckets")
    absolute, level = [round(c) for c in floats], 0
    if deltas:
        absolute = []
        for delta in deltas:
            level += delta
            absolute.append(level)
    if any(not 0 <= c <= _LARGEST for c in absolute):
        raise ValueError("a count below zero, or out of range")
    counts: list[int] = []
    taken = 0
    for i, span in enumerate(spans):
        counts += [0] * (span.offset if i else 0)
        counts += absolute[taken : taken + span.length]
        taken += span.length
    return spans[0].offset, counts


def _custom(histogram: Any, first: int, counts: list[int]) -> dict[str, Any]:
    bounds = list(histogram.custom_values)
    if first < 0 or first + len(counts) > len(bounds) + 1:
        raise ValueError(f"buckets {first} to {first + len(counts)} for {len(bounds)} bounds")
    whole = [0] * first + counts + [0] * (len(bounds) + 1 - first - len(counts))
    return {"explicit_bounds": bounds, "bucket_counts": whole, "count": sum(whole)}
