"""Views of one fact: a service's CPU told by its container, its process and its runtime is one CPU, told three times.

What a series tells is part of its id: of which group of facts it is, and how good a view of that it is (1 is the best). Ids
without a view are facts of their own.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from contracts.frames.decoded import I64, U64

MOST_VIEWS: Final = 31
MOST_GROUPS: Final = 7
_TAG: Final = 0xB << 60
_HASH: Final = (1 << 52) - 1


def series_id(hashed: int, view: int = 0) -> int:
    """The id of a series with this 64-bit hash; `view` as of `rank_of`, 0 where it is no view of anything."""
    kept = hashed & _HASH
    return _TAG | kept << 8 | view if view else kept


def rank_of(group: int, view: int) -> int:
    """Group and view as one number below 256. Views beyond the last one that has a number share its number."""
    return group << 5 | min(view, MOST_VIEWS)


def ranks(series: U64) -> I64:
    """Ranks of series; 0 where they are no views."""
    tagged = series >> np.uint64(60) == np.uint64(_TAG >> 60)
    return np.where(tagged, series & np.uint64(0xFF), 0).astype(np.int64)
