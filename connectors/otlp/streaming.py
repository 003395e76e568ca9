"""What lives as long as its user likes: web sockets, event streams, long polls, streaming calls. Their durations are no latency.

A span (or a point of a histogram) is a stream where its attributes say so, or its name is one of the declared patterns. An
opening that was refused (an HTTP status of 400 or more) is a request like any other.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from fnmatch import fnmatchcase
from typing import Final

from connectors.otlp.conventions import standard
from connectors.otlp.values import Plain, cached, number_of, text_of
from contracts.settings import LONG_LIVED

HTTP_STATUS: Final = standard().keys("http_status")
SWITCHED: Final = 101
"""HTTP status of a connection that goes on in another protocol (RFC 9110, 15.2.2)."""
_REFUSED: Final = 400
CONTENT_TYPE: Final = ("http.response.header.content-type", "http.response.header.content_type")
UPGRADE: Final = (
    *("http.request.header.upgrade", "http.response.header.upgrade"),
    *("network.protocol.name", "net.protocol.name", "net.app.protocol.name", "url.scheme", "http.scheme"),
)
CALL_TYPE: Final = (
    *("rpc.grpc.type", "rpc.grpc.kind", "rpc.grpc.method_type", "rpc.method.type", "rpc.method_type"),
    *("grpc.method.kind", "grpc.method.type", "grpc_type", "grpc.type"),
)
"""No convention says how a call streams; these are what instrumentations and metrics in use write."""
ROUTE: Final = standard().keys("route")
_ENDLESS: Final = ("text/event-stream", "multipart/x-mixed-replace")
_SOCKETS: Final = frozenset({"websocket", "webtransport", "ws", "wss"})
STREAM_KEYS: Final = frozenset((*HTTP_STATUS, *CONTENT_TYPE, *UPGRADE, *CALL_TYPE))


def is_stream(attributes: Mapping[str, Plain]) -> bool:
    """Whether attributes say that this lives as long as its user likes."""
    status = next((n for k in HTTP_STATUS if (n := number_of(attributes.get(k))) is not None), 0)
    if status >= _REFUSED:
        return False
    if status == SWITCHED:
        return True
    if any(word in text for text in _texts(attributes, CONTENT_TYPE) for word in _ENDLESS):
        return True
    if any(text in _SOCKETS for text in _texts(attributes, UPGRADE)):
        return True
    return any("stream" in text for text in _texts(attributes, CALL_TYPE))


def _texts(attributes: Mapping[str, Plain], keys: Iterable[str]) -> Iterable[str]:
    for key in keys:
        value = attributes.get(key)
        for one in value if isinstance(value, list) else [value]:
            if one is not None:
                yield text_of(one).strip().lower()


@cached(65_536, 256)
def is_long_lived(name: str, patterns: tuple[str, ...] = LONG_LIVED) -> bool:
    """Whether a span's name (`GET /ws`, `grpc.health.v1.Health/Watch`) or a route is one of the declared patterns."""
    return any(fnmatchcase(name, p) for p in patterns)


def route_of(attributes: Mapping[str, Plain]) -> str:
    """The route that attributes name, "" where they name none."""
    return next((text for text in _texts(attributes, ROUTE) if text), "")
