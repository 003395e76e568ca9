"""What an export request is answered with: everything was accepted, or some items were too large.

https://opentelemetry.io/docs/specs/otlp/#partial-success
"""

from __future__ import annotations

from typing import Any, Final

from google.protobuf.json_format import MessageToJson
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceResponse
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceResponse
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse

from contracts.topics import OTLP_LOGS, OTLP_METRICS, OTLP_SPANS

_RESPONSES: Final[dict[str, tuple[Any, str]]] = {
    OTLP_SPANS: (ExportTraceServiceResponse, "rejected_spans"),
    OTLP_METRICS: (ExportMetricsServiceResponse, "rejected_data_points"),
    OTLP_LOGS: (ExportLogsServiceResponse, "rejected_log_records"),
}


def accepted(topic: str, rejected: int) -> bytes:
    """The protobuf response to a request of which `rejected` items were too large for a message."""
    return _response(topic, rejected).SerializeToString()  # type: ignore[no-any-return]


def accepted_json(topic: str, rejected: int) -> bytes:
    """The same as JSON."""
    return MessageToJson(_response(topic, rejected)).encode()


def _response(topic: str, rejected: int) -> Any:
    kind, field = _RESPONSES[topic]
    response = kind()
    if rejected:
        setattr(response.partial_success, field, rejected)
        response.partial_success.error_message = (
            "larger than a message may be (receivers.max_message_bytes), or in fields that OTLP does not have"
        )
    return response
