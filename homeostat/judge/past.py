"""What whoever acts knows from before an episode: who was at work. A system has run for long when something befalls it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import numpy as np

from contracts.features import Signal
from contracts.frames import EvidenceFrame
from contracts.units import MINUTE, SECOND
from contracts.verdicts import ServiceState
from twin.blueprint import Role, SystemPlan

_MINUTES: Final = range(9, 3, -1)
"""Of before the episode: as many as it takes to count as at work, and none so near that it is taken for what is usual."""


def evidence_from_before(plan: SystemPlan, start_ns: int) -> Iterator[EvidenceFrame]:
    """That all services of a system which send telemetry served requests in the minutes before it began, and nothing else."""
    names = tuple(s.name for s in plan.services if s.role not in (Role.DATABASE, Role.CACHE, Role.THIRD_PARTY))
    rows = len(names)
    nothing = np.empty((rows, 0))
    for ago in _MINUTES:
        yield EvidenceFrame(
            environment=plan.environment,
            signal=Signal.SPANS,
            partition=0,
            window_ns=start_ns - ago * MINUTE,
            width_ns=SECOND,
            services=names,
            peers=("",) * rows,
            versions=("",) * rows,
            attributes=("",) * rows,
            features=(),
            values=nothing,
            counts=np.ones(rows, np.int64),
            score=nothing,
            low=nothing,
            high=nothing,
            p_value=np.ones(rows),
            state=(str(ServiceState.HEALTHY),) * rows,
            notes=("",) * rows,
        )
