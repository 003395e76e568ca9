"""Prometheus' remote write, 1.0 and 2.0: every sample is read, part of a point, or left out and counted."""

from __future__ import annotations

import math
import struct
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.encodings.foreign_schemas import WriteRequest, WriteRequest2
from connectors.encodings.sources import Incoming, decode_as
from contracts.errors import UndecodableTelemetry
from contracts.features import BY_SIGNAL, CPU_CORES, MEMORY_BYTES, Signal
from contracts.frames import Decoded
from contracts.frames.decoded import HistogramBatch
from contracts.frames.latency import SUM_US, midpoint, placed, requests_in
from tests.unit.connectors.encodings import writes
from tests.unit.connectors.encodings.refusals import tried
from tests.unit.connectors.encodings.writes import T0_MS, TARGET, compressed, first, histogram, second

DURATION = "http_server_request_duration_seconds"
FEATURES = BY_SIGNAL[Signal.METRICS]
both = pytest.mark.parametrize("write", [first, second])
Write = Callable[..., bytes]


def read(payload: bytes) -> Decoded:
    """What a message is decoded to."""
    return decode_as("prometheus_remote_write", Incoming(payload))


def accounted(found: Decoded) -> int:
    """Samples that were read, became part of a point, or were left out."""
    rows = sum(len(b) for b in (found.points, found.histograms) if b is not None)
    return rows + found.added + sum(found.skipped.values())


def requests(batch: HistogramBatch | None) -> int:
    """Observations in all rows."""
    assert batch is not None
    return requests_in(batch.bucket, batch.count)


@both
def test_counters_and_levels(write: Write) -> None:
    series = [("process_cpu_seconds_total", TARGET, 12.5), ("process_resident_memory_bytes", TARGET, 3e8)]
    found = read(write(series))
    points = found.points
    assert points is not None
    assert [(FEATURES[f], m, v) for f, m, v in zip(points.feature, points.mode, points.value, strict=True)] == [
        (CPU_CORES, 1, 12.5),
        (MEMORY_BYTES, 0, 3e8),
    ]
    assert points.time_ns.tolist() == [T0_MS * 10**6] * 2
    assert (found.resources[0].service, found.resources[0].instance) == ("shop/cart", "cart-0:8080")
    assert accounted(found) == 2


@both
def test_classic_histograms(write: Write) -> None:
    found = read(write(histogram(DURATION, [4, 7, 9, 10], {**TARGET, "http_response_status_code": "503"})))
    histograms = found.histograms
    assert histograms is not None
    assert requests(histograms) == 10
    assert histograms.error.tolist() == [True]
    assert histograms.mode.tolist() == [1]
    assert accounted(found) == 6
    assert np.all(midpoint(placed(histograms.bucket, histograms.count)[0]) <= 1.01)


def test_a_histogram_that_is_cut_off_is_left_out_and_the_next_whole_one_tells_it() -> None:
    whole = histogram(DURATION, [4, 7, 9, 10])
    other = histogram(DURATION, [1, 1, 1, 2], {**TARGET, "http_route": "/b"})
    head, tail = read(first(whole[:2])), read(first([*whole[2:], *other]))
    assert head.skipped == {"split_histogram": 2}
    assert tail.skipped == {"split_histogram": 4}
    assert requests(tail.histograms) == 2
    assert accounted(head) + accounted(tail) == len(whole) + len(other)


def test_a_count_apart_from_its_buckets_is_no_summary_where_metadata_say_so() -> None:
    ends = histogram(DURATION, [4, 7, 9, 10])[4:]
    found = read(second(ends, kind=3))
    assert found.skipped == {"split_histogram": 2}
    assert found.histograms is None


@both
def test_summaries(write: Write) -> None:
    name = "http_server_requests_seconds"
    quantiles = [(name, {**TARGET, "quantile": q}, v) for q, v in (("0.5", 0.02), ("0.95", 0.5))]
    found = read(write([*quantiles, (f"{name}_sum", TARGET, 4.0), (f"{name}_count", TARGET, 100)]))
    assert requests(found.histograms) == 100
    assert accounted(found) == 4


