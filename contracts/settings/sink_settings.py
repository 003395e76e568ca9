"""Settings of where events go besides their topics."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field, SecretStr

from contracts.settings.section import Section


class SinkSettings(Section):
    """Where incidents, decisions and the audit trail go besides their topics."""

    use: tuple[str, ...] = Field((), description="sinks, by registered name: file, webhook, pager, or a plugin's")
    file: Path | None = Field(None, description="file to append JSON lines to (sink `file`)")
    webhook: SecretStr = Field(
        SecretStr(""), description="URL to POST each event to (sink `webhook`), which is treated as a secret"
    )
    pager: SecretStr = Field(
        SecretStr(""),
        description="URL to POST each question to a person to, once (sink `pager`), which is treated as a secret",
    )
    from_beginning: bool = Field(
        False, description="whether a sink that is new to Kafka gets what the topics hold already"
    )
    batch: int = Field(100, ge=1, le=10_000, description="most events in one delivery")
    timeout_s: float = Field(30.0, gt=0, description="longest time of one delivery")
    retry_s: float = Field(
        3600.0,
        ge=0,
        description="how long the same events are tried again, with growing pauses, before they are given up, which is counted",
    )
