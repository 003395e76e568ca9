"""Points of general series on their way from ingest to judgement."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from contracts.frames.decoded import F64, I8, I32, I64


@dataclass(frozen=True, slots=True)
class SeriesFrame:
    """Points of one environment. Series are judged where the frame's partition is read, so all points of a series (and of a group) go
    to one partition.

    names       of each series in the frame, unique within the environment
    groups      of each: what it is judged together with; "" by itself
    directions  of each: 1 where only high values are bad, -1 only low ones, 0 both
    modes       of each: a `SeriesMode`
    series      (points) index into `names`
    times_ns    (points) when it was measured, epoch nanoseconds
    values      (points)
    """

    VERSION: ClassVar[int] = 1
    environment: str
    names: tuple[str, ...]
    groups: tuple[str, ...]
    directions: I8
    modes: I8
    series: I32
    times_ns: I64
    values: F64
