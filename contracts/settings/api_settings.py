"""Settings of Homeostat's own endpoints."""

from __future__ import annotations

from pydantic import Field

from contracts.settings.section import Section


class ApiSettings(Section):
    """Homeostat's own endpoints."""

    host: str = Field("127.0.0.1", description="address of the status and metrics endpoint")
    port: int = Field(
        8790,
        ge=0,
        le=65535,
        description="port of /metrics, /livez, /healthz, /readyz, /status, /services; 0 picks a free one",
    )
    allowed_hosts: tuple[str, ...] = Field(
        (),
        description="names under which the endpoint may be asked for. Empty: on loopback its own names only, so that no web page "
        "reaches it by a name that it lets point here; elsewhere any",
    )
    max_connections: int = Field(256, ge=1, description="connections; more are closed")
    query_threads: int = Field(2, ge=1, le=64, description="questions to the graph that are answered at once")
    query_queue: int = Field(16, ge=0, description="questions that wait for their turn; more are told to come again")
    query_rows: int = Field(10_000, ge=1, description="rows of an answer of /graph/query; reading ends at one more")
