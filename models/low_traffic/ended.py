"""Whether what was unusual of a service with little traffic is over: a test of what came lately against what came while it lasted.

Looks pool half a minute and more, so what is over for twenty seconds is still in them. The newest requests alone can say that it is: a
mirrored test of each reason, request by request, as models.service.failing has it of shares.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from contracts.frames.decoded import F64
from models.judgement import ENDED_NATS, FEWEST_LEFT, LESS_LEFT


@dataclass(frozen=True, slots=True)
class Illness:
    """What follows a request of one kind: usually, and at the worst while it was unusual; `bunch`: events that come at once."""

    usual: float
    worst: float
    bunch: float

    @property
    def more(self) -> bool:
        """Whether it is more than usual, not less."""
        return self.worst > self.usual

    def grown(self, other: Illness) -> Illness:
        """The worse one of two looks."""
        worse = other.worst > self.worst if self.more else other.worst < self.worst
        return other if worse else self


def ended(events: F64, requests: F64, ill: Illness) -> bool:
    """Whether the newest windows, as many as say most, are like what is usual rather than like an illness. Events and the requests that
    they follow, by window, oldest first; NaN where either is not known."""
    known = np.isfinite(events) & np.isfinite(requests)
    events, requests = np.where(known, events, 0.0), np.where(known, requests, 0.0)
    if ill.more:
        worst = ill.worst
        back = min(max(ill.usual, LESS_LEFT * worst), 0.9 * worst)
    else:
        worst, back = max(ill.worst, FEWEST_LEFT * ill.usual), ill.usual
    if back <= 0.0 or worst <= 0.0:
        return False
    gains = events * math.log(back / worst) + requests * (worst - back)
    newest = np.cumsum(gains[::-1]) / max(ill.bunch, 1.0)
    return bool(newest.max(initial=0.0) >= ENDED_NATS)
