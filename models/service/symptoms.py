"""What users feel of a departure, apart from what a service does to itself: the part of the evidence that may become an incident.

Latency counts where it is slower by a factor that is noticed; a new version may take a little longer at first. Fewer requests count where work is left undone; that begins suddenly,
while an office that closes takes minutes. More requests are what a service is there for.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from contracts.frames.decoded import B1, F64
from models.judgement import DROP_LEFT, DROP_SUDDEN, NOTICED_FACTOR, NOTICED_WHEN_NEW, STILL_SLOW
from models.service.columns import Columns
from models.service.state import BankState

_SLOWER, _SLOWER_NEW = float(np.log(NOTICED_FACTOR)), float(np.log(NOTICED_WHEN_NEW))


@dataclass(frozen=True, slots=True)
class Fewest:
    """Rows with fewer requests than usual: those of which none came for longer than ever, whose requests have dropped for long enough to
    open, of which request by request was tested that they became fewer, and those of which that began suddenly."""

    silent: B1
    dropped: B1
    ebbs: B1
    sudden: B1


def felt_by_users(s: BankState, c: Columns, said: tuple[F64, F64, NDArray[np.int8]], fewest: Fewest) -> tuple[F64, F64]:
    """Decades (F, S) of what users feel, and of those what may open an anomaly. `said`: decades above the base that hurt, signs, and
    the windows that spoke."""
    hurting, sign, which = said
    sudden = felt = np.where(c.symptom[:, None], hurting, 0.0)
    slow = np.flatnonzero(c.latency)
    if len(slow) and (felt[slow] > 0).any():
        acc = s.acc[:, slow]
        least = np.where(s.deploy > 0, _SLOWER_NEW, _SLOWER)
        spoke = np.take_along_axis(acc, which[slow][None].astype(np.intp), axis=0)[0]
        felt[slow] *= np.maximum(spoke, acc[2]) >= least
        sudden = felt.copy()
        sudden[slow] *= acc[0] >= STILL_SLOW * _SLOWER
    if c.traffic >= 0:
        fewer = (sign[c.traffic] < 0) & (felt[c.traffic] > 0)
        felt[c.traffic] *= fewer
        sudden[c.traffic] *= fewer
        if fewer.any():
            acc, usual = s.acc[:, c.traffic], np.maximum(s.mean[c.traffic], 1e-9)
            brief = which[c.traffic] < 2
            shown = np.where(brief, acc[1], acc[2])
            low = np.square(np.maximum(1.0 + shown / usual, 0.0)) <= DROP_LEFT
            felt[c.traffic] *= fewest.silent | fewest.ebbs | low
            sudden = sudden.copy() if sudden is felt else sudden
            fast = np.where(fewest.ebbs, fewest.sudden, acc[3] > np.where(brief, *DROP_SUDDEN) * shown)
            sudden[c.traffic] = felt[c.traffic] * (fewest.silent | (fewest.dropped & fast))
    return felt, sudden
