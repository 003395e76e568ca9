"""The data of one metric in either encoding: its type, its points and what they mean. What stands beside them is counted as left out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

import msgspec
from msgspec import Raw

from connectors.otlp import foreign_fields
from connectors.otlp import json_model as model
from connectors.otlp.foreign_fields import OF_DATA
from connectors.otlp.reasons import INVALID_FIELD, Skips

GAUGE, SUM, HISTOGRAM, EXPONENTIAL, SUMMARY = "gauge", "sum", "histogram", "exponential_histogram", "summary"
DELTA, CUMULATIVE = 1, 2
_TEMPORALITIES: Final = ("UNSPECIFIED", "DELTA", "CUMULATIVE")


def enum_names(prefix: str, names: Sequence[str]) -> dict[Any, int]:
    """What an enum's value may be written as -> its number: number, number as text, full name, short name."""
    return {
        alias: i for i, name in enumerate(names) for alias in (i, str(i), f"{prefix}_{name}", name, name.capitalize())
    }


TEMPORALITY_NUMBERS: Final = enum_names("AGGREGATION_TEMPORALITY", _TEMPORALITIES)


@dataclass(frozen=True, slots=True)
class MetricData:
    """The data of one metric: its type, its points (still encoded where the codec is lazy), and what they mean."""

    kind: str
    points: Sequence[Any]
    temporality: int = 0
    monotonic: bool = False


class Placed(Protocol):
    """Something that has a place in its message."""

    @property
    def place(self) -> str:
        """Where it stands."""
        ...


def of_protobuf(metric: Any, skips: Skips, at: Placed) -> MetricData | None:
    """Which of the data fields is set; None where none is that is known."""
    kind = metric.WhichOneof("data")
    if kind is None:
        left = foreign_fields.points_of_protobuf(metric, metric=True)
        skips.foreign(at.place, left) if left else skips.invalid(at.place, "no data that can be read")
        return None
    data = getattr(metric, kind)
    if left := foreign_fields.points_of_protobuf(data, metric=False):
        skips.foreign(f"{at.place}.{kind}", left)
    temporality = CUMULATIVE if kind == SUMMARY else 0 if kind == GAUGE else data.aggregation_temporality
    return MetricData(kind, data.data_points, temporality, kind == SUM and data.is_monotonic)


def of_json(metric: model.Metric, skips: Skips, at: Placed) -> MetricData | None:
    """The first data field there is (a metric should not have two); None where none can be read."""
    given = [k for k in (GAUGE, SUM, HISTOGRAM, EXPONENTIAL, SUMMARY) if getattr(metric, k) is not model.NOTHING]
    found = [_points(getattr(metric, kind), skips, at) for kind in given]
    for again in found[1:]:
        skips.add(INVALID_FIELD, 1 if again is None else len(again.data_points))
    if not found or found[0] is None:
        skips.invalid(at.place, "no data that can be read")
        return None
    kind, points = given[0], found[0]
    temporality = CUMULATIVE if kind == SUMMARY else TEMPORALITY_NUMBERS.get(points.aggregation_temporality, 0)
    return MetricData(kind, points.data_points, temporality, points.is_monotonic)


def _points(raw: Raw, skips: Skips, at: Placed) -> model.Points | None:
    """The data of a metric, points unread; None where they can't be read."""
    found: model.Points
    try:
        found = model.POINTS.decode(raw)
    except model.ERRORS:
        try:
            body = msgspec.json.decode(raw)
            known = foreign_fields.without_foreign(body, OF_DATA, foreign_fields.POINT, at.place, skips)
            found = model.POINTS.decode(msgspec.json.encode(known))
        except (*model.ERRORS, AttributeError):
            return None
    return found
