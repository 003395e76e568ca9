"""Broken telemetry, reproducibly: good messages of every kind, and the ways in which bytes go wrong on their way."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator

from google.protobuf.message import Message

from contracts.topics import INGRESS, OTLP_LOGS, OTLP_METRICS, OTLP_SPANS, RAW
from contracts.units import MILLISECOND, SECOND
from tests.unit.connectors.otlp import builders as build

MS = MILLISECOND
RESOURCE = {"service.name": "cart", "service.namespace": "shop", "deployment.environment.name": "fuzz"}


def good(now_ns: int) -> dict[str, list[bytes]]:
    """Small readable messages by topic: protobuf in both field orders, and JSON in both spellings."""
    trace, one, two = now_ns.to_bytes(16, "big"), now_ns.to_bytes(8, "big"), (now_ns + 1).to_bytes(8, "big")
    served = {"end_time_unix_nano": now_ns, "start_time_unix_nano": now_ns - 7 * MS, "attributes": {"http.route": "/x"}}
    called = {"end_time_unix_nano": now_ns - MS, "start_time_unix_nano": now_ns - 9 * MS, "kind": 3, "code": 2}
    spans = build.traces(
        RESOURCE,
        {"trace_id": trace, "span_id": one, **served},
        {"trace_id": trace, "span_id": two, "parent_span_id": one, **called},
    )
    metrics, scope = build.metrics(RESOURCE)
    build.gauge(scope, "container.cpu.utilization", 0.4, unit="1", time=now_ns)
    build.counter(scope, "http.server.request.count", 17).time_unix_nano = now_ns
    build.histogram(scope, "http.server.request.duration", [1, 5, 2], [0.1, 1.0], unit="s").time_unix_nano = now_ns
    logs = build.logs(RESOURCE, {"time_unix_nano": now_ns, "severity_number": 17, "body": "payment 4711 refused"})
    raw = b'{"service": "till", "timestamp": %d.5, "latencies_ms": [12, 9.5], "responses": [{"status": 200}]}'
    return {
        OTLP_SPANS: _spellings(spans),
        OTLP_METRICS: _spellings(metrics),
        OTLP_LOGS: _spellings(logs),
        RAW: [raw % (now_ns // SECOND)],
    }


def _spellings(message: Message) -> list[bytes]:
    return [
        message.SerializeToString(),
        build.descending(message),
        build.as_json(message),
        build.as_json(message, enums_as_numbers=False, snake=True),
    ]


def _truncated(rng: random.Random, data: bytes, _: bytes) -> bytes:
    return data[: rng.randrange(len(data))]


def _flipped(rng: random.Random, data: bytes, _: bytes) -> bytes:
    changed = bytearray(data)
    for _ in range(rng.randrange(1, 6)):
        changed[rng.randrange(len(changed))] ^= 1 << rng.randrange(8)
    return bytes(changed)


def _overwritten(rng: random.Random, data: bytes, _: bytes) -> bytes:
    at, size = rng.randrange(len(data)), rng.randrange(1, 12)
    return data[:at] + rng.randbytes(size) + data[at + size :]


def _spliced(rng: random.Random, data: bytes, other: bytes) -> bytes:
    return data[: rng.randrange(len(data))] + other[rng.randrange(len(other)) :]


def _repeated(rng: random.Random, data: bytes, _: bytes) -> bytes:
    at = rng.randrange(len(data))
    return data[:at] + data[at : at + rng.randrange(1, 30)] * rng.randrange(2, 6) + data[at:]


def _value_swapped(rng: random.Random, data: bytes, _: bytes) -> bytes:
    """For JSON: another kind of value where a character that begins or ends one stands."""
    places = [i for i, c in enumerate(data) if c in b'"{}[]:,0123456789'] or [0]
    at = rng.choice(places)
    new = rng.choice([b"null", b"[]", b"{}", b"-1", b"1e400", b'"\\ud800"', b"NaN", b"9" * 30, b"true", b'"\x00"'])
    return data[:at] + new + data[at + 1 :]


def _noise(rng: random.Random, _: bytes, __: bytes) -> bytes:
    head = rng.choice([b"", b"\n", b"{", b'{"resourceSpans":', b"\xff\xff\xff\xff", b"\xef\xbb\xbf", b"[" * 300])
    return head + rng.randbytes(rng.randrange(200))


def _untouched(_: random.Random, data: bytes, __: bytes) -> bytes:
    return data


HARMS: tuple[Callable[[random.Random, bytes, bytes], bytes], ...] = (
    _truncated,
    _flipped,
    _overwritten,
    _spliced,
    _repeated,
    _value_swapped,
    _noise,
    _untouched,
)


def garbage(seed: int, count: int, now_ns: int) -> Iterator[tuple[str, bytes]]:
    """`count` messages with their topics; most are broken, some lie on the wrong topic."""
    rng = random.Random(seed)
    library = good(now_ns)
    everything = [data for messages in library.values() for data in messages]
    for n in range(count):
        topic = rng.choice(INGRESS)
        data = rng.choice(library[topic] if rng.random() < 0.9 else everything)
        for _ in range(rng.randrange(1, 3)):
            data = HARMS[n % len(HARMS)](rng, data or b"\n", rng.choice(everything))
        yield topic, data
