"""What lives as long as its user likes is known by what it says of itself, in every encoding and however many there are."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from connectors.otlp import span_bytes
from connectors.otlp.decode import decode
from contracts.topics import OTLP_METRICS, OTLP_SPANS
from tests.unit.connectors.otlp.builders import MS, T0, as_json, descending, fill, metrics, traces

SHOP = {"service.name": "gateway"}
STREAMS: dict[str, dict[str, Any]] = {
    "switched": {"attributes": {"http.response.status_code": 101}},
    "switched, old": {"attributes": {"http.status_code": 101}},
    "switched, as a mesh writes it": {"attributes": {"http.status_code": "101"}},
    "event stream": {"attributes": {"http.response.header.content-type": ["text/event-stream; charset=utf-8"]}},
    "event stream, plain": {"attributes": {"http.response.header.content_type": "text/event-stream"}},
    "pushed pictures": {"attributes": {"http.response.header.content-type": ["multipart/x-mixed-replace"]}},
    "upgrade": {"attributes": {"http.request.header.upgrade": ["websocket"]}},
    "protocol": {"attributes": {"network.protocol.name": "WebSocket"}},
    "scheme": {"attributes": {"url.scheme": "wss"}},
    "scheme, plain": {"attributes": {"url.scheme": "ws"}},
    "server streams": {"attributes": {"rpc.system": "grpc", "grpc.method.kind": "server_streaming"}},
    "both stream": {"attributes": {"rpc.grpc.type": "BIDI_STREAM"}},
    "route": {"name": "GET /ws"},
    "long poll": {"name": "GET /socket.io/*"},
    "health watch": {"name": "grpc.health.v1.Health/Watch"},
}
REQUESTS: dict[str, dict[str, Any]] = {
    "plain": {"attributes": {"http.response.status_code": 200}},
    "nothing": {},
    "refused": {"attributes": {"http.response.status_code": 426, "http.request.header.upgrade": ["websocket"]}},
    "refused event stream": {
        "attributes": {"http.status_code": 503, "http.response.header.content-type": ["text/event-stream"]}
    },
    "unary": {"attributes": {"rpc.system": "grpc", "grpc.method.kind": "unary"}},
    "talks of streams": {"attributes": {"db.statement": "select * from _stream", "code.function": "streaming"}},
    "size 101": {"attributes": {"http.response.body.size": 101, "http.response.status_code": 200}},
    "another route": {"name": "GET /wsdl"},
    "a queue": {"name": "GET /ws", "kind": 5},
    "page": {"attributes": {"http.response.header.content-type": ["text/html"]}},
}
ENCODINGS = {
    "ascending": lambda m: m.SerializeToString(),
    "descending": descending,
    "json": as_json,
    "json_snake_case": lambda m: as_json(m, snake=True),
}


@pytest.mark.parametrize("encode", ENCODINGS.values(), ids=ENCODINGS)
@pytest.mark.parametrize("many", [False, True], ids=["few", "many"])
def test_streams_are_told_from_requests(encode: Any, many: bool) -> None:
    kinds = [*STREAMS.values(), *REQUESTS.values()]
    times = span_bytes.FEWEST // len(kinds) + 1 if many else 1
    batch = decode(OTLP_SPANS, encode(traces(SHOP, *(kinds * times)))).spans
    assert batch is not None
    expected = ([True] * len(STREAMS) + [False] * len(REQUESTS)) * times
    wrong = [list({**STREAMS, **REQUESTS})[i % len(kinds)] for i in np.flatnonzero(batch.stream != np.array(expected))]
    assert not wrong


def test_declared_names_are_the_settings_to_give() -> None:
    message = traces(SHOP, {"name": "GET /live"}, {"name": "GET /ws"}).SerializeToString()
    batch = decode(OTLP_SPANS, message, long_lived=("*/live",)).spans
    assert batch is not None
    assert batch.stream.tolist() == [True, False]


@pytest.mark.parametrize(
    "attributes",
    [
        {"http.response.status_code": 101},
        {"http.route": "/ws"},
        {"url.scheme": "wss"},
        {"rpc.grpc.type": "server_stream"},
    ],
)
def test_durations_of_streams_in_histograms_are_left_out_and_counted(attributes: dict[str, Any]) -> None:
    message, scope = metrics(SHOP)
    data = scope.metrics.add(name="http.server.request.duration", unit="s").histogram
    data.aggregation_temporality = 1
    for given in (attributes, {"http.route": "/orders", "http.response.status_code": 200}):
        point = data.data_points.add(
            time_unix_nano=T0 + 1000 * MS, start_time_unix_nano=T0, count=3, sum=90.0, bucket_counts=[0, 3], explicit_bounds=[1.0]
        )  # fmt: skip
        fill(point, given)
    found = decode(OTLP_METRICS, message.SerializeToString())
    assert found.histograms is not None
    assert len(found.histograms) == 1
    assert found.skipped == {"long_lived": 1}
