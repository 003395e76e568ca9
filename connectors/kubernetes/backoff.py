"""Waiting longer after each failure, each process a little differently."""

from __future__ import annotations

import random
from typing import Final

FIRST_S: Final = 0.25
LONGEST_S: Final = 30.0


class Backoff:
    """Delays that double from `first_s` to `longest_s`, each at random between half and the whole of it."""

    def __init__(self, seed: int, *, first_s: float = FIRST_S, longest_s: float = LONGEST_S) -> None:
        self._random = random.Random(seed)
        self._first_s, self._longest_s = first_s, longest_s
        self._failures = 0

    def reset(self) -> None:
        """It went well."""
        self._failures = 0

    def next_s(self) -> float:
        """How long to wait now."""
        whole = min(self._longest_s, self._first_s * 2 ** min(self._failures, 30))
        self._failures += 1
        return float(whole * self._random.uniform(0.5, 1.0))
