"""The log's settings: where Kafka is, and how to talk to it."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field, SecretStr

from contracts.settings.section import Section


class BrokerSettings(Section):
    """The log."""

    url: str = Field("embedded://", description="kafka://host:port[,host:port] or embedded:// (in-process, in memory)")
    group: str = Field("homeostat", description="consumer group of all workers of one installation")
    partitions: int = Field(4, ge=1, le=1024, description="partitions of the topics Homeostat creates")
    security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = Field(
        "PLAINTEXT", description="how to talk to Kafka"
    )
    sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] = Field(
        "SCRAM-SHA-512", description="SASL mechanism, where the protocol uses SASL"
    )
    username: str = Field("", description="SASL user")
    password: SecretStr = Field(SecretStr(""), description="SASL password")
    ca_file: Path | None = Field(None, description="certificate authority that signed the brokers' certificates")
    session_timeout_s: float = Field(
        6.0,
        ge=1,
        le=300,
        description="a worker unheard of for this long loses its partitions (brokers allow 6 to 300 s)",
    )
    fetch_wait_ms: int = Field(
        500, ge=1, le=5000, description="longest wait of one fetch (the embedded broker uses 20)"
    )
    retry_s: float = Field(60.0, ge=0, description="how long to retry an unreachable broker at start")
