"""Settings of general series: business figures, hosts, anything measured that no service's features hold."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from contracts.settings.calendar_settings import CalendarSettings
from contracts.settings.section import Section


class SeriesRule(Section):
    """How the metrics that fit one pattern are judged."""

    bad: Literal["high", "low", "both"] = Field("both", description="which side is bad")
    group: Literal["", "service"] = Field(
        "service", description="what series are judged together with: `service`, all of their service; empty: nothing"
    )


class ForecasterSettings(Section):
    """A forecaster of a library: it is used of a series where it beats level and profile on data held back from it."""

    model: str = Field(
        pattern=r"^\w+(\.\w+)+$",
        description="class path: `river.time_series.HoltWinters`, `statsforecast.models.AutoETS` where you installed it; or a class of your own with "
        "`forecast(history, ahead)`",
    )
    parameters: dict[str, Any] = Field(
        default_factory=dict,
        description="what the class is made with, by name; a bin is half an hour, a day 48 of them",
    )
    series: tuple[str, ...] = Field((), description="patterns of the series it is for (`orders *`); empty: all")


class SeriesSettings(Section):
    """General series: what is on `telemetry.series`, and metrics by rule."""

    metrics: dict[str, SeriesRule] = Field(
        {},
        description="OTLP gauges and sums (so also those of Prometheus' remote write) that are judged as series of their own: pattern of the "
        "metric's name (`orders_*`) -> `bad` and `group`",
    )
    false_alarms_per_week: float = Field(
        1.0,
        gt=0,
        description="false alarms over all series of an environment that are accepted; sets from when they are told",
    )
    max_series: int = Field(
        10_000,
        ge=1,
        description="series of an environment in one partition; for more, those that were least of use and did not come for long leave, and points "
        "of what finds no room are dropped, both counted (series_left, series_limit)",
    )
    forecasters: dict[str, ForecasterSettings] = Field(
        {},
        description="forecasters of libraries, by name: tried once a day on half-hour means of each series' last three weeks, in a process of their "
        "own; the best one takes the place of the season where it errs clearly less on held-back days. Each series then takes 4 KiB more",
    )
    calendars: dict[str, CalendarSettings] = Field(
        {},
        description="by environment (`*`: all others) the local time and the holidays that its series follow: working days and days off then have "
        "seasons of their own. Without one, seasons are of the time of day and of the week in UTC",
    )
