"""Robust residuals of all series, as one vector per row: what the adapted models are fed with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from contracts.features import Signal
from contracts.frames.decoded import B1, F64
from contracts.frames.feature_frame import FeatureFrame
from contracts.ports.detecting import SeriesKey
from contracts.units import SECOND
from models.service.alignment import Aligned, Alignment, spread
from models.service.columns import Columns, columns
from models.service.transforms import restore, stabilise

REACH = 8.0
"""Residuals are clipped to this many deviations."""
REBASED_N = 30.0
"""Observations that a level which was taken over is worth."""
LOCATION, SCALE = 1.0 - 0.5 ** (1.0 / 180.0), 1.0 - 0.5 ** (1.0 / 600.0)


@dataclass(frozen=True, slots=True)
class Residuals:
    """Rows of one frame: `vectors` (rows, F) over dense columns hold what hurts, in deviations; missing is 0.

    `low`, `high` and `decades` are over the frame's columns, as the port wants them.
    """

    aligned: Aligned
    vectors: F64
    low: F64
    high: F64
    decades: F64
    observed: B1


class Normaliser:
    """Exponentially weighted location and mean absolute deviation of each series in typed transforms."""

    def __init__(self, signal: Signal, width_s: float) -> None:
        self.alignment, self.width_s = Alignment(signal), width_s
        self.columns: Columns = columns((), signal)
        self.mean = np.zeros((0, 0))
        self.sigma = np.zeros((0, 0))
        self.n = np.zeros((0, 0))

    def update(self, frame: FeatureFrame, learn: B1) -> Residuals:
        """Residuals of the frame's rows, seen before learnt."""
        aligned = self.alignment.align(frame, learn)
        self._fit(aligned)
        inputs, c = aligned.inputs, self.columns
        rows = aligned.rows
        seen = np.isfinite(inputs.values)
        y = self._transform(np.nan_to_num(inputs.values), inputs.trials)
        first = seen & (self.n[rows] == 0)
        mean = np.where(first, y, self.mean[rows])
        n = self.n[rows]
        scale = (self.sigma[rows] + c.floor) * np.sqrt(1.0 + 6.0 / np.maximum(n, 1.0))
        r = np.where(seen, y - mean, 0.0)
        signed = np.clip(r / np.maximum(scale, 1e-9), -REACH, REACH)
        hurting = np.where(c.worse == 0, signed, np.maximum(signed * c.worse, 0.0))
        low, high = self._range(mean, scale, n)
        result = self._result(aligned, frame, (hurting, signed, low, high), seen)
        self._learn(rows, mean, r, seen & (learn & aligned.fresh)[:, None])
        return result

    def _transform(self, values: F64, trials: F64) -> F64:
        """`stabilise`, and Freeman & Tukey's arcsine for ratios, in binomial standard deviations."""
        y = stabilise(values.T, self.columns, self.width_s).T
        n = np.maximum(trials, 1.0)[:, None]
        share = np.clip((values[:, self.columns.ratio] * n + 0.375) / (n + 0.75), 0.0, 1.0)
        y[:, self.columns.ratio] = 2.0 * np.arcsin(np.sqrt(share)) * np.sqrt(n)
        return y

    def _range(self, mean: F64, scale: F64, n: F64) -> tuple[F64, F64]:
        low = restore((mean - 3.0 * scale).T, self.columns, self.width_s).T
        high = restore((mean + 3.0 * scale).T, self.columns, self.width_s).T
        low[:, self.columns.ratio], high[:, self.columns.ratio] = np.nan, np.nan
        return np.where(n < 8, np.nan, low), np.where(n < 8, np.nan, high)

    @staticmethod
    def _result(aligned: Aligned, frame: FeatureFrame, found: tuple[F64, F64, F64, F64], seen: B1) -> Residuals:
        hurting, signed, low, high = found
        width = len(frame.features)
        # a two-sided Gaussian's -log10 p, to leading order
        decades = np.sign(signed) * np.where(np.abs(signed) > 2.0, np.square(signed) / 4.605, 0.0)
        return Residuals(
            aligned=aligned,
            vectors=hurting,
            low=spread(low, aligned, width, np.nan),
            high=spread(high, aligned, width, np.nan),
            decades=spread(decades, aligned, width, 0.0),
            observed=np.asarray(seen.any(axis=1), np.bool_),
        )

    def _learn(self, rows: NDArray[np.intp], mean: F64, r: F64, learn: B1) -> None:
        n = self.n[rows]
        limit = np.where(n < 30, 10.0, 4.0) * (self.sigma[rows] + self.columns.floor)
        step = np.clip(r, -limit, limit)
        self.mean[rows] = np.where(learn, mean + np.maximum(LOCATION, 1.0 / (n + 1.0)) * step, self.mean[rows])
        rate = np.maximum(SCALE, 1.0 / (n + 6.0))
        self.sigma[rows] += np.where(learn & (n > 0), rate * (1.2533 * np.abs(step) - self.sigma[rows]), 0.0)
        self.n[rows] = n + learn

    def _fit(self, aligned: Aligned) -> None:
        if aligned.evicted is not None:
            self.mean, self.sigma, self.n = (a[aligned.evicted] for a in (self.mean, self.sigma, self.n))
        if aligned.widened is not None:
            self.columns = columns(self.alignment.names, self.alignment.signal)
        rows, width = len(self.alignment.slots), len(self.columns)
        old = aligned.widened if aligned.widened is not None else np.arange(self.mean.shape[1])
        if self.mean.shape != (rows, width):
            known = len(self.mean)
            for name, fill in (("mean", np.zeros(width)), ("sigma", self.columns.sigma), ("n", np.zeros(width))):
                wide = np.broadcast_to(fill, (rows, width)).copy()
                wide[:known, old] = getattr(self, name)
                setattr(self, name, wide)

    def rebase(self, series: SeriesKey, levels: Mapping[str, float]) -> dict[str, float]:
        """Take `levels` (by feature, in its own unit) for the locations of one series, whose old ones are returned; shares
        have none."""
        row, c = self.alignment.slots.find(series.service, series.peer), self.columns
        if row is None or row >= len(self.mean):
            return {}
        values = np.array([levels.get(name, np.nan) for name in c.names])
        y = stabilise(values[:, None], c, self.width_s)[:, 0]
        found = np.isfinite(y) & ~c.ratio & (self.n[row] > 0)
        before = restore(self.mean[row][:, None], c, self.width_s)[:, 0]
        self.mean[row, found] = y[found]
        self.n[row, found] = np.minimum(self.n[row, found], REBASED_N)
        return {c.names[i]: float(before[i]) for i in np.flatnonzero(found)}

    def plain(self) -> dict[str, Any]:
        """The state as plain values."""
        arrays = {"mean": self.mean, "sigma": self.sigma, "n": self.n}
        return {"alignment": self.alignment.plain(), "width_s": self.width_s, **arrays}

    @classmethod
    def of(cls, plain: dict[str, Any]) -> Normaliser:
        """Inverse of `plain`."""
        alignment = Alignment.of(plain["alignment"])
        it = cls(alignment.signal, plain["width_s"])
        it.alignment, it.columns = alignment, columns(alignment.names, alignment.signal)
        it.mean, it.sigma, it.n = plain["mean"], plain["sigma"], plain["n"]
        return it


def width_seconds(frame: FeatureFrame) -> float:
    """Width of the frame's window in seconds."""
    return frame.width_ns / SECOND
