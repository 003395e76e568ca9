"""Settings of Homeostat's own logs."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from contracts.settings.section import Section


class LogSettings(Section):
    """Logs."""

    level: Literal["debug", "info", "warning", "error"] = Field("info", description="lowest level written")
    format: Literal["auto", "json", "console"] = Field("auto", description="auto: console on a terminal, else json")
