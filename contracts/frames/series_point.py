"""One point of a general series, as a decoder makes it."""

from __future__ import annotations

import enum
from typing import Literal, NamedTuple

Bad = Literal["high", "low", "both"]
"""Which side of a series is bad."""


class SeriesMode(enum.IntEnum):
    """What the values of a series are."""

    VALUE = 0  # as measured
    COUNTER = 1  # a count since some beginning: its growth per second is judged


class SeriesPoint(NamedTuple):
    """One point: of which series, in which environment, measured when (epoch nanoseconds), and how it is judged."""

    environment: str
    series: str
    time_ns: int
    value: float
    group: str = ""
    bad: Bad = "both"
    mode: SeriesMode = SeriesMode.VALUE
