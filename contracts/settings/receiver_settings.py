"""Settings of the OTLP receivers."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field, model_validator

from contracts.settings.section import Section


class ReceiverSettings(Section):
    """OTLP receivers that bridge into the topics."""

    enabled: bool = Field(
        True,
        description="whether to listen for OTLP; where nothing says so, `homeostat up` does and `homeostat worker` doesn't",
    )
    host: str = Field("127.0.0.1", description="address to listen on")
    grpc_port: int = Field(4317, ge=0, le=65535, description="OTLP/gRPC port; 0 picks a free one")
    http_port: int = Field(4318, ge=0, le=65535, description="OTLP/HTTP port; 0 picks a free one")
    tls_cert: Path | None = Field(None, description="certificate (PEM); with tls_key turns TLS on")
    tls_key: Path | None = Field(None, description="private key (PEM)")
    max_message_bytes: int = Field(1_000_000, ge=1024, description="largest message put on a topic; larger is split")
    coalesce_ms: int = Field(
        100,
        ge=0,
        le=1000,
        description="longest time a small message waits for others to go into the log with; 0: none does",
    )
    coalesce_bytes: int = Field(
        262_144,
        ge=1024,
        description="what waits goes into the log at once when it is this much; larger messages never wait",
    )
    max_request_bytes: int = Field(
        20 * 1024 * 1024, ge=1024, description="largest request after decompression; larger ones are refused"
    )
    max_grpc_bytes: int = Field(
        4 * 1024 * 1024,
        ge=1024,
        description="largest OTLP/gRPC message as it is sent (compressed, where it is); this much is reserved while one is read",
    )
    max_in_flight_bytes: int = Field(
        128 * 1024 * 1024,
        ge=1024,
        description="bytes of all requests under way, before and after decompression; beyond it senders are told to come again",
    )
    max_requests: int = Field(1024, ge=1, description="requests under way, on both ports together")
    max_connections: int = Field(1024, ge=1, description="connections of each port; more are closed")
    peer_share: float = Field(
        0.5, gt=0, le=1, description="share of these limits that one address (IPv6: one /64) may use up"
    )
    request_timeout_s: float = Field(30.0, gt=0, description="how long a request may take to arrive")
    allowed_hosts: tuple[str, ...] = Field(
        (),
        description="names under which OTLP/HTTP may be asked for. Empty: on loopback its own names only, so that no web page "
        "reaches it by a name that it lets point here; elsewhere any",
    )
    cors_origins: tuple[str, ...] = Field(
        (),
        description="web origins whose pages may send OTLP/HTTP, e.g. https://shop.example or https://*.shop.example; empty: none",
    )
    cors_headers: tuple[str, ...] = Field(
        (), description="request headers that such pages may set besides Content-Type and Content-Encoding"
    )

    @model_validator(mode="after")
    def _consistent(self) -> ReceiverSettings:
        if self.max_in_flight_bytes * self.peer_share < 2 * max(self.max_request_bytes, self.max_grpc_bytes):
            raise ValueError(
                "max_in_flight_bytes * peer_share must be at least twice max_request_bytes and max_grpc_bytes: "
                "a request is held as it came and decompressed"
            )
        return self
