"""Which signal protobuf bytes hold is told by their first items, however little these say."""

from __future__ import annotations

import pytest
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord, LogsData, ResourceLogs, ScopeLogs
from opentelemetry.proto.metrics.v1.metrics_pb2 import Gauge, Metric, MetricsData, ResourceMetrics, ScopeMetrics
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, ScopeSpans, Span, TracesData

from connectors.otlp.wire import signal_of
from contracts.topics import OTLP_LOGS, OTLP_METRICS, OTLP_SPANS

TRACE, SPAN = bytes(range(1, 17)), bytes(range(1, 9))


def of_span(span: Span) -> bytes:
    return TracesData(resource_spans=[ResourceSpans(scope_spans=[ScopeSpans(spans=[span])])]).SerializeToString()


def of_metric(metric: Metric) -> bytes:
    scopes = [ScopeMetrics(metrics=[metric])]
    return MetricsData(resource_metrics=[ResourceMetrics(scope_metrics=scopes)]).SerializeToString()


@pytest.mark.parametrize("name", ["0", "GET /", "a metric's name is as long"])
@pytest.mark.parametrize("kind", [Span.SPAN_KIND_UNSPECIFIED, Span.SPAN_KIND_SERVER])
def test_a_span_without_times_is_a_span(name: str, kind: Span.SpanKind.ValueType) -> None:
    assert signal_of(of_span(Span(trace_id=TRACE, span_id=SPAN, name=name, kind=kind))) == OTLP_SPANS


def test_a_span_whose_ids_are_text_is_one_where_it_says_its_kind() -> None:
    asked = Span(trace_id=b"process.cpu.time", span_id=b"cpu time", name="x", kind=Span.SPAN_KIND_CLIENT)
    assert signal_of(of_span(asked)) == OTLP_SPANS


@pytest.mark.parametrize("name", ["process.cpu.time", "up"])
def test_a_metric_whose_name_and_description_are_as_long_as_ids_is_a_metric(name: str) -> None:
    assert signal_of(of_metric(Metric(name=name, description="cpu time", gauge=Gauge()))) == OTLP_METRICS


def test_a_record_is_told_by_its_times() -> None:
    records = [ScopeLogs(log_records=[LogRecord(observed_time_unix_nano=1)])]
    assert signal_of(LogsData(resource_logs=[ResourceLogs(scope_logs=records)]).SerializeToString()) == OTLP_LOGS
