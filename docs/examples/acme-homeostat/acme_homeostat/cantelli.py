"""A detector that assumes nothing of a distribution but its mean and variance: Cantelli's inequality.

Whatever the distribution, P(X - mean >= z deviations) <= 1 / (1 + z²) (Cantelli 1928). p-values are upper bounds, so it is slow to
accuse and never wrong about how sure it is. Mean and variance of every feature of every series are exponentially weighted.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field

import numpy as np
from pydantic import Field

from homeostat.api import DetectSettings, FeatureFrame, Plugin, PluginSettings, Scores, SeriesKey, UnreadableEvent

KIND = "acme-cantelli"


class CantelliSettings(PluginSettings):
    memory: int = Field(100, ge=10, description="windows that mean and variance are about")


@dataclass
class Series:
    """What is known of one row: its newest window, how many it was learnt from, and by feature [mean, variance, observations]."""

    newest_ns: int = -1
    windows: int = 0
    features: dict[str, list[float]] = field(default_factory=dict)


class Cantelli:
    name = "cantelli"
    version = "1"

    def __init__(self, memory: int, warmup: int) -> None:
        self._memory, self._warmup = memory, warmup
        self._series: dict[str, Series] = {}

    def update(self, frame: FeatureFrame, learn: np.ndarray) -> Scores:
        rows, columns = len(frame.services), len(frame.features)
        scores = Scores(
            decades=np.zeros((rows, columns)),
            low=np.full((rows, columns), np.nan),
            high=np.full((rows, columns), np.nan),
            p_value=np.ones(rows),
            warm=np.zeros(rows, np.bool_),
        )
        for row in range(rows):
            peer = frame.peers[row] if frame.peers else ""
            series = self._series.setdefault(
                _key(SeriesKey(frame.environment, frame.signal, frame.services[row], peer)), Series()
            )
            scores.warm[row] = series.windows >= self._warmup
            if frame.missing[row]:  # nothing may be concluded from it
                continue
            observed = {n: float(v) for n, v in zip(frame.features, frame.values[row], strict=True) if np.isfinite(v)}
            if scores.warm[row]:
                self._judge(scores, row, frame.features, series, observed)
            # A series' newest window is its clock: what corrects an older one, or comes again, is not learnt.
            if learn[row] and frame.revision == 0 and frame.window_ns > series.newest_ns:
                self._learn(series, observed)
                series.newest_ns = frame.window_ns
        return scores

    def rebase(self, series: SeriesKey, levels: dict[str, float]) -> dict[str, float]:
        known = self._series.get(_key(series))
        before: dict[str, float] = {}
        for name, level in levels.items():
            if known is not None and name in known.features:
                mean, variance, _ = known.features[name]
                before[name] = mean
                grown = max(1.0, level / mean) if mean > 0 else 1.0  # noise grows with the level
                known.features[name][:2] = level, variance * grown**2
        return before

    def snapshot(self) -> bytes:
        series = {
            k: [s.newest_ns, s.windows, dict(sorted(s.features.items()))] for k, s in sorted(self._series.items())
        }
        return json.dumps({"kind": KIND, "version": self.version, "series": series}).encode()

    def restore(self, state: bytes) -> None:
        try:
            found = json.loads(state)
            if (found["kind"], found["version"]) != (KIND, self.version):
                raise ValueError(f"of {found['kind']} {found['version']}")
            self._series = {
                k: Series(newest, windows, features) for k, (newest, windows, features) in found["series"].items()
            }
        except (ValueError, KeyError, TypeError, AttributeError) as e:
            raise UnreadableEvent(f"no snapshot of {self.name}: {e}") from e

    def _judge(
        self, scores: Scores, row: int, names: tuple[str, ...], series: Series, observed: dict[str, float]
    ) -> None:
        least = 1.0
        for column, name in enumerate(names):
            mean, variance, n = series.features.get(name, (0.0, 0.0, 0.0))
            if n < self._warmup:
                continue
            deviation = (variance * (1.0 + 2.0 / n)) ** 0.5 + 0.01 * abs(mean) + 1e-9
            scores.low[row, column], scores.high[row, column] = mean - 3 * deviation, mean + 3 * deviation
            if name in observed:
                z = (observed[name] - mean) / deviation
                p = 1.0 / (1.0 + z * z)
                least = min(least, p)
                scores.decades[row, column] = np.sign(z) * -np.log10(p)
        # The least of several p-values is no p-value: Bonferroni's correction.
        scores.p_value[row] = min(1.0, least * max(1, len(observed)))

    def _learn(self, series: Series, observed: dict[str, float]) -> None:
        series.windows += 1
        for name, value in observed.items():
            mean, variance, n = series.features.setdefault(name, [0.0, 0.0, 0.0])
            weight = max(1.0 / (n + 1.0), 1.0 / self._memory)
            apart = value - mean
            series.features[name] = [
                mean + weight * apart,
                (1.0 - weight) * (variance + weight * apart * apart),
                n + 1.0,
            ]


def _key(series: SeriesKey) -> str:
    return json.dumps([series.environment, series.signal, series.service, series.peer])


def open_detector(own: CantelliSettings, detect: DetectSettings) -> Cantelli:
    return Cantelli(own.memory, detect.warmup_windows)


PLUGIN: Plugin[DetectSettings, Cantelli] = Plugin(open_detector, settings=CantelliSettings)
