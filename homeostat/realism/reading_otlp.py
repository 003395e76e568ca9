"""Spans and metrics as they come over the wire, read alike of the real shop and of a drawn one."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from opentelemetry.proto.metrics.v1.metrics_pb2 import MetricsData
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status, TracesData

from homeostat.realism.course import SeenSpan, seconds_of

ENTRANCE: Final = "frontend"
"""A drawn service makes the same calls for each of its routes, so the front end stands there as one service per route; of the real one
the routes are told apart here."""
_NAMESPACE: Final = "shop"


def spans_of(payload: bytes, zero_ns: int, arrived_s: float) -> Iterator[SeenSpan]:
    """The spans of requests served and calls made in one message of traces."""
    for group in TracesData.FromString(payload).resource_spans:
        name = _name(group.resource)
        for scope in group.scope_spans:
            for span in scope.spans:
                if span.kind not in (Span.SPAN_KIND_SERVER, Span.SPAN_KIND_CLIENT):
                    continue
                route = next((a.value.string_value for a in span.attributes if a.key == "http.route"), "")
                yield SeenSpan(
                    name + route if name == ENTRANCE else name,
                    span.kind == Span.SPAN_KIND_SERVER,
                    span.span_id,
                    span.parent_span_id,
                    seconds_of(span.start_time_unix_nano, zero_ns),
                    seconds_of(span.end_time_unix_nano, zero_ns),
                    span.status.code == Status.STATUS_CODE_ERROR,
                    arrived_s,
                )


def senders_of(payload: bytes) -> set[str]:
    """Whose metrics are in one message."""
    return {_name(group.resource) for group in MetricsData.FromString(payload).resource_metrics}


def _name(resource: Resource) -> str:
    said = {a.key: a.value.string_value for a in resource.attributes}
    space, name = said.get("service.namespace", ""), said.get("service.name", "")
    return f"{space}/{name}" if space not in ("", _NAMESPACE) else name
