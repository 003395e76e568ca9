"""Metrics that are general series by a rule of the settings: their points, taken as the message is read for everything else."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from fnmatch import fnmatchcase
from functools import lru_cache
from typing import Final

from connectors.otlp.codecs import Codec
from connectors.otlp.identity import Identified
from connectors.otlp.metric_data import DELTA, GAUGE, SUM, MetricData
from connectors.otlp.values import text_of
from contracts.frames.series_point import SeriesMode, SeriesPoint
from contracts.settings import SeriesRule
from contracts.units import SECOND

MOST_NAME: Final = 500
"""Characters of the name of a series."""
_NO_RECORDED_VALUE_FLAG: Final = 1
_MAX_TIME: Final = (1 << 63) - 1
_KNOWN_NAMES: Final = 8192


class SeriesChoice:
    """Which metrics are general series: `rules` by pattern of their names, of which the first that fits holds."""

    def __init__(self, rules: Mapping[str, SeriesRule]) -> None:
        self._rules = tuple(rules.items())
        self._rule = lru_cache(_KNOWN_NAMES)(self._find)

    def _find(self, name: str) -> SeriesRule | None:
        return next((rule for pattern, rule in self._rules if fnmatchcase(name, pattern)), None)

    def rule_of(self, name: str, data: MetricData) -> SeriesRule | None:
        """The rule that a metric is judged by; None: it is no general series."""
        return self._rule(name) if data.kind in (GAUGE, SUM) else None


def series_points(
    name: str, data: MetricData, rule: SeriesRule, sender: Identified, codec: Codec
) -> Iterator[SeriesPoint]:
    """The points of a gauge or sum (decoded) that have a value; of one that counts changes those per second."""
    delta = data.kind == SUM and data.temporality == DELTA
    mode = SeriesMode.COUNTER if data.monotonic and not delta else SeriesMode.VALUE
    owner = sender.resource.service or sender.resource.instance
    group = owner if rule.group == "service" else ""
    stem = " ".join(part for part in (owner, name) if part)
    for point in data.points:
        time_ns, value = point.time_unix_nano, codec.number(point)
        if (
            point.flags & _NO_RECORDED_VALUE_FLAG
            or value is None
            or not math.isfinite(value)
            or not 0 < time_ns <= _MAX_TIME
        ):
            continue
        if delta:
            lasted_s = (time_ns - point.start_time_unix_nano) / SECOND
            if lasted_s <= 0:
                continue
            value /= lasted_s
        pairs = codec.attributes(point.attributes) if point.attributes else {}
        labels = ",".join(sorted(f"{key}={text_of(text)}" for key, text in pairs.items()))
        series = f"{stem}{{{labels}}}" if labels else stem
        yield SeriesPoint(sender.resource.environment, series[:MOST_NAME], time_ns, value, group, rule.bad, mode)
