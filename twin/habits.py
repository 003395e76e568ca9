"""Habits of instrumentation: what a service sends of itself, how completely, how often and how late.

A style is what the people who run one system do alike; services of it still differ. Both splits have the same styles, as the field
has them; how often each occurs and the ranges are the generator's (`configuration.py`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from numpy.random import Generator

LANGUAGES: Final = ("java", "go", "python", "nodejs", "dotnet", "php", "ruby", "rust")


@dataclass(frozen=True, slots=True)
class Habit:
    """What one service sends. Times in seconds; `metrics_every_s` 0 is none, `sampled` the share of traces kept at the head."""

    language: str = "go"
    spans: bool = True
    sampled: float = 1.0
    delay_s: float = 1.0
    metrics_every_s: int = 10
    metrics_delay_s: float = 1.0
    limits_known: bool = True
    """Whether metrics are shares of a limit, or only bytes and cores."""
    request_metrics: bool = False
    in_flight: bool = False
    """Whether metrics tell how many requests each instance has taken and not yet answered."""
    logs: bool = True
    logs_delay_s: float = 1.0
    names_callees: bool = True
    versioned: bool = True
    old_conventions: bool = False
    text_codes: bool = False
    """A mesh's habit: the status code as text (`UC`, `-`, `503`)."""
    duplicated: float = 0.0
    """Share of batches that are sent twice."""
    lost: float = 0.0
    """Share of batches that never come."""
    clock_s: float = 0.0
    """By how much its clock is ahead."""


@dataclass(frozen=True, slots=True)
class Style:
    """What draws habits: each pair is a range (log-uniform for times), each single number a share of services."""

    spans: float = 1.0
    sampled: tuple[float, float] = (1.0, 1.0)
    delay_s: tuple[float, float] = (0.2, 0.9)
    metrics: float = 0.9
    metrics_every_s: tuple[int, ...] = (1, 5, 10, 15)
    limits_known: float = 0.8
    request_metrics: float = 0.2
    in_flight: float = 0.3
    logs: float = 0.7
    names_callees: float = 0.8
    versioned: float = 0.9
    old_conventions: float = 0.3
    text_codes: float = 0.0
    duplicated: tuple[float, float] = (0.0, 0.0)
    lost: tuple[float, float] = (0.0, 0.0)
    clock_s: tuple[float, float] = (0.0, 0.0)
    together: bool = False
    """Whether what is late is late alike: one pipeline for all."""


STYLES: Final[dict[str, Style]] = {
    "complete": Style(),
    "spans_only": Style(metrics=0.0, logs=0.0, names_callees=0.6),
    "slow_metrics": Style(metrics_every_s=(30, 60), request_metrics=0.5),
    "sampled": Style(sampled=(0.05, 0.5)),
    "late": Style(delay_s=(2.0, 60.0), together=True),
    "mixed_delays": Style(delay_s=(0.2, 30.0)),
    "dark_spots": Style(spans=0.65, names_callees=0.5),
    "mesh": Style(text_codes=1.0, names_callees=0.3, metrics=0.5, versioned=0.4),
    "old_agents": Style(old_conventions=1.0, versioned=0.2, limits_known=0.3),
    "lossy": Style(lost=(0.005, 0.05), duplicated=(0.0, 0.1)),
    "skewed_clocks": Style(clock_s=(-20.0, 20.0)),
}


def draw_habit(r: Generator, style: Style) -> Habit:
    """The habit of one service."""
    metered = r.random() < style.metrics
    delay = _log_uniform(r, style.delay_s)
    return Habit(
        language=LANGUAGES[int(r.integers(len(LANGUAGES)))],
        spans=bool(r.random() < style.spans),
        sampled=_log_uniform(r, style.sampled),
        delay_s=delay,
        metrics_every_s=int(style.metrics_every_s[int(r.integers(len(style.metrics_every_s)))]) if metered else 0,
        metrics_delay_s=max(delay, _log_uniform(r, (0.2, 0.9))),
        limits_known=bool(r.random() < style.limits_known),
        request_metrics=bool(r.random() < style.request_metrics),
        logs=bool(r.random() < style.logs),
        logs_delay_s=delay,
        names_callees=bool(r.random() < style.names_callees),
        versioned=bool(r.random() < style.versioned),
        old_conventions=bool(r.random() < style.old_conventions),
        text_codes=bool(r.random() < style.text_codes),
        duplicated=float(r.uniform(*style.duplicated)),
        lost=float(r.uniform(*style.lost)),
        clock_s=float(r.uniform(*style.clock_s)) if r.random() < 0.3 else 0.0,
    )


def _log_uniform(r: Generator, between: tuple[float, float]) -> float:
    low, high = between
    return low if low == high else float(low * (high / low) ** r.random())
