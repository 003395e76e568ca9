"""Extremely randomised trees (Geurts, Ernst and Wehenkel, Machine Learning 2006) that tell culprits from the others.

They learn what a linear score can't: that a symptom counts only where another is missing.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import NDArray

from contracts.frames.decoded import F64

TREES: Final = 100
_LEAST: Final = 2
_TRIED: Final = 0.1
_AT_ONCE: Final = 1 << 15
"""Trees, rows of a leaf at least, the share of columns that are tried for a split, and numbers that are looked at at once."""

Rows = NDArray[np.intp]
Columns = NDArray[np.float32]


@dataclass(slots=True)
class _RandomTree:
    """Nodes by number: column and limit of a split with its children, or a leaf's share of culprits (`column` -1)."""

    column: list[int] = field(default_factory=list)
    limit: list[float] = field(default_factory=list)
    below: list[int] = field(default_factory=list)
    above: list[int] = field(default_factory=list)
    share: list[float] = field(default_factory=list)

    def leaf(self, share: float) -> int:
        """A new node, a leaf as yet."""
        for values, value in ((self.column, -1), (self.below, 0), (self.above, 0)):
            values.append(value)
        self.limit.append(0.0)
        self.share.append(share)
        return len(self.column) - 1

    def shares(self, x: Columns) -> F64:
        """The share of culprits in the leaf of each row (`x`: column, row)."""
        column, below, above = (np.array(v, np.intp) for v in (self.column, self.below, self.above))
        limit = np.array(self.limit, np.float32)
        at = np.zeros(x.shape[1], np.intp)
        rows = np.arange(x.shape[1])
        while (inner := column[at] >= 0).any():
            here = at[inner]
            at[inner] = np.where(x[column[here], rows[inner]] <= limit[here], below[here], above[here])
        return np.array(self.share)[at]


class ChanceTrees:
    """Trees grown on rows of which some are culprits. The same rows and seed give the same trees."""

    def __init__(self, x: F64, right: F64, trees: int = TREES, seed: int = 0) -> None:
        columns, random = np.ascontiguousarray(x.T, np.float32), np.random.default_rng(seed)
        self._trees = [_grown(columns, right, random) for _ in range(trees if len(x) else 0)]

    def shares(self, x: F64) -> F64:
        """How much like a culprit each row is, 0 to 1."""
        columns = np.ascontiguousarray(x.T, np.float32)
        total = np.zeros(len(x))
        for tree in self._trees:
            total += tree.shares(columns)
        return total / max(1, len(self._trees))


def _grown(x: Columns, right: F64, random: np.random.Generator) -> _RandomTree:
    tree = _RandomTree()
    rows = np.arange(x.shape[1])
    open_ = [(tree.leaf(float(right.mean())), rows)]
    while open_:
        node, rows = open_.pop()
        if not 0.0 < tree.share[node] < 1.0 or len(rows) < 2 * _LEAST:
            continue
        found = _split(x, right, rows, random)
        if found is None:
            continue
        tree.column[node], tree.limit[node] = found
        low = x[found[0], rows] <= found[1]
        tree.below[node], tree.above[node] = (tree.leaf(float(right[part].mean())) for part in (rows[low], rows[~low]))
        open_ += [(tree.below[node], rows[low]), (tree.above[node], rows[~low])]
    return tree


def _split(x: Columns, right: F64, rows: Rows, random: np.random.Generator) -> tuple[int, float] | None:
    """Of columns that differ among rows, each cut at random, the one that parts culprits from others best (Gini)."""
    wanted = max(1, int(_TRIED * len(x)))
    order, tried, at_once = random.permutation(len(x)), 0, max(wanted, _AT_ONCE // len(rows))
    best: tuple[float, int, float] | None = None
    for start in range(0, len(x), at_once):
        chosen = order[start : start + at_once]
        values = x[np.ix_(chosen, rows)]
        low, high = values.min(axis=1), values.max(axis=1)
        differ = np.flatnonzero(low < high)[: wanted - tried]
        tried += len(differ)
        limits = low + np.asarray(random.random(len(low)), np.float32) * (high - low)
        limits = np.where(limits < high, limits, low)
        if len(differ):
            gain, at = _best(values[differ] <= limits[differ, None], right[rows])
            if np.isfinite(gain) and (best is None or gain > best[0]):
                best = gain, int(chosen[differ[at]]), float(limits[differ[at]])
        if tried >= wanted:
            break
    return best[1:] if best else None


def _best(low: NDArray[np.bool_], right: F64) -> tuple[float, int]:
    """The best of several ways to part rows, and what it gains."""
    n, hits = len(right), right.sum()
    few, mine = low.sum(axis=1), low @ right
    rest, others = n - few, hits - mine
    gain = mine**2 / np.maximum(few, 1) + others**2 / np.maximum(rest, 1) - hits**2 / n
    gain = np.where(np.minimum(few, rest) >= _LEAST, gain, -np.inf)
    at = int(np.argmax(gain))
    return float(gain[at]), at
