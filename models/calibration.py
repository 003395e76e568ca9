"""From scores of any scale to p-values: conformal ranks, with an exponential tail beyond the largest score seen."""

from __future__ import annotations

import numpy as np

from contracts.frames.decoded import F64
from models.judgement import LEAST_P, TAIL_FROM


def conformal_p(scores: F64, reference: F64) -> F64:
    """P-values of `scores` (higher is stranger) against calm `reference` scores, sorted ascending and not empty.

    Inside the reference the conformal rank (1 + #{reference >= score}) / (n + 1), valid for exchangeable scores whatever
    their distribution (Vovk, Gammerman & Shafer 2005, ch. 2). Beyond its 90 % quantile an exponential tail with the mean
    excess there, so that a p-value can fall below 1/n (peaks over threshold: Pickands 1975; Siffer et al. 2017); of the
    two, inside the reference, the larger. A constant reference has no tail to go by.
    """
    n = len(reference)
    rank = (1.0 + n - np.searchsorted(reference, scores, side="left")) / (n + 1.0)
    threshold = reference[min(int(TAIL_FROM * n), n - 1)]
    spread = float(reference[-1] - reference[0])
    if spread <= 0.0:
        return np.clip(rank, LEAST_P, 1.0)
    beyond = reference[reference > threshold] - threshold
    excess = max(float(beyond.mean()) if len(beyond) else 0.0, 0.02 * spread)
    tail = (1.0 - TAIL_FROM) * np.exp(-np.clip((scores - threshold) / excess, 0.0, 100.0))
    p = np.where(scores > reference[-1], np.minimum(tail, rank), rank)
    return np.clip(p, LEAST_P, 1.0)


class Reference:
    """The last `size` calm scores of one stream, as a ring."""

    def __init__(self, size: int, values: F64 | None = None, count: int = 0) -> None:
        self.values = np.zeros(size) if values is None else values
        self.count = count

    def __len__(self) -> int:
        return min(self.count, len(self.values))

    def add(self, score: float) -> None:
        """Take in a calm score."""
        self.values[self.count % len(self.values)] = score
        self.count += 1

    def p(self, score: float) -> float:
        """P-value of `score`; 1 while nothing is known."""
        if not len(self):
            return 1.0
        reference = np.sort(self.values[: len(self)])
        return float(conformal_p(np.array([score]), reference)[0])
