"""Prometheus' remote write, 1.0 and 2.0, as OTLP metrics.

https://prometheus.io/docs/specs/prw/remote_write_spec/, https://prometheus.io/docs/specs/prw/remote_write_spec_2_0/

A sender cuts what it sends wherever a request is full, so the series of one histogram may come in two. Counters go on: what isn't whole
here is left out (and counted), and the next one that is tells it all: without its last bucket, or, at the head of a request, without
buckets that others of its name have. Types come from metadata where there are any, else from names
and labels as exposition formats have them.
"""

from __future__ import annotations

import math
import struct
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, Final

from google.protobuf.message import DecodeError
from opentelemetry.proto.metrics.v1.metrics_pb2 import AGGREGATION_TEMPORALITY_CUMULATIVE, MetricsData

from connectors.encodings.foreign_schemas import WriteRequest, WriteRequest2
from connectors.encodings.native_histograms import add_native
from connectors.encodings.series_labels import TARGET_INFO, attributes_of, resource_of, target_of
from connectors.encodings.span_builder import put
from connectors.otlp import wire
from connectors.otlp.reasons import (
    EMPTY,
    INVALID_FIELD,
    INVALID_PROTOBUF,
    SPLIT_HISTOGRAM,
    STALE_MARKER,
    TRUNCATED,
    WRONG_ENCODING,
    Skips,
    refuse,
)
from contracts.units import MILLISECOND

_COUNTER, _GAUGE, _HISTOGRAM, _SUMMARY = 1, 2, 3, 5
_STALE: Final = 0x7FF0000000000002
"""Bits of the NaN that marks the end of a series (Prometheus, model/value)."""
_INFINITY: Final = "+Inf"
_NAME, _LE, _QUANTILE = "__name__", "le", "quantile"
_OF_VERSION_1, _OF_VERSION_2 = {1, 3}, {4, 5}
"""Fields of the two versions' requests."""
_LARGEST: Final = (1 << 63) - 1


@dataclass(slots=True)
class RemoteSeries:
    """One series: its labels (without its name), its samples (ms, value, start in ms) and native histograms, and what metadata say."""

    name: str
    labels: dict[str, str]
    samples: list[tuple[int, float, int]]
    histograms: list[Any]
    kind: int = 0
    unit: str = ""
    start_ms: int = 0


@dataclass(slots=True)
class WriteStats:
    """What was in a request: samples and native histograms, as the answer to a sender of 2.0 tells them."""

    samples: int = 0
    histograms: int = 0
    added: int = 0
    """Samples that became part of another's point (buckets, sums, counts, quantiles)."""


@dataclass(slots=True)
class _Group:
    """The series of one classic histogram or summary at one time."""

    series: RemoteSeries
    parts: dict[str, float] = field(default_factory=dict)
    count: float | None = None
    sum: float | None = None
    start_ms: int = 0

    @property
    def size(self) -> int:
        """Samples in it."""
        return len(self.parts) + (self.count is not None) + (self.sum is not None)


def version_of(payload: bytes) -> int:
    """1 or 2.

    Raises:
        UndecodableTelemetry: it is neither.
    """
    try:
        numbers = {number for number, *_ in wire.fields(payload, 0, len(payload))}
    except wire.Malformed as e:
        raise refuse(
            TRUNCATED if e.truncated else INVALID_PROTOBUF, f"{len(payload)} bytes read as a write request"
        ) from e
    if not numbers:
        raise refuse(EMPTY)
    if numbers & _OF_VERSION_2:
        return 2
    if numbers & _OF_VERSION_1:
        return 1
    raise refuse(WRONG_ENCODING, f"fields {sorted(numbers)[:5]} are none of a write request")


def read(payload: bytes, skips: Skips) -> tuple[MetricsData, WriteStats]:
    """The metrics of a decompressed write request of either version; what can't be read is counted in `skips`.

    Raises:
        UndecodableTelemetry: it is no write request.
    """
    version = version_of(payload)
    try:
        message = (WriteRequest if version == 1 else WriteRequest2).FromString(payload)
    except DecodeError as e:
        raise refuse(INVALID_PROTOBUF, f"{len(payload)} bytes read as a write request of version {version}") from e
    series = list(_first_version(message, skips) if version == 1 else _second_version(message, skips))
    stats = WriteStats(sum(len(s.samples) for s in series), sum(len(s.histograms) for s in series))
    return _Translation(series, skips, stats).metrics(), stats


def _first_version(message: Any, skips: Skips) -> Iterator[RemoteSeries]:
    texts: dict[bytes, str] = {}
    told = {_text(m.metric_family_name, texts): (m.type, _text(m.unit, texts)) for m in message.metadata}
    for i, series in enumerate(message.timeseries):
        labels = {_text(x.name, texts): _text(x.value, texts) for x in series.labels}
        name = labels.pop(_NAME, "")
        if not name:
            skips.invalid(f"timeseries[{i}]", "a series without a name")
            skips.add(INVALID_FIELD, max(len(series.samples) + len(series.histograms) - 1, 0))
            continue
        kind, unit = next((told[n] for n in _family_names(name) if n in told), (0, ""))
        samples = [(s.timestamp, s.value, 0) for s in series.samples]
        yield RemoteSeries(name, labels, samples, list(series.histograms), kind, unit)


