"""Points of general series: JSON of `telemetry.series` to points, and points to frames.

A JSON message is an object, an array of them, or one a line:

    {"series": "orders per minute", "value": 117, "time": "2026-01-31T10:00:00Z"}

`time` (ISO 8601, or a number of seconds, milli-, micro- or nanoseconds; the message's where it is left away), `environment`, `group`
(judged together with the others of it), `bad` (`high`, `low`, `both`) and `counter` (it only grows: its growth per second is judged)
may be left away.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

import msgspec
import numpy as np

from connectors.encodings.raw_logs import epoch_ns, json_values
from connectors.otlp.chosen_series import MOST_NAME
from connectors.otlp.json_model import ERRORS
from connectors.otlp.reasons import BAD_TIME, EMPTY, INVALID_FIELD, NOT_FINITE, Skips, malformed_json, refuse
from contracts.frames.series_frame import SeriesFrame
from contracts.frames.series_point import Bad, SeriesMode, SeriesPoint
from contracts.topics import partition_of
from contracts.units import MINUTE

_DIRECTIONS: Final[Mapping[str, int]] = {"high": 1, "low": -1, "both": 0}
_AHEAD_NS: Final = 5 * MINUTE
"""A point that far after its message was written has no believable time."""


class _Item(msgspec.Struct, forbid_unknown_fields=True):
    series: str
    value: float
    time: str | float | int | None = None
    environment: str = ""
    group: str = ""
    bad: Bad = "both"
    counter: bool = False


def from_json(payload: bytes, time_ns: int, default_environment: str) -> tuple[list[SeriesPoint], Skips]:
    """The points of a message written at `time_ns`, and what was left out.

    Raises:
        UndecodableTelemetry: it is not JSON, or no point of it can be read.
    """
    if not payload.strip():
        raise refuse(EMPTY)
    try:
        values = json_values(payload)
    except ERRORS as e:
        raise malformed_json(e) from e
    points, skips = [], Skips()
    for place, value in enumerate(values):
        try:
            item = msgspec.convert(value, _Item)
        except (msgspec.ValidationError, RecursionError) as e:
            skips.invalid(f"point {place}", str(e))
            continue
        point = _point(item, time_ns, default_environment, skips)
        if point is not None:
            points.append(point)
    if not points:
        reason = next(iter(skips.counts), EMPTY)
        raise refuse(reason if reason in {EMPTY, INVALID_FIELD} else INVALID_FIELD, skips.first or reason)
    return points, skips


def _point(item: _Item, written_ns: int, default_environment: str, skips: Skips) -> SeriesPoint | None:
    time_ns = written_ns if item.time is None else epoch_ns(item.time)
    if not item.series.strip() or len(item.series) > MOST_NAME:
        skips.invalid("series", f"no name, or one of more than {MOST_NAME} characters")
    elif not 0 < time_ns <= written_ns + _AHEAD_NS:
        skips.add(BAD_TIME)
        skips.note(item.series, f"time {item.time!r}")
    elif not np.isfinite(item.value):
        skips.add(NOT_FINITE)
        skips.note(item.series, f"value {item.value}")
    else:
        mode = SeriesMode.COUNTER if item.counter else SeriesMode.VALUE
        environment = item.environment or default_environment
        return SeriesPoint(environment, item.series, time_ns, item.value, item.group, item.bad, mode)
    return None


def frames(points: Sequence[SeriesPoint], partitions: int) -> Iterator[tuple[int, SeriesFrame]]:
    """Frames, one for each environment and partition of `telemetry.points`: what is judged together goes to one partition."""
    by_place: dict[tuple[str, int], list[SeriesPoint]] = {}
    for point in points:
        key = f"{point.environment}\t{point.group or point.series}"
        by_place.setdefault((point.environment, partition_of(key, partitions)), []).append(point)
    for (environment, partition), theirs in by_place.items():
        latest = {p.series: p for p in theirs}
        at = {name: i for i, name in enumerate(latest)}
        yield (
            partition,
            SeriesFrame(
                environment,
                tuple(latest),
                tuple(p.group for p in latest.values()),
                np.array([_DIRECTIONS[p.bad] for p in latest.values()], dtype=np.int8),
                np.array([p.mode for p in latest.values()], dtype=np.int8),
                np.array([at[p.series] for p in theirs], dtype=np.int32),
                np.array([p.time_ns for p in theirs], dtype=np.int64),
                np.array([p.value for p in theirs], dtype=np.float64),
            ),
        )
