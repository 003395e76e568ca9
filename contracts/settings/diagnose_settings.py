"""Settings of diagnosis."""

from __future__ import annotations

from pydantic import Field

from contracts.settings.section import Section


class DiagnoseSettings(Section):
    """Which service caused it."""

    group_window_s: float = Field(30.0, gt=0, description="anomalies this close in time may be one incident")
    group_hops: int = Field(3, ge=1, le=10, description="and this close on the graph")
    settle_s: float = Field(1.5, ge=0, description="evidence to wait for after onset before a ranking is fit to act on")
    resolve_s: float = Field(10.0, gt=0, description="quiet time before an incident is resolved")
    change_horizon_s: float = Field(600.0, gt=0, description="changes this recent count as a prior")
    min_probability: float = Field(0.02, ge=0, lt=1, description="candidates below this are not reported")
