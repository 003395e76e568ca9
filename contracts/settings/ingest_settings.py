"""Settings of windows and features."""

from __future__ import annotations

from typing import Final

from pydantic import Field, field_validator

from contracts.settings.section import Section
from contracts.settings.topic_settings import TopicSettings, checked

MAX_ENVIRONMENTS: Final = 256
"""Environments of which there is room where nothing else is set."""

LONG_LIVED: Final = (
    *("*/ws", "*/ws/*", "*/wss", "*/websocket", "*/websocket/*", "*/websockets", "*/websockets/*"),
    *("*/socket.io", "*/socket.io/*", "*/engine.io/*", "*/sockjs/*", "*/signalr/*", "*/cable", "*/mqtt"),
    *("*/sse", "*/sse/*", "*/event-stream", "*/event-stream/*", "*/eventsource", "*/eventsource/*"),
    *("*/longpoll", "*/longpoll/*", "*/long-poll", "*/long-poll/*", "*/longpolling", "*/longpolling/*"),
    *(
        "*Health/Watch",
        "*ServerReflection/ServerReflectionInfo",
        "*DiscoveryService/Stream*",
        "*DiscoveryService/Delta*",
    ),
)
"""Names of spans that long-lived exchanges go by with widely used libraries."""


ENVIRONMENT_FROM: Final = ("deployment.environment.name", "deployment.environment", "k8s.cluster.name")
NAMESPACE_FROM: Final = ("service.namespace", "k8s.namespace.name")


class IngestSettings(Section):
    """From bytes to feature frames."""

    window_ms: int = Field(1000, ge=100, le=60_000, description="width of an event-time window")
    glimpse_requests: int = Field(
        8,
        ge=0,
        description="requests of a service that must have come of a window that is not over for it to be looked at early; 0: none is",
    )
    lateness_ms: int = Field(100, ge=0, le=60_000, description="a window closes this long after its end (event time)")
    max_delay_s: float = Field(90.0, gt=0, description="data later than this is counted as late and dropped")
    idle_timeout_s: float = Field(
        2.0, gt=0, description="a source partition silent for this long no longer holds windows open"
    )
    flush_ms: int = Field(
        100, ge=10, le=5000, description="longest time partial aggregates wait before they are sent on"
    )
    join_horizon_s: float = Field(
        15.0,
        gt=0,
        description="how long a call waits for its other half before it counts as orphaned, by the time of the source that is "
        "furthest behind of those heard of in the last minute",
    )
    topics: dict[str, TopicSettings] = Field(
        {},
        description="topics of your own to be read besides otlp_spans, otlp_metrics, otlp_logs and telemetry.raw: name -> encoding "
        "(otlp_proto, otlp_json, jaeger_proto, jaeger_json, zipkin_proto, zipkin_json, raw, text, json, prometheus_remote_write), or "
        "`encoding` with `environment`, `service` and `namespace` of what names none",
    )
    long_lived: tuple[str, ...] = Field(
        LONG_LIVED,
        description="patterns of span names (and routes) of exchanges that last as long as their user likes: web sockets, event "
        "streams, long polls. They count as no request and their durations as no latency. What attributes declare needs no pattern",
    )
    environment_from: tuple[str, ...] = Field(
        ENVIRONMENT_FROM,
        description="resource attributes that name the environment, the best first; also of several, as "
        "'{k8s.cluster.name}-{k8s.namespace.name}'",
    )
    namespace_from: tuple[str, ...] = Field(
        NAMESPACE_FROM,
        description="resource attributes that name the namespace of a service, the best first: the same name in two namespaces is two "
        "services. With service.namespace alone, namespaces of a cluster don't count",
    )
    max_services: int = Field(
        5000,
        ge=1,
        description="services per environment; for more, those that were least of use and were not heard of lately leave, and what "
        "finds no room is dropped, both counted (service_left, service_limit)",
    )
    max_environments: int = Field(
        MAX_ENVIRONMENTS,
        ge=1,
        description="environments; for more, those that were least of use and were not heard of lately leave, and what finds no "
        "room is dropped, both counted (environment_left, environment_limit)",
    )

    @field_validator("topics")
    @classmethod
    def _topics(cls, given: dict[str, TopicSettings]) -> dict[str, TopicSettings]:
        return checked(given)