def test_a_count_and_a_sum_are_a_summary_without_quantiles() -> None:
    name = "http_server_requests_seconds"
    found = read(first([(f"{name}_sum", TARGET, 4.0), (f"{name}_count", TARGET, 100)]))
    assert requests(found.histograms) == 100
    assert accounted(found) == 2


def native(**fields: Any) -> bytes:
    """A request of 2.0 with one native histogram."""
    request = WriteRequest2()
    labels = {"__name__": DURATION, **TARGET}
    symbols = ["", *(x for pair in labels.items() for x in pair)]
    request.symbols.extend(s.encode() for s in symbols)
    one = request.timeseries.add(labels_refs=list(range(1, len(symbols))))
    histogram = one.histograms.add(timestamp=T0_MS, **{k: v for k, v in fields.items() if k != "spans"})
    for offset, length in fields.get("spans", ()):
        histogram.positive_spans.add(offset=offset, length=length)
    return compressed(request)


def test_native_histograms() -> None:
    # Schema 0: bucket i ends at 2^i. Buckets -3 (to 125 ms) and 0 (0.5 to 1 s), and two observations of nothing.
    found = read(native(schema=0, zero_count_int=2, count_int=10, spans=[(-3, 1), (2, 1)], positive_deltas=[5, -2]))
    histograms = found.histograms
    assert histograms is not None
    assert requests(histograms) == 10
    seconds = dict(zip(midpoint(histograms.bucket).round(2).tolist(), histograms.count.tolist(), strict=True))
    assert sum(n for s, n in seconds.items() if 0.0625 <= s <= 0.125) == 5
    assert sum(n for s, n in seconds.items() if 0.5 <= s <= 1.0) == 3


def test_native_histograms_with_buckets_of_the_senders_choice_are_as_the_classic_ones() -> None:
    found = read(native(schema=-53, custom_values=[0.1, 0.5, 1.0], spans=[(0, 4)], positive_deltas=[4, -1, -1, -1]))
    classic = read(first(histogram(DURATION, [4, 7, 9, 10])))
    assert found.histograms is not None
    assert classic.histograms is not None
    told = classic.histograms.bucket != SUM_US
    assert found.histograms.bucket.tolist() == classic.histograms.bucket[told].tolist()
    assert found.histograms.count.tolist() == classic.histograms.count[told].tolist()


@pytest.mark.parametrize(
    "fields",
    [
        {"schema": 20, "spans": [(0, 1)], "positive_deltas": [1]},
        {"schema": 0, "spans": [(0, 4_000_000_000)], "positive_deltas": [1]},
        {"schema": 0, "spans": [(0, 2)], "positive_deltas": [1]},
        {"schema": 0, "spans": [(0, 2)], "positive_deltas": [1, -5]},
        {"schema": 0, "positive_deltas": [1]},
        {"schema": 0, "spans": [(0, 1), (-7, 1)], "positive_deltas": [1, 1]},
        {"schema": -53, "custom_values": [0.1], "spans": [(0, 4)], "positive_deltas": [4, -1, -1, -1]},
    ],
)
def test_native_histograms_that_are_none_are_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(UndecodableTelemetry) as refused:
        read(native(**fields))
    assert refused.value.reason == "invalid_field"


@both
def test_target_info_says_more_of_the_sender(write: Write) -> None:
    info = ("target_info", {**TARGET, "k8s_pod_name": "cart-abc", "deployment_environment_name": "prod"}, 1.0)
    found = read(write([("process_cpu_seconds_total", TARGET, 1.0), info]))
    assert found.resources[0].environment == "prod"
    assert ("k8s.pod.name", "cart-abc") in found.resources[0].attributes


