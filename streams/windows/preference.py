"""Which of several views of one fact counts: the best that was told of lately (`contracts.frames.views`).

Sources come at different times (a container's figures every fifteen seconds, its process's every five), so what was told of is
remembered beyond a window: else a service's CPU would change its meaning from window to window.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from contracts.frames.decoded import B1, I64, U64
from contracts.frames.views import MOST_VIEWS, ranks
from contracts.units import MINUTE

KEPT_NS: Final = 5 * MINUTE
"""So long a view is preferred after it was last told of."""
_MOST: Final = 200_000


class Preference:
    """The views of facts of one environment's services. A fact is a number (`cell`)."""

    def __init__(self) -> None:
        self._told: dict[int, dict[int, int]] = {}

    def preferred(self, cell: I64, series: U64, time_ns: I64) -> B1:
        """Which of some points count."""
        rank = ranks(series)
        kept = np.ones(len(rank), np.bool_)
        some = np.flatnonzero(rank)
        if not len(some):
            return kept
        pair, which = np.unique(cell[some] * 256 + rank[some], return_inverse=True)
        newest = np.zeros(len(pair), np.int64)
        np.maximum.at(newest, which.ravel(), time_ns[some])
        asked = [(*divmod(p, 256), ns) for p, ns in zip(pair.tolist(), newest.tolist(), strict=True)]
        for fact, view, ns in asked:
            told = self._told.setdefault(fact, {})
            told[view] = max(ns, told.get(view, 0))
        verdict = np.array([_is_best(view, self._told[fact], ns) for fact, view, ns in asked], np.bool_)
        kept[some] = verdict[which.ravel()]
        if len(self._told) > _MOST:
            self._forget(int(newest.max()) - KEPT_NS)
        return kept

    def _forget(self, before_ns: int) -> None:
        self._told = {fact: told for fact, told in self._told.items() if max(told.values()) >= before_ns}
        if len(self._told) > _MOST:
            self._told = {}

    def state(self) -> list[list[Any]]:
        """For a snapshot."""
        return [[fact, list(told.items())] for fact, told in self._told.items()]

    def load(self, state: list[list[Any]]) -> None:
        """Take the state of a snapshot."""
        self._told = {fact: dict(told) for fact, told in state}


def _is_best(rank: int, told: dict[int, int], now_ns: int) -> bool:
    """Whether no better view of the same group was told of lately."""
    group, view = divmod(rank, MOST_VIEWS + 1)
    better = (r for r, ns in told.items() if now_ns - ns <= KEPT_NS and r // (MOST_VIEWS + 1) == group)
    return not any(r % (MOST_VIEWS + 1) < view for r in better)
