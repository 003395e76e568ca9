"""Settings of detection, and the objectives of services."""

from __future__ import annotations

from typing import Any

from pydantic import Field, PositiveFloat

from contracts.settings.section import Section


class Objective(Section):
    """What is promised of one service: what its users may have to bear."""

    availability: float | None = Field(
        None, gt=0, lt=1, description="share of requests that must not fail; empty: as `detect.availability`"
    )
    latency_s: float | None = Field(
        None, gt=0, description="95th percentile of latency that may not be exceeded; empty: judged by what was usual"
    )


class MemberSettings(Section):
    """A model of river or pyod that may be named among `detect.detectors`."""

    model: str = Field(
        pattern=r"^(river|pyod)(\.\w+)+$",
        description="class path: `river.anomaly.HalfSpaceTrees` (one model per service, learning on line), "
        "`pyod.models.iforest.IForest` (one for all services of a signal, refitted from a sliding window)",
    )
    parameters: dict[str, Any] = Field(default_factory=dict, description="what the class is made with, by name")
    services: tuple[str, ...] = Field(
        (),
        description="patterns of the services it is for (`shop/*`); empty: all",
    )


class DetectSettings(Section):
    """Noticing that something is wrong."""

    detectors: tuple[str, ...] = Field(
        ("bank",),
        description="detectors to run: `bank`, `river` (half-space trees), `pyod` (principal components), `iforest` (isolation "
        "forest), those of `detect.members` and of plugins. The bank leads; others count as far as they earn it",
    )
    members: dict[str, MemberSettings] = Field(
        default_factory=dict, description="models of river and pyod by class path, by the name they are chosen by"
    )
    drift: str = Field(
        "river.drift.ADWIN",
        pattern=r"^(river\.drift(\.\w+)+)?$",
        description="class path of what watches members beside the bank for drift, by minute means of how strange calm windows are to a model: "
        "`river.drift.ADWIN`, `river.drift.KSWIN`, `river.drift.PageHinkley`. A model that no longer fits gives way to one that proves better. "
        "Empty: members learn (or are refitted) all the time, and none is compared with another",
    )
    drift_parameters: dict[str, Any] = Field(
        default_factory=dict,
        description="what that class is made with, by name; empty, of ADWIN: looks at every minute, with `delta` 0.02",
    )
    warmup_windows: int = Field(
        30, ge=5, description="windows a series must be observed before it may be judged; `Warming` until then"
    )
    open_p: float = Field(1e-4, gt=0, lt=1, description="joint p-value below which an anomaly may open")
    close_p: float = Field(5e-2, gt=0, lt=1, description="p-value above which an open anomaly may close")
    open_windows: int = Field(2, ge=1, description="windows out of the last 3 that must agree before it opens")
    close_windows: int = Field(5, ge=1, description="quiet windows in a row before it closes")
    false_discovery_rate: float = Field(0.01, gt=0, lt=1, description="bound on false discoveries over all series")
    false_incidents_per_week: float | None = Field(
        None,
        gt=0,
        description="false incidents per week that people accept in an environment: detection asks for so much more (or less) evidence, within bounds, "
        "that no more are expected. Empty: as it is tuned, whatever the number of services. What is certain (an objective that is broken, "
        "failures beyond doubt) is told however few are accepted",
    )
    false_incidents_by_environment: dict[str, PositiveFloat] = Field(
        default_factory=dict,
        description="the same of environments in which it is another: `{staging: 5}`",
    )
    availability: float = Field(
        0.99,
        gt=0,
        lt=1,
        description="share of requests that must not fail, of services without an objective: failures beyond it that are not "
        "usual are harm, which never becomes normal by waiting",
    )
    objectives: dict[str, Objective] = Field(
        default_factory=dict,
        description="service level objectives by service name (`namespace/name` or `name`; of one environment only: "
        "`environment:name`); failing them is an anomaly whatever was usual",
    )
    adopt_after_s: float = Field(
        60.0,
        gt=0,
        description="a new level that harms nobody and has lasted for this long is taken for the new normal, as an event",
    )
    stale_s: float = Field(30.0, gt=0, description="a service unheard of for this long is `Stale`, not healthy")
    seed: int = Field(7, description="seed of everything random")

    def objective_of(self, environment: str, service: str) -> Objective:
        """What is promised of a service."""
        found = self.objectives.get(f"{environment}:{service}") or self.objectives.get(service)
        return found or Objective()
