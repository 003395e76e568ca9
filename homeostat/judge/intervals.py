"""JudgeFigures with the interval that chance leaves them: shares (Wilson, 1927), and quantiles and means (percentile bootstrap; Efron, 1979)."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Final

import msgspec
import numpy as np

Z95: Final = 1.959964
ROUNDS: Final = 400


class WithInterval(msgspec.Struct, frozen=True):
    """A figure of `n` cases, and the interval that holds the true one with probability 0.95."""

    value: float | None
    low: float | None
    high: float | None
    n: int

    def words(self, digits: int = 2, unit: str = "") -> str:
        """`0.93 (0.88–0.96, 210)`."""
        if self.value is None or self.low is None or self.high is None:
            return "—"
        return f"{self.value:.{digits}f}{unit} ({self.low:.{digits}f}–{self.high:.{digits}f}, {self.n})"


NOTHING_KNOWN: Final = WithInterval(None, None, None, 0)


def share(hits: Sequence[bool]) -> WithInterval:
    """A share, with its Wilson interval."""
    n = len(hits)
    if not n:
        return NOTHING_KNOWN
    p, z2 = sum(hits) / n, Z95**2
    centre = (p + z2 / (2 * n)) / (1 + z2 / n)
    half = Z95 * math.sqrt(p * (1 - p) / n + z2 / (4 * n * n)) / (1 + z2 / n)
    return WithInterval(p, max(0.0, centre - half), min(1.0, centre + half), n)


def quantile(values: Sequence[float], q: float = 0.5) -> WithInterval:
    """A quantile, with its bootstrap interval."""
    return _resampled(values, lambda x: np.quantile(x, q, axis=-1))


def mean(values: Sequence[float]) -> WithInterval:
    """A mean, with its bootstrap interval."""
    return _resampled(values, lambda x: np.mean(x, axis=-1))


def ratio(parts: Sequence[float], wholes: Sequence[float], scale: float = 1.0) -> WithInterval:
    """A sum over a sum, cases drawn anew together."""
    n = len(parts)
    a, b = np.asarray(parts, float), np.asarray(wholes, float)
    if not n or b.sum() <= 0:
        return NOTHING_KNOWN
    drawn = np.random.default_rng(1).integers(0, n, (ROUNDS, n))
    values = scale * a[drawn].sum(axis=1) / np.maximum(b[drawn].sum(axis=1), 1e-12)
    low, high = np.quantile(values, (0.025, 0.975))
    return WithInterval(float(scale * a.sum() / b.sum()), float(low), float(high), n)


def _resampled(values: Sequence[float], of: Callable[[np.ndarray], np.ndarray]) -> WithInterval:
    x = np.asarray(values, float)
    if not len(x):
        return NOTHING_KNOWN
    drawn = np.random.default_rng(1).integers(0, len(x), (ROUNDS, len(x)))
    low, high = np.quantile(of(x[drawn]), (0.025, 0.975))
    return WithInterval(float(of(x)), float(low), float(high), len(x))
