"""Port to detection: a model over the feature series of one partition."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

from contracts.frames.decoded import B1, F64
from contracts.frames.feature_frame import FeatureFrame
from contracts.verdicts import ModelStep


@dataclass(frozen=True, slots=True)
class Spoken:
    """The numbers that a piece of evidence rests on: the mean `value` of about the last `observations` windows, which lies
    outside of `low`..`high`, the range expected of such a mean (in the feature's own unit)."""

    value: float
    low: float
    high: float
    observations: int


@dataclass(frozen=True, slots=True)
class Symptoms:
    """P-values (rows,) of what users feel alone (failures, latency, work left undone), without what a service does to itself:
    `lasting` while it is there, `opening` of what may open an anomaly."""

    lasting: F64
    opening: F64


@dataclass(frozen=True, slots=True)
class Scores:
    """What a detector makes of the rows of one frame.

    `decades` (rows, features) is signed evidence: -log10 p, positive where higher than expected, 0 where unremarkable or
    unknown. `low`/`high` (rows, features) is the expected range in the feature's own unit (NaN while unknown).
    `p_value` (rows,) is the joint, calibrated p-value of each row (1 while warming). `warm` (rows,) says whether the
    model has seen enough of a row to judge it. `spoken` holds, by row and feature, what evidence of a decade or more of a row
    that stands out rests on, where that is not the window's own value and range.
    """

    decades: F64
    low: F64
    high: F64
    p_value: F64
    warm: B1
    spoken: Mapping[tuple[int, int], Spoken] = field(default_factory=dict)
    symptoms: Symptoms | None = None
    rival: F64 | None = None
    """P-values (rows,) of the models that run beside those in use without a vote (see `Succeeds`); 1 where there is none. Their claims are
    counted as those of the others are."""


@dataclass(frozen=True, slots=True)
class SeriesKey:
    """Which row of which frames: a service, or the edge from `service` to `peer`."""

    environment: str
    signal: str
    service: str
    peer: str = ""


@dataclass(frozen=True, slots=True)
class ModelNews:
    """What became of a model that is for `series` (its service "*": one for all of them). `version` is the one that it is about, `other` the
    one that was in use before, or stays so; `text` says why, with its counts."""

    series: SeriesKey
    step: ModelStep
    version: int
    other: int
    window_ns: int
    text: str


@dataclass(frozen=True, slots=True)
class ClaimOutcome:
    """What came of a suspicion of a service that a member had alone since `window_ns`; of the model in use, or of its `rival`."""

    member: str
    rival: bool
    environment: str
    service: str
    window_ns: int
    came_true: bool


@runtime_checkable
class Succeeds(Protocol):
    """A detector whose models have versions, and give way to others that prove better on the same stream."""

    def version_of(self, series: SeriesKey) -> int:
        """Version of the model that judges a series; 0 where none does."""
        ...

    def take_outcome(self, outcome: ClaimOutcome) -> None:
        """Something came of a claim, or nothing did."""
        ...

    def take_opened(self, environment: str, service: str, window_ns: int) -> None:
        """An anomaly of a service opened, whoever said so."""
        ...

    def take_change(self, environment: str, service: str, time_ns: int) -> None:
        """A release, scaling or configuration of a service was told: what changes with it is no drift."""
        ...

    def news(self) -> list[ModelNews]:
        """What became of its models since this was asked last."""
        ...


@runtime_checkable
class ForgetsEnvironments(Protocol):
    """A detector that can forget an environment; one that can't keeps what it knows of each it has ever seen."""

    def forget(self, environment: str) -> None:
        """The environment is gone."""
        ...


@runtime_checkable
class WarmsUp(Protocol):
    """A detector that imports or makes something that takes long before it can judge."""

    def warm_up(self) -> None:
        """Do so now, beside the loop."""
        ...


@runtime_checkable
class Explains(Protocol):
    """A detector whose p-values have no exact parts by feature, and which can say what each counted."""

    def parts(self, series: SeriesKey) -> Mapping[str, float]:
        """By feature, decades of the newest p-value of a series that are due to it; they add up to all of its decades, less those of a row in
        which everything is as expected. None where it was not asked. May be slow: it is asked of what is told alone."""
        ...


class Detector(Protocol):
    """An online model over all series of a partition. Deterministic: same frames in, same scores out."""

    @property
    def name(self) -> str:
        """Name it is registered, chosen and reported by."""
        ...

    @property
    def version(self) -> str:
        """Version of the model's code and parameters, as put on every anomaly."""
        ...

    def update(self, frame: FeatureFrame, learn: B1) -> Scores:
        """Score the frame's rows, then learn from those where `learn` is true (false: a fault or our own action is on)."""
        ...

    def rebase(self, series: SeriesKey, levels: Mapping[str, float]) -> dict[str, float]:
        """Take `levels` (by feature, in its own unit) for what is normal of one series from now on, in place of what was learnt
        of them; the levels that were normal until now. A series or feature that is not known is left alone."""
        ...

    def snapshot(self) -> bytes:
        """The whole state. `restore(snapshot())` scores the next frame identically."""
        ...

    def restore(self, state: bytes) -> None:
        """Take a snapshot's state. UnreadableEvent if it is of another detector or a newer version."""
        ...