def _second_version(message: Any, skips: Skips) -> Iterator[RemoteSeries]:
    symbols = [s.decode("utf-8", "replace") for s in message.symbols]
    for i, series in enumerate(message.timeseries):
        refs = list(series.labels_refs)
        known = len(refs) % 2 == 0 and all(r < len(symbols) for r in refs)
        labels = {symbols[a]: symbols[b] for a, b in zip(refs[::2], refs[1::2], strict=True)} if known else {}
        name = labels.pop(_NAME, "")
        if not name:
            skips.invalid(f"timeseries[{i}].labels_refs", "not pairs of symbols, or a series without a name")
            skips.add(INVALID_FIELD, max(len(series.samples) + len(series.histograms) - 1, 0))
            continue
        unit = symbols[series.metadata.unit_ref] if series.metadata.unit_ref < len(symbols) else ""
        start = series.created_timestamp
        samples = [(s.timestamp, s.value, s.start_timestamp or start) for s in series.samples]
        yield RemoteSeries(name, labels, samples, list(series.histograms), series.metadata.type, unit, start)


def _text(raw: bytes, known: dict[bytes, str]) -> str:
    found = known.get(raw)
    if found is None:
        found = known[raw] = raw.decode("utf-8", "replace")
    return found


def _family_names(name: str) -> Iterator[str]:
    yield name
    for suffix in ("_bucket", "_count", "_sum", "_total"):
        if name.endswith(suffix):
            yield name.removesuffix(suffix)


