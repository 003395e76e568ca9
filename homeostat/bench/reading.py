"""How fast bytes become columns: realistic span messages, and spans decoded per CPU-second.

The messages are deterministic: four services, SDK attributes of HTTP servers and clients and of database calls, 1 % errors.
"""

from __future__ import annotations

import base64
import json
import random
import time
from collections.abc import Callable
from typing import Any, Final

from google.protobuf.json_format import MessageToDict
from opentelemetry.proto.trace.v1.trace_pb2 import TracesData

from connectors.otlp.decode import decode
from contracts.topics import OTLP_SPANS
from contracts.units import SECOND

START_NS: Final = 1_700_000_000 * SECOND
_SERVICES: Final = ("frontend", "checkout", "payment", "catalogue")
_SERVER, _CLIENT = 2, 3
_HTTP: Final[dict[str, str | int]] = {
    "http.request.method": "GET",
    "url.path": "/api/v1/orders/{id}",
    "url.scheme": "http",
    "server.address": "checkout",
    "server.port": 8080,
    "network.protocol.version": "1.1",
    "http.response.status_code": 200,
}
_DATABASE: Final[dict[str, str | int]] = {
    "db.system.name": "postgresql",
    "db.namespace": "orders",
    "db.operation.name": "SELECT",
    "db.query.text": "SELECT * FROM orders WHERE id = $1",
    "server.address": "postgres",
    "server.port": 5432,
}


def span_message(spans: int = 2000, seed: int = 1) -> TracesData:
    """A message of `spans` spans of four services, as a Collector batches them."""
    rng = random.Random(seed)
    message = TracesData()
    for number, service in enumerate(_SERVICES):
        entry = message.resource_spans.add()
        _attributes(entry.resource, _resource(service, number))
        scope = entry.scope_spans.add()
        scope.scope.name = "io.opentelemetry.http"
        for _ in range(spans // len(_SERVICES)):
            _span(scope.spans.add(), rng)
    return message


def protobuf_payload(spans: int = 2000, seed: int = 1) -> bytes:
    """`span_message` as protobuf."""
    return span_message(spans, seed).SerializeToString()


def json_payload(spans: int = 2000, seed: int = 1) -> bytes:
    """`span_message` as OTLP JSON."""
    body = MessageToDict(span_message(spans, seed), use_integers_for_enums=True)
    for entry in body["resourceSpans"]:
        for scope in entry["scopeSpans"]:
            for span in scope["spans"]:
                _hexadecimal(span)
    return json.dumps(body, separators=(",", ":")).encode()


def spans_per_cpu_second(payload: bytes, spans: int = 2000, seconds: float = 1.0) -> float:
    """Spans decoded per second of this process's CPU time, measured over about `seconds` seconds."""
    return _rate(lambda: decode(OTLP_SPANS, payload), spans, seconds)


def parsed_per_cpu_second(payload: bytes, spans: int = 2000, seconds: float = 1.0) -> float:
    """The same for protobuf's own parser alone, which extracts nothing: the named alternative."""
    return _rate(lambda: TracesData.FromString(payload), spans, seconds)


def run(seconds: float = 1.0, spans: int = 2000) -> dict[str, float]:
    """Spans per CPU-second by encoding, and of the bare protobuf parser."""
    protobuf, text = protobuf_payload(spans), json_payload(spans)
    return {
        "protobuf": spans_per_cpu_second(protobuf, spans, seconds),
        "json": spans_per_cpu_second(text, spans, seconds),
        "protobuf_parse_only": parsed_per_cpu_second(protobuf, spans, seconds),
    }


def _rate(work: Callable[[], Any], spans: int, seconds: float) -> float:
    work()
    rounds, started = 0, time.process_time()
    while (spent := time.process_time() - started) < seconds:
        work()
        rounds += 1
    return rounds * spans / spent


def _resource(service: str, number: int) -> dict[str, str | int]:
    return {
        "service.name": service,
        "service.namespace": "shop",
        "service.version": "1.4.2",
        "service.instance.id": f"{service}-{number}",
        "telemetry.sdk.language": "python",
        "telemetry.sdk.name": "opentelemetry",
        "k8s.namespace.name": "shop",
        "k8s.deployment.name": service,
        "k8s.pod.name": f"{service}-5d4c{number}",
    }


def _span(span: Any, rng: random.Random) -> None:
    span.trace_id, span.span_id, span.parent_span_id = rng.randbytes(16), rng.randbytes(8), rng.randbytes(8)
    start = START_NS + rng.randrange(SECOND)
    span.start_time_unix_nano, span.end_time_unix_nano = start, start + int(rng.lognormvariate(16, 1))
    span.kind = _CLIENT if rng.random() < 0.5 else _SERVER
    database = span.kind == _CLIENT and rng.random() < 0.3
    span.name = "SELECT orders" if database else "GET /api/v1/orders/{id}"
    _attributes(span, _DATABASE if database else _HTTP)
    if rng.random() < 0.01:
        span.status.code = 2


def _attributes(owner: Any, values: dict[str, str | int]) -> None:
    for key, value in values.items():
        pair = owner.attributes.add()
        pair.key = key
        if isinstance(value, int):
            pair.value.int_value = value
        else:
            pair.value.string_value = value


def _hexadecimal(span: dict[str, Any]) -> None:
    """Ids as OTLP JSON has them; protobuf's own mapping writes base64."""
    for field in ("traceId", "spanId", "parentSpanId"):
        if field in span:
            span[field] = base64.b64decode(span[field]).hex()
