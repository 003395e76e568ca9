"""Small inputs after what happened to people who run such systems; they are kept beside the repository, and skipped where they aren't."""

from __future__ import annotations

import zlib
from pathlib import Path

import pytest

from connectors.otlp.conventions import Reading, standard
from connectors.otlp.decode import decode
from contracts.features import BY_SIGNAL, Signal
from contracts.frames.decoded import Decoded, HistogramBatch
from contracts.frames.latency import quantiles, requests_in
from contracts.topics import OTLP_METRICS, OTLP_SPANS

FIELD = Path(__file__).parents[5] / "shared" / "field" / "inputs"


def lines(name: str) -> list[bytes]:
    """The messages of an input, as far as its file goes."""
    path = next(FIELD.glob(f"{name}-*"), None)
    if path is None:
        pytest.skip(f"the field input {name} is not beside the repository")
    data = path.read_bytes()
    if path.suffix != ".gz":
        return [line for line in data.splitlines() if line.strip()]
    return zlib.decompressobj(31).decompress(data).split(b"\n")[:-1]


def read(name: str, topic: str = OTLP_METRICS) -> list[Decoded]:
    """The input, decoded."""
    return [decode(topic, line) for line in lines(name)]


def points(decoded: Decoded) -> list[tuple[str, str, float]]:
    """(service, feature, value) of each point."""
    p = decoded.points
    if p is None:
        return []
    features = BY_SIGNAL[Signal.METRICS]
    rows = zip(p.resource, p.feature, p.value, strict=True)
    return [(decoded.resources[r].service, features[f], float(v)) for r, f, v in rows]


def requests(decoded: Decoded) -> HistogramBatch:
    """Its histograms."""
    assert decoded.histograms is not None
    return decoded.histograms


def test_a_status_code_that_is_a_text_is_a_failure() -> None:
    (decoded,) = read("F02", OTLP_SPANS)
    assert decoded.spans is not None
    assert decoded.spans.error.tolist() == [True]


def test_a_bound_at_infinity_costs_no_request() -> None:
    for decoded in read("F07"):
        found = requests(decoded)
        assert requests_in(found.bucket, found.count) == 8
        assert decoded.skipped == {}


def test_milliseconds_spelt_out_are_milliseconds() -> None:
    (decoded,) = read("F08")
    rows = requests(decoded)
    assert rows.count.sum() == 8
    low, high = quantiles(rows.bucket, rows.count, (0.01, 0.99))
    assert 0.005 <= low <= high <= 0.01


def test_lag_is_the_queues() -> None:
    (decoded,) = read("F10")
    assert points(decoded) == [("messaging:kafka/orders", "queue_lag", 90_000.0)]
    assert ("messaging.consumer.group.name", "worker") in decoded.resources[0].attributes


def test_not_found_is_no_failure_of_the_server() -> None:
    (decoded,) = read("F18", OTLP_SPANS)
    assert decoded.spans is not None
    assert decoded.spans.error.tolist() == [False]


def test_cores_are_no_share() -> None:
    (decoded,) = read("F28")
    assert points(decoded) == []
    assert decoded.skipped == {"unmapped_unit": 1}


def test_spans_of_a_mesh_are_all_read() -> None:
    found = read("F30", OTLP_SPANS)
    assert found
    assert all(d.spans is not None and not d.skipped for d in found)


NAMES = {
    "http_server_request_duration_seconds": ("",),
    "http_server_requests_seconds": ("", "seconds"),
    "http.server.requests": ("ms", "milliseconds", "s"),
    "istio_request_duration_milliseconds": ("", "ms"),
    "container_cpu_usage_seconds_total": ("", "s"),
    "container_memory_working_set_bytes": ("", "By"),
    "k8s.pod.memory.working_set": ("By",),
    "kube_pod_container_status_restarts_total": ("",),
    "process_cpu_seconds_total": ("", "seconds"),
    "dotnet.process.cpu.time": ("s",),
    "dotnet.process.memory.working_set": ("By",),
    "go.memory.used": ("By",),
    "v8js.memory.heap.used": ("By",),
    "traces_service_graph_request_server_seconds": ("", "s"),
    "db.client.connections.usage": ("{connection}", "{connections}", "1", ""),
}


@pytest.mark.parametrize("name", NAMES)
def test_names_of_the_field(name: str) -> None:
    for unit in NAMES[name]:
        found = standard().read(name, unit)
        assert isinstance(found, Reading)
        assert found.rule.kind != "unused"


@pytest.mark.parametrize("family", ["dotnet.gc.collections", "v8js.gc.duration", "traces_service_graph_request_total"])
def test_families_of_the_field_are_known_as_a_whole(family: str) -> None:
    assert isinstance(standard().read(family, "{x}"), Reading)