class _Translation:
    """Makes metrics of the series of one request."""

    def __init__(self, series: list[RemoteSeries], skips: Skips, stats: WriteStats) -> None:
        self._series, self._skips, self._stats = series, skips, stats
        self._message = MetricsData()
        self._resources: dict[tuple[Any, ...], tuple[Any, dict[str, Any]]] = {}
        self._metrics: dict[tuple[Any, ...], Any] = {}
        self._info = {target_of(s.labels): s.labels for s in series if s.name == TARGET_INFO}
        self._families = _families(series)
        self._groups: dict[tuple[Any, ...], _Group] = {}

    def metrics(self) -> MetricsData:
        """All of them."""
        for series in self._series:
            base, part = self._part_of(series)
            if part:
                self._gather(series, base, part)
            else:
                for sample in series.samples:
                    self._number(series, *sample)
            for histogram in series.histograms:
                problem = add_native(self._metric, series, histogram)
                if problem:
                    self._skips.invalid(f"{series.name}.histograms", problem)
        self._emit_groups()
        return self._message

    def _part_of(self, series: RemoteSeries) -> tuple[str, str]:
        """The histogram or summary that a series is part of, and which part: bucket, quantile, count, sum; "" where it is of none."""
        name = series.name
        if name.endswith("_bucket") and _LE in series.labels:
            return name.removesuffix("_bucket"), "bucket"
        if _QUANTILE in series.labels and series.kind in (0, _SUMMARY):
            return name, "quantile"
        for suffix in ("_count", "_sum"):
            base = name.removesuffix(suffix)
            if base != name and self._families.get((target_of(series.labels), base)):
                return base, suffix[1:]
        return name, ""

    def _gather(self, series: RemoteSeries, base: str, part: str) -> None:
        place = {k: v for k, v in series.labels.items() if k not in (_LE, _QUANTILE)}
        labels = tuple(sorted(place.items()))
        for time_ms, value, start_ms in series.samples:
            if _is_stale(value):
                self._skips.add(STALE_MARKER)
                continue
            key = (base, labels, time_ms)
            group = self._groups.get(key)
            if group is None:
                whole = RemoteSeries(base, place, [], [], series.kind, series.unit)
                group = self._groups[key] = _Group(whole)
            group.start_ms = group.start_ms or start_ms
            if part == "count" and group.count is None:
                group.count = value
            elif part == "sum" and group.sum is None:
                group.sum = value
            elif (
                part in ("bucket", "quantile")
                and (at := _normal(series.labels[_LE if part == "bucket" else _QUANTILE])) not in group.parts
            ):
                group.parts[at] = value
            else:
                self._skips.invalid(series.name, "the same series twice at one time")

    def _emit_groups(self) -> None:
        bounds: dict[tuple[Any, str], set[str]] = defaultdict(set)
        for (base, _, _), group in self._groups.items():
            bounds[target_of(group.series.labels), base] |= group.parts.keys()
        first = True
        for (base, _, time_ms), group in self._groups.items():
            target = target_of(group.series.labels)
            cut = _INFINITY not in group.parts or (first and group.parts.keys() != bounds[target, base])
            first = False
            if self._families.get((target, base)) == _SUMMARY:
                self._summary(group, time_ms)
            elif cut:
                self._skips.add(SPLIT_HISTOGRAM, group.size)
            else:
                self._classic(group, time_ms)

    def _classic(self, group: _Group, time_ms: int) -> None:
        upto: list[tuple[float, float]] = []
        try:
            upto = sorted((float(le), value) for le, value in group.parts.items())
            counts = [round(b - a) for (_, a), (_, b) in zip([(0.0, 0.0), *upto], upto, strict=False)]
        except (ValueError, OverflowError):
            counts = [-1]
        if any(c < 0 for c in counts) or not 0 < time_ms * MILLISECOND <= _LARGEST:
            self._skips.invalid(f"{group.series.name}_bucket", "buckets that are no counts up to a bound, or no time")
            self._skips.add(INVALID_FIELD, group.size - 1)
            return
        self._stats.added += group.size - 1
        point = self._metric(group.series, "histogram").data_points.add(
            start_time_unix_nano=max(group.start_ms, 0) * MILLISECOND,
            time_unix_nano=time_ms * MILLISECOND,
            count=sum(counts),
            bucket_counts=counts,
            explicit_bounds=[le for le, _ in upto if math.isfinite(le)],
        )
        if group.sum is not None:
            point.sum = group.sum
        put(point.attributes, attributes_of(group.series.labels))

    def _summary(self, group: _Group, time_ms: int) -> None:
        if not 0 < time_ms * MILLISECOND <= _LARGEST or not (group.count is None or 0 <= group.count <= 2**63):
            self._skips.invalid(group.series.name, "a summary without a time, or whose count is none")
            self._skips.add(INVALID_FIELD, group.size - 1)
            return
        self._stats.added += group.size - 1
        point = self._metric(group.series, "summary").data_points.add(
            start_time_unix_nano=max(group.start_ms, 0) * MILLISECOND,
            time_unix_nano=time_ms * MILLISECOND,
            count=round(group.count or 0),
            sum=group.sum or 0.0,
        )
        for at, value in group.parts.items():
            try:
                point.quantile_values.add(quantile=float(at), value=value)
            except ValueError:
                self._skips.note(group.series.name, f"quantile {at!r} is no number")
        put(point.attributes, attributes_of(group.series.labels))

    def _number(self, series: RemoteSeries, time_ms: int, value: float, start_ms: int) -> None:
        if _is_stale(value):
            self._skips.add(STALE_MARKER)
            return
        if not 0 < time_ms * MILLISECOND <= _LARGEST:
            self._skips.invalid(series.name, f"timestamp {time_ms} is none")
            return
        counter = series.kind == _COUNTER or (series.kind == 0 and series.name.endswith("_total"))
        point = self._metric(series, "sum" if counter else "gauge").data_points.add(
            start_time_unix_nano=max(start_ms, 0) * MILLISECOND, time_unix_nano=time_ms * MILLISECOND, as_double=value
        )
        put(point.attributes, attributes_of(series.labels))

    def _metric(self, series: RemoteSeries, data: str) -> Any:
        """The data of a series' metric, of that kind."""
        labels = series.labels
        resource = resource_of(labels, self._info.get(target_of(labels), {}))
        place = (tuple(sorted(resource.items())), labels.get("otel_scope_name", ""))
        metrics, _ = self._resources.get(place, (None, None))
        if metrics is None:
            entry = self._message.resource_metrics.add()
            put(entry.resource.attributes, resource)
            scope = entry.scope_metrics.add()
            scope.scope.name = place[1]
            metrics = scope.metrics
            self._resources[place] = metrics, {}
        key = (place, series.name, data)
        found = self._metrics.get(key)
        if found is None:
            found = getattr(metrics.add(name=series.name, unit=series.unit), data)
            if data in ("sum", "histogram", "exponential_histogram"):
                found.aggregation_temporality = AGGREGATION_TEMPORALITY_CUMULATIVE
            if data == "sum":
                found.is_monotonic = True
            self._metrics[key] = found
        return found


def _families(series: Iterable[RemoteSeries]) -> dict[tuple[tuple[str, str], str], int]:
    """Histograms and summaries by target and name: those that metadata, buckets or quantiles tell, and whatever has a count and a sum."""
    found: dict[tuple[tuple[str, str], str], int] = {}
    ends: dict[tuple[tuple[str, str], str], set[str]] = defaultdict(set)
    for one in series:
        target = target_of(one.labels)
        if one.name.endswith("_bucket") and _LE in one.labels:
            found[target, one.name.removesuffix("_bucket")] = _HISTOGRAM
        elif _QUANTILE in one.labels and one.kind in (0, _SUMMARY):
            found.setdefault((target, one.name), _SUMMARY)
        for suffix in ("_count", "_sum"):
            base = one.name.removesuffix(suffix)
            if base != one.name:
                ends[target, base].add(suffix)
                if one.kind in (_HISTOGRAM, _SUMMARY):
                    found.setdefault((target, base), one.kind)
    for place, suffixes in ends.items():
        if len(suffixes) == 2:
            found.setdefault(place, _SUMMARY)
    return found


def _normal(bound: str) -> str:
    """A bound or quantile, each number in one way."""
    try:
        number = float(bound)
    except ValueError:
        return bound
    return _INFINITY if number == math.inf else repr(number)


def _is_stale(value: float) -> bool:
    return math.isnan(value) and struct.unpack("<Q", struct.pack("<d", value))[0] == _STALE
