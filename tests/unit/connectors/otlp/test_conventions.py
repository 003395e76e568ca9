"""The table of conventions: names of many makers, units in all ways to write them, and rows of one's own."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connectors.otlp.convention_table import MUST_NAME, MetricRow, MetricRule
from connectors.otlp.conventions import Conventions, Reading, conventions_of, standard
from connectors.otlp.decode import decode
from connectors.otlp.metrics import SENSE
from contracts.errors import InvalidSettings, UnknownName
from contracts.features import BY_SIGNAL, FEATURES, FeatureKind, Signal
from contracts.frames.decoded import Decoded
from contracts.frames.latency import BASE, BUCKETS, GAMMA, quantiles
from contracts.settings import ConventionSettings, Settings
from contracts.topics import OTLP_METRICS
from tests.unit.connectors.otlp.builders import T0, as_json, fill, histogram, metrics

TABLE = standard()
NAMES = BY_SIGNAL[Signal.METRICS]
SHOP = {"service.name": "shop"}

# What each unit really is, from UCUM (https://ucum.org/ucum) and the words' meaning: not from the table.
TIME = {
    **dict.fromkeys(("s", "sec", "seconds", "Seconds"), 1.0),
    **dict.fromkeys(("ms", "millis", "milliseconds", "Milliseconds", "MILLISECONDS"), 1e-3),
    **dict.fromkeys(("us", "µs", "μs", "microseconds"), 1e-6),
    **dict.fromkeys(("ns", "nanoseconds", "nanos"), 1e-9),
    **dict.fromkeys(("min", "minutes"), 60.0),
    **dict.fromkeys(("h", "hours"), 3600.0),
    "d": 86400.0,
    "cs": 0.01,
    "s{cpu}": 1.0,
}
SHARE = {"1": 1.0, "ratio": 1.0, "%": 0.01, "percent": 0.01, "Percent": 0.01}
CORES = {"1": 1.0, "{cpu}": 1.0, "cores": 1.0, "m{cpu}": 1e-3, "millicores": 1e-3, "n{cpu}": 1e-9, "nanocores": 1e-9}
BYTES = {
    "By": 1.0,
    "bytes": 1.0,
    "B": 1.0,
    "kBy": 1e3,
    "KiBy": 1024.0,
    "MiBy": 2.0**20,
    "MB": 1e6,
    "MBy": 1e6,
    "GiB": 2.0**30,
    "GBy": 1e9,
}
COUNT = {"1": 1.0, "{message}": 1.0, "{connection}": 1.0, "messages": 1.0, "{}": 1.0}
REAL = {
    "time": TIME,
    "share": SHARE,
    "cores": CORES,
    "bytes": BYTES,
    "count": COUNT,
    "share of a core": {"1": 0.01, "%": 0.01, "percent": 0.01, "Percent": 0.01},
}
EVERY = sorted(
    {unit for units in REAL.values() for unit in units}
    | {"furlong", "Cel", "By/s", "Mo", "MS", "m", "bar", "{x}/s", "kbyt"}
)
KINDS = ("gauge", "sum", "histogram", "summary")
COUNTING = ("unused", "requests", "failures")
"""Kinds of rules that make no figure of a point: they count, if anything."""
ROWS = sorted(
    (name, i)
    for name, rules in TABLE.rules.items()
    for i, rule in enumerate(rules)
    if rule.kind not in COUNTING and not rule.calls_only
)
LABELS = {
    "container": {"namespace": "shop", "pod": "cart-7d9f8b6c5d-x2x4z", "container": "cart"},
    "pod": {"namespace": "shop", "pod": "cart-7d9f8b6c5d-x2x4z"},
    "callee": {"client": "web", "server": "cart"},
    "destination": {"destination_workload": "cart", "destination_workload_namespace": "shop"},
}


def labels_of(rule: MetricRule) -> dict[str, str]:
    """Attributes with which a rule takes a point."""
    found = dict(LABELS.get(rule.subject, {}))
    for match in (rule.only, rule.served):
        if match is not None:
            found[match.keys[0]] = match.values[0].rstrip("*")
    return found | ({"span.kind": "SPAN_KIND_SERVER"} if rule.kind_required else {})


def message(
    name: str, kind: str, value: float, unit: str = "", labels: dict[str, Any] | None = None, scope: str = "test"
) -> Any:
    """One point of `value`, as a gauge, a sum, a histogram around it, or a summary."""
    found, inside = metrics(SHOP)
    inside.scope.name = scope
    if kind == "histogram":
        point = histogram(inside, name, [0, 8, 0], [value * 0.99, value * 1.01], unit=unit)
    else:
        metric = inside.metrics.add(name=name, unit=unit)
        data = getattr(metric, kind)
        if kind == "sum":
            data.aggregation_temporality, data.is_monotonic = 2, True
        point = data.data_points.add(time_unix_nano=T0, start_time_unix_nano=T0 - 10**9)
        if kind == "summary":
            point.count = 8
            for quantile in (0.5, 0.99):
                point.quantile_values.add(quantile=quantile, value=value)
        else:
            point.as_double = value
    fill(point, labels or {})
    return found


def figure(decoded: Decoded) -> float | None:
    """The one figure in it, in its feature's unit: a point's value, or the median of a histogram."""
    if decoded.points is not None:
        (value,) = decoded.points.value
        return float(value)
    if decoded.histograms is not None:
        return float(quantiles(decoded.histograms.bucket, decoded.histograms.count, (0.5,))[0])
    return None


def wanted(name: str, unit: str, scope: str) -> float | None:
    """The factor that a metric has in truth; None where nobody can know."""
    for rule in TABLE.rules[name]:
        if rule.scope not in scope or (rule.only_units and unit not in rule.only_units) or not fits(name, unit, rule):
            continue
        said = unit or (rule.unit if rule.unit != MUST_NAME else "")
        if not said and rule.unit == MUST_NAME:
            continue
        braces = rule.measures == "count" and said[:1] == "{" and said[-1:] == "}"
        real = REAL[rule.measures].get(said, 1.0 if braces else None)
        if not said or real is not None:
            return 1.0 if real is None else real
    return None


@pytest.mark.parametrize("unit", ["", *EVERY])
def test_no_row_is_wrong_by_a_unit(unit: str) -> None:
    for name, i in ROWS:
        scope = TABLE.rules[name][i].scope or "test"
        found = TABLE.read(name, unit, scope)
        factor = found.factor if isinstance(found, Reading) else None
        assert factor == pytest.approx(wanted(name, unit, scope)), (name, unit)


@given(st.sampled_from(ROWS), st.sampled_from(["", *EVERY]), st.sampled_from(KINDS), st.booleans())
@settings(max_examples=600)
def test_no_figure_is_wrong_by_a_unit(row: tuple[str, int], unit: str, kind: str, in_json: bool) -> None:
    name, i = row
    rule = TABLE.rules[name][i]
    scope = rule.scope or "test"
    sent = message(name, kind, 0.5, unit, labels_of(rule), scope)
    decoded = decode(OTLP_METRICS, as_json(sent) if in_json else sent.SerializeToString())
    read, factor = figure(decoded), wanted(name, unit, scope)
    if factor is None or (kind in ("histogram", "summary")) != (rule.kind == "duration"):
        assert read is None
    else:
        expected = 1 - 0.5 * factor if rule.complement else 0.5 * factor
        if rule.kind == "duration":  # what is beyond the grid is at its ends
            expected = min(max(expected, BASE), BASE * GAMMA**BUCKETS)
        assert read == pytest.approx(expected, rel=0.03)


def fits(name: str, unit: str, rule: MetricRule) -> bool:
    """Whether a unit is not in contradiction to what a name says of it."""
    if not unit or rule.measures == "share of a core":
        return True
    words = {
        "_seconds": 1.0,
        "_milliseconds": 1e-3,
        "_microseconds": 1e-6,
        "_nanoseconds": 1e-9,
        "_percent": 0.01,
        "_ratio": 1.0,
    }
    stem = name.removesuffix("_total")
    said = max((w for w in words if stem.endswith(w)), key=len, default="")
    if "." not in name and stem.endswith("_bytes") and rule.measures == "bytes":
        return REAL["bytes"].get(unit) == 1.0
    return not said or "." in name or REAL[rule.measures].get(unit) == words[said]


@pytest.mark.parametrize("unit", ["furlong", "MS", "m", "Mo", "By/s", "{x}/s", "Cel", "ticks", "jiffies", "?"])
@pytest.mark.parametrize(
    "name", ["http.server.duration", "process.cpu.time", "process.memory.usage", "process.cpu.utilization"]
)
def test_a_unit_that_nobody_knows_maps_nothing(name: str, unit: str) -> None:
    assert TABLE.read(name, unit) == "unit"


@pytest.mark.parametrize(
    ("name", "unit"),
    [
        ("http_server_duration_milliseconds", "s"),
        ("process_resident_memory_bytes", "MBy"),
        ("process_cpu_seconds_total", "ms"),
    ],
)
def test_a_unit_that_contradicts_the_name_maps_nothing(name: str, unit: str) -> None:
    assert TABLE.read(name, unit) == "unit"
    assert isinstance(TABLE.read(name), Reading)


KNOWN = [
    # the field's, and more of the kind
    *(("http_server_request_duration_seconds", "duration", 1.0), ("http_server_requests_seconds", "duration", 1.0)),
    *(
        ("istio_request_duration_milliseconds", "duration", 1e-3),
        ("container_cpu_usage_seconds_total", "cpu_cores", 1.0),
    ),
    *(("container_memory_working_set_bytes", "memory_bytes", 1.0), ("k8s.pod.memory.working_set", "memory_bytes", 1.0)),
    *(("kube_pod_container_status_restarts_total", "restarts", 1.0), ("process_cpu_seconds_total", "cpu_cores", 1.0)),
    *(("dotnet.process.cpu.time", "cpu_cores", 1.0), ("dotnet.process.memory.working_set", "memory_bytes", 1.0)),
    *(("go.memory.used", "memory_bytes", 1.0), ("v8js.memory.heap.used", "memory_bytes", 1.0)),
    *(
        ("traces_service_graph_request_server_seconds", "duration", 1.0),
        ("db.client.connections.usage", "pool_used", 1.0),
    ),
    *(("db_client_connections_usage", "pool_used", 1.0), ("db.client.connection.count", "pool_used", 1.0)),
    *(("hikaricp_connections_active", "pool_used", 1.0), ("hikaricp_connections_pending", "pool_wait", 1.0)),
    *(("jvm_memory_used_bytes", "memory_bytes", 1.0), ("process_cpu_usage", "cpu_utilization", 1.0)),
    *(("dotnet_process_cpu_time_seconds_total", "cpu_cores", 1.0), ("go_memory_used_bytes", "memory_bytes", 1.0)),
    *(("v8js_memory_heap_used_bytes", "memory_bytes", 1.0), ("k8s_pod_memory_working_set_bytes", "memory_bytes", 1.0)),
    *(("http_server_duration_milliseconds", "duration", 1e-3), ("rpc_server_duration_milliseconds", "duration", 1e-3)),
    *(("traces_span_metrics_duration_milliseconds", "duration", 1e-3), ("traces_spanmetrics_latency", "duration", 1.0)),
    *(("grpc_server_handling_seconds", "duration", 1.0), ("grpc.server.call.duration", "duration", 1.0)),
    *(("http_request_duration_seconds", "duration", 1.0), ("response_latency_ms", "duration", 1e-3)),
    *(("envoy_http_downstream_rq_time", "duration", 1e-3), ("faas.invoke_duration", "duration", 1.0)),
    *(("node_cpu_seconds_total", "cpu_cores", 1.0), ("node_network_receive_bytes_total", "network_io", 1.0)),
    *(("kafka_consumergroup_lag", "queue_lag", 1.0), ("rabbitmq_queue_messages_ready", "queue_lag", 1.0)),
    *(
        ("process_resident_memory_bytes", "memory_bytes", 1.0),
        ("container_network_transmit_bytes_total", "network_io", 1.0),
    ),
    *(("process.runtime.cpython.memory", "memory_bytes", 1.0), ("process.cpu.time.ns", "cpu_cores", 1e-9)),
    # more makers
    *(("ktor_http_server_requests_seconds", "duration", 1.0), ("spring_kafka_listener_seconds", "duration", 1.0)),
    *(("kitex_server_latency_us", "duration", 1e-6), ("grpc_io_server_server_latency", "duration", 1e-3)),
    *(
        ("hubble_http_request_duration_seconds", "duration", 1.0),
        ("messaging_process_duration_seconds", "duration", 1.0),
    ),
    *(("celery_task_runtime", "duration", 1.0), ("http_server_requests_duration_ms", "duration", 1e-3)),
    *(("system_runtime_cpu_usage", "cpu_utilization", 0.01), ("system_runtime_working_set", "memory_bytes", 1e6)),
    *(("windows_container_cpu_usage_seconds_total", "cpu_cores", 1.0), ("ruby_rss", "memory_bytes", 1.0)),
    *(("process.runtime.go.mem.heap_alloc", "memory_bytes", 1.0), ("jvm_memory_bytes_used", "memory_bytes", 1.0)),
    *(
        ("erlang_vm_memory_bytes_total", "memory_bytes", 1.0),
        ("container.cpu.limit.utilization", "cpu_utilization", 1.0),
    ),
    *(("kminion_kafka_consumer_group_topic_lag", "queue_lag", 1.0), ("pulsar_msg_backlog", "queue_lag", 1.0)),
    *(("jetstream_consumer_num_pending", "queue_lag", 1.0), ("artemis_message_count", "queue_lag", 1.0)),
    *(("redis_stream_group_lag", "queue_lag", 1.0), ("agroal_active_count", "pool_used", 1.0)),
    *(("http.server.active_requests", "in_flight", 1.0), ("http_server_active_requests", "in_flight", 1.0)),
    *(("rpc.server.active_requests", "in_flight", 1.0), ("envoy_http_downstream_rq_active", "in_flight", 1.0)),
    *(
        ("http_server_requests_active_seconds_gcount", "in_flight", 1.0),
        ("http_requests_in_progress", "in_flight", 1.0),
    ),
    *(("aws_kafka_sum_offset_lag_maximum", "queue_lag", 1.0), ("vertx_pool_in_use", "pool_used", 1.0)),
    *(
        ("process_memory_usage_bytes", "memory_bytes", 1.0),
        ("jvm_cpu_recent_utilization_ratio", "cpu_utilization", 1.0),
    ),
]


@pytest.mark.parametrize(("name", "feature", "factor"), KNOWN)
def test_names_that_no_reader_should_need_to_translate(name: str, feature: str, factor: float) -> None:
    found = TABLE.read(name)
    assert isinstance(found, Reading)
    assert found.rule.feature or found.rule.kind == feature
    assert found.rule.kind == feature if feature == "duration" else found.rule.feature == feature
    assert found.factor == pytest.approx(factor)


@pytest.mark.parametrize(
    "name",
    [
        *(
            "dotnet.gc.collections",
            "dotnet.thread_pool.queue.length",
            "v8js.gc.duration",
            "go.goroutine.count",
            "jvm.gc.duration",
        ),
        *(
            "http.client.active_requests",
            "http.client.open_connections",
            "istio_request_bytes",
            "kube_pod_info",
            "hw.power",
        ),
        *(
            "traces_service_graph_dropped_spans_total",
            "traces_spanmetrics_size_total",
            "container_fs_usage_bytes",
            "k8s.pod.phase",
        ),
        *(
            "node_filesystem_avail_bytes",
            "process_open_fds",
            "kafka.brokers",
            "rabbitmq_connections",
            "up",
            "target_info",
        ),
    ],
)
def test_what_is_known_and_feeds_no_feature_is_not_called_unmapped(name: str) -> None:
    found = TABLE.read(name)
    assert isinstance(found, Reading)
    assert found.rule.kind == "unused"


@pytest.mark.parametrize("unit", ["ms", "milliseconds", "s", "seconds"])
def test_micrometers_dotted_name_needs_a_unit(unit: str) -> None:
    found = TABLE.read("http.server.requests", unit)
    assert isinstance(found, Reading)
    assert found.factor == TIME[unit]
    assert TABLE.read("http.server.requests") == "unit"


@pytest.mark.parametrize(
    ("scope", "unit", "value", "expected"),
    [
        ("github.com/open-telemetry/opentelemetry-collector-contrib/receiver/kubeletstatsreceiver", "1", 3.2, 3.2),
        ("otelcol/kubeletstatsreceiver", "{cpu}", 3.2, 3.2),
        ("otelcol/dockerstatsreceiver", "1", 320.0, 3.2),
        ("", "{cpu}", 3.2, 3.2),
        ("", "m{cpu}", 3200.0, 3.2),
        ("", "1", 3.2, None),
        ("", "", 3.2, None),
        ("", "%", 320.0, None),
    ],
)
def test_a_containers_cpu_is_cores_where_somebody_says_so_and_never_a_share(
    scope: str, unit: str, value: float, expected: float | None
) -> None:
    decoded = decode(
        OTLP_METRICS, message("container.cpu.utilization", "gauge", value, unit, scope=scope).SerializeToString()
    )
    assert figure(decoded) == (None if expected is None else pytest.approx(expected))
    if decoded.points is not None:
        assert [NAMES[i] for i in decoded.points.feature] == ["cpu_cores"]


@pytest.mark.parametrize("unit", ["1", "%"])
@pytest.mark.parametrize(
    "name",
    [
        *("k8s.container.cpu.limit.utilization", "k8s.pod.cpu_limit_utilization", "process.cpu.utilization"),
        *("k8s.container.memory_limit_utilization", "container.memory.utilization", "jvm.cpu.recent_utilization"),
        *("system.cpu.utilization", "system.memory.utilization", "process_cpu_usage", "container.memory.percent"),
    ],
)
def test_a_share_beyond_sense_is_refused(name: str, unit: str) -> None:
    (rule,) = TABLE.rules[name]
    assert FEATURES[rule.feature].kind is FeatureKind.UTILIZATION
    whole = 100.0 if unit == "%" else 1.0
    for share, read in ((0.5, True), (1.0, True), (SENSE + 0.01, False), (3.2, False), (45.0, False), (-0.1, False)):
        decoded = decode(OTLP_METRICS, message(name, "gauge", share * whole, unit, labels_of(rule)).SerializeToString())
        assert (figure(decoded) is not None) == read, share
        assert decoded.skipped == ({} if read else {"beyond_sense": 1})


def test_parts_of_a_share_that_add_up_to_no_share_are_refused() -> None:
    sent, scope = metrics(SHOP)
    for mode in ("user", "system"):
        fill(
            scope.metrics.add(name="process.cpu.utilization").gauge.data_points.add(time_unix_nano=T0, as_double=0.9),
            {"cpu.mode": mode},
        )
    decoded = decode(OTLP_METRICS, sent.SerializeToString())
    assert decoded.points is None
    assert (decoded.skipped, decoded.added) == ({"beyond_sense": 1}, 1)


def test_rows_of_ones_own_come_first() -> None:
    own = Settings(
        conventions={
            "metrics": [
                {"names": ["shop.waiters", "shop_waiters"], "feature": "pool_wait"},
                {"names": ["duration"], "kind": "unused"},
                {"names": ["shop.time"], "kind": "duration", "unit": "ms", "only": None},
            ],
            "units": {"Millis!": "ms"},
            "attributes": {"http_status": ["shop.code"]},
        }
    )
    table = conventions_of(own.conventions)
    assert conventions_of(own.conventions) is table, "made once"

    def read(name: str, unit: str = "") -> tuple[str, str, float]:
        found = table.read(name, unit)
        assert isinstance(found, Reading)
        return found.rule.feature, found.rule.kind, found.factor

    assert read("shop.waiters") == ("pool_wait", "level", 1.0)
    assert read("duration") == ("", "unused", 1.0)
    assert read("shop.time", "Millis!") == ("", "duration", 1e-3)
    assert read("http.server.duration", "Millis!") == ("", "duration", 1e-3)
    sent = message("http.server.request.duration", "histogram", 0.1, labels={"shop.code": "503"})
    for conventions, error in ((table, True), (standard(), False)):
        rows = decode(OTLP_METRICS, sent.SerializeToString(), conventions=conventions).histograms
        assert rows is not None
        assert rows.error.tolist() == [error]


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        ({"metrics": [{"names": ["x"], "feature": "pool_waits"}]}, "pool_wait"),
        ({"metrics": [{"names": ["x"], "feature": "pool_wait", "unit": "ms"}]}, "unit of count"),
        ({"metrics": [{"names": ["x"], "kind": "durations"}]}, "durations"),
        ({"metrics": [{"name": "x"}]}, "name"),
        ({"metrics": [{"names": ["x"], "feature": "restarts", "subject": "pods"}]}, "pod"),
        ({"units": {"Mo": "MegaOctets"}}, "MegaOctets"),
        ({"attributes": {"http_state": ["x"]}}, "http_status"),
    ],
)
def test_a_row_that_is_none_is_refused_with_what_is_wrong(given: dict[str, Any], problem: str) -> None:
    with pytest.raises(InvalidSettings, match=problem):
        conventions_of(ConventionSettings(**given))


def test_every_row_of_the_table_can_be_used() -> None:
    for name, rules in TABLE.rules.items():
        for rule in rules:
            assert (
                rule.kind == "unused"
                or rule.unit in ("", MUST_NAME)
                or TABLE.factor(rule.unit, rule.measures) is not None
            ), name
    assert {f for f in NAMES if not f.startswith("metric_")} <= {
        r.feature for rules in TABLE.rules.values() for r in rules
    }
    with pytest.raises(UnknownName):
        Conventions(TABLE.table).extended([MetricRow(names=("x",), feature="cpu")])


def test_a_flood_of_names_takes_up_no_more_room() -> None:
    table = standard().extended([])
    for number in range(9000):
        table.read(f"somebody.{number}")
    assert len(table._found) <= 4096


def test_numbers_in_texts_are_numbers() -> None:
    body = json.loads(as_json(message("process.memory.usage", "gauge", 5.0)))
    (point,) = body["resourceMetrics"][0]["scopeMetrics"][0]["metrics"][0]["gauge"]["dataPoints"]
    for text, read in (("7.5", 7.5), (7, 7.0), ("Infinity", None), ("NaN", None)):
        point["asDouble"] = text
        assert figure(decode(OTLP_METRICS, json.dumps(body).encode())) == read
    assert np.isfinite(T0)