@pytest.mark.parametrize(
    ("labels", "service"),
    [
        ({"job": "cart"}, "cart"),
        ({"job": "shop/cart"}, "shop/cart"),
        ({"job": "kubernetes-pods", "app": "cart", "namespace": "shop"}, "shop/cart"),
        ({"job": "kubernetes-service-endpoints", "service": "cart"}, "cart"),
        ({"job": "podMonitor/shop/cart", "namespace": "shop", "container": "cart"}, "shop/cart"),
        ({"job": "cart", "namespace": "shop", "pod": "cart-0"}, "shop/cart"),
        ({"service_name": "cart"}, "cart"),
        ({"job": "collector", "service_name": "cart"}, "cart"),
    ],
)
def test_who_a_series_is_of(labels: dict[str, str], service: str) -> None:
    found = read(first([("process_cpu_seconds_total", labels, 1.0)]))
    assert found.resources[0].service == service


def test_exporters_tell_of_others() -> None:
    labels = {"job": "kubelet", "namespace": "shop", "pod": "cart-7d9c5b6f4-x2x4z", "container": "cart"}
    found = read(first([("container_memory_working_set_bytes", labels, 1e8)]))
    assert found.points is not None
    assert found.resources[found.points.resource[0]].service == "shop/cart"


def test_a_sender_that_ends_says_so_and_that_is_no_value() -> None:
    stale = struct.unpack("<d", struct.pack("<Q", 0x7FF0000000000002))[0]
    found = read(first([("process_cpu_seconds_total", TARGET, stale)]))
    assert found.skipped == {"stale_marker": 1}
    assert read(first([("process_cpu_seconds_total", TARGET, math.nan)])).skipped == {"not_finite": 1}


def test_metadata_alone_and_nothing_at_all() -> None:
    assert read(first([], metadata=[("http_requests", 1, "")])).is_empty
    with pytest.raises(UndecodableTelemetry) as refused:
        read(first([]))
    assert refused.value.reason == "empty"


def test_metadata_say_what_a_name_does_not() -> None:
    found = read(first([("http_server_request_duration_count", TARGET, 5.0)], metadata=[("x", 1, "")]))
    assert accounted(found) == 1


def test_uncompressed_requests_are_read_from_kafka() -> None:
    request = WriteRequest()
    one = request.timeseries.add()
    one.labels.add(name=b"__name__", value=b"process_cpu_seconds_total")
    one.samples.add(value=1.0, timestamp=T0_MS)
    assert read(request.SerializeToString()).points is not None


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        (b"", "empty"),
        (b"text", "invalid_protobuf"),
        (b"\xff\xff\xff\xff\x0f\x00", "too_large"),
        (compressed(WriteRequest(metadata=[])) + b"x", None),
        (b"\x0a\xff", "truncated"),
    ],
)
def test_what_is_no_request_is_refused(payload: bytes, reason: str | None) -> None:
    with pytest.raises(UndecodableTelemetry) as refused:
        read(payload)
    assert reason is None or refused.value.reason == reason


names = st.sampled_from(
    ["a", "a_bucket", "a_count", "a_sum", "a_total", DURATION, f"{DURATION}_bucket", "", "target_info"]
)
labels = st.dictionaries(st.sampled_from(["le", "quantile", "job", "instance", "namespace", "x"]), st.text(max_size=4))
values = st.floats() | st.integers(0, 1 << 62).map(float)
series = st.lists(st.tuples(names, labels, values), max_size=8)


@given(series, st.integers(-(2**62), 2**62) | st.just(T0_MS), st.sampled_from(["first", "second"]))
def test_every_sample_is_read_or_counted(given_series: list[writes.Series], time_ms: int, version: str) -> None:
    payload = getattr(writes, version)(given_series, time_ms)
    found = tried(lambda: read(payload))
    if isinstance(found, str):
        assert found in {"empty", "invalid_field"}
        return
    assert accounted(found) == len(given_series)


@given(st.binary(max_size=200))
def test_any_bytes_are_a_request_or_refused(payload: bytes) -> None:
    for one in (payload, compressed(WriteRequest()) + payload):
        assert tried(lambda one=one: read(one))  # type: ignore[misc]
