"""Settings: how telemetry is written."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from contracts.settings.section import Section


class ConventionSettings(Section):
    """How telemetry is written where the table of conventions doesn't know it; `homeostat telemetry unmapped` suggests rows."""

    metrics: tuple[dict[str, Any], ...] = Field(
        (),
        description="rows before those of the table: `names`, `feature` (or `kind: duration`), and where needed `kind`, `unit`, `only`, "
        "`summed`, `scope`, `subject` as in docs/conventions.md",
    )
    units: dict[str, str] = Field({}, description="ways to write a unit -> the unit of the table that is meant")
    attributes: dict[str, tuple[str, ...]] = Field(
        {}, description="attributes that state a fact (`http_status`, `error_type`, …), before those of the table"
    )
