"""`telemetry.raw`: a service's own measurements as spans and points, so that one path serves all telemetry."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final

import msgspec
import numpy as np

from connectors.otlp import unknown
from connectors.otlp.identity import hash64, is_address
from connectors.otlp.metrics import LEVEL, feature_index, is_sensible, series_of
from connectors.otlp.reasons import (
    BEYOND_SENSE,
    INVALID_FIELD,
    NOT_FINITE,
    NOTHING_READ,
    UNKNOWN_FIELD,
    Skips,
    malformed_json,
    refuse,
)
from contracts import features as f
from contracts.events import RawMeasurement
from contracts.frames.decoded import F64, KIND_SERVER, U64, Decoded, PointBatch, Resource, SpanBatch
from contracts.units import SECOND

_DECODER: Final = msgspec.json.Decoder(RawMeasurement, strict=False)
_DEFAULT: Final = "default"
_MAX_NS: Final = (1 << 63) - 1
_GOLDEN: Final = 0x9E3779B97F4A7C15  # 2^64 / golden ratio: distinct well spread ids (Knuth, TAOCP 3, section 6.4)


def decode_raw(payload: bytes, default_environment: str = _DEFAULT) -> Decoded:
    """One measurement as spans (one per request, ending at its timestamp, with ids made from the payload) and points.

    A response without a latency counts with the median of the latencies there are; a latency without a response
    counts as a success.

    Raises:
        UndecodableTelemetry: not JSON of that shape.
    """
    measurement = _read(payload)
    if not measurement.service.strip() or is_address(measurement.service):
        raise refuse(INVALID_FIELD, f"service: {measurement.service!r} names no service")
    skips = Skips()
    time_ns = epoch_ns(measurement.timestamp)
    environment = measurement.environment if measurement.environment != _DEFAULT else default_environment
    skips.add(UNKNOWN_FIELD, unknown.listed_in_raw(payload))
    strings, spans = _spans(measurement, time_ns, payload, skips)
    decoded = Decoded(
        strings=strings,
        resources=(Resource(environment, measurement.service.strip(), measurement.version),),
        spans=spans,
        points=_points(measurement, environment, time_ns, skips),
        skipped=skips.as_dict(),
    )
    nothing = decoded.spans is None and decoded.points is None and decoded.skipped.keys() <= {UNKNOWN_FIELD}
    if nothing and (found := unknown.in_raw(payload)):
        raise refuse(NOTHING_READ, found)
    return decoded


def _read(payload: bytes) -> RawMeasurement:
    try:
        return _DECODER.decode(payload)
    except msgspec.ValidationError as e:
        raise refuse(INVALID_FIELD, str(e)) from e
    except (msgspec.MsgspecError, ValueError) as e:
        raise malformed_json(e) from e


def _spans(
    measurement: RawMeasurement, time_ns: int, payload: bytes, skips: Skips
) -> tuple[tuple[str, ...], SpanBatch | None]:
    latencies, kept = _finite(measurement.latencies_ms, skips)
    statuses = [r.status for i, r in enumerate(measurement.responses) if i >= len(kept) or kept[i]]
    n = max(len(latencies), len(statuses))
    if n == 0:
        return ("",), None
    middle = float(np.median(latencies)) if len(latencies) else 0.0
    millis = np.concatenate((latencies, np.full(n - len(latencies), middle)))
    duration = (np.minimum(millis, time_ns / 1e6) * 1e6).astype(np.int64)
    ids = _ids(payload, n)
    zeros = np.zeros(n, np.int32)
    return ("", "request"), SpanBatch(
        resource=zeros,
        trace=ids ^ np.uint64(_GOLDEN),
        span=ids,
        parent=np.zeros(n, np.uint64),
        kind=np.full(n, KIND_SERVER, np.int8),
        start_ns=time_ns - np.minimum(duration, time_ns - 1),
        end_ns=np.full(n, time_ns, np.int64),
        error=np.array([s >= 500 for s in statuses] + [False] * (n - len(statuses)), np.bool_),
        name=np.ones(n, np.int32),
        peer=zeros,
    )


def _finite(values: Sequence[float], skips: Skips) -> tuple[F64, list[bool]]:
    kept = [math.isfinite(v) and v >= 0 for v in values]
    skips.add(NOT_FINITE, kept.count(False))
    return np.array([v for v, ok in zip(values, kept, strict=True) if ok], np.float64), kept


def _ids(payload: bytes, n: int) -> U64:
    """Ids that the same payload gets again, so that a redelivered measurement is recognised."""
    base = hash64(payload.decode("utf-8", "replace")) | 1
    with np.errstate(over="ignore"):
        ids = np.uint64(base) + np.arange(n, dtype=np.uint64) * np.uint64(_GOLDEN)
    return np.where(ids == 0, np.uint64(_GOLDEN >> 1), ids).astype(np.uint64)


def _points(measurement: RawMeasurement, environment: str, time_ns: int, skips: Skips) -> PointBatch | None:
    given = (
        (f.CPU, measurement.cpu_percent, 1e-2),
        (f.MEMORY_BYTES, measurement.memory_mb, 1e6),
    )
    rows = []
    for name, value, factor in given:
        if value is None:
            continue
        if not math.isfinite(value * factor):
            skips.add(NOT_FINITE)
            continue
        if not is_sensible(name, value * factor):
            skips.add(BEYOND_SENSE)
            continue
        series = series_of(f"raw\x1f{environment}\x1f{measurement.service}\x1f{name}", {})
        rows.append((feature_index(name), series, value * factor))
    if not rows:
        return None
    feature, series_column, values = zip(*rows, strict=True)
    n = len(rows)
    return PointBatch(
        resource=np.zeros(n, np.int32),
        feature=np.array(feature, np.int32),
        series=np.array(series_column, np.uint64),
        mode=np.full(n, LEVEL, np.int8),
        start_ns=np.zeros(n, np.int64),
        time_ns=np.full(n, time_ns, np.int64),
        value=np.array(values, np.float64),
    )


def epoch_ns(timestamp: float | str) -> int:
    """Epoch nanoseconds of epoch seconds (or milli-, micro- or nanoseconds, told apart by size) or an ISO 8601 text."""
    try:
        number = float(timestamp)
    except ValueError:
        number = _iso_seconds(str(timestamp))
    if not math.isfinite(number) or number <= 0:
        raise refuse(INVALID_FIELD, f"timestamp: {timestamp!r} is not a time")
    scale = next((s for limit, s in ((1e11, SECOND), (1e14, 10**6), (1e17, 10**3)) if number < limit), 1)
    # A float of today's seconds is good for a quarter of a microsecond: more digits would move times across windows.
    time_ns = round(number * scale / 1000) * 1000
    if not 0 < time_ns <= _MAX_NS:
        raise refuse(INVALID_FIELD, f"timestamp: {timestamp!r} is out of range")
    return time_ns


def _iso_seconds(text: str) -> float:
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise refuse(INVALID_FIELD, f"timestamp: {text!r} is neither epoch seconds nor ISO 8601") from None
    return (found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp()
