"""What one more window of telemetry is worth before acting: the expected value of information (Howard, IEEE Trans. SSC-2, 1966). Pure.

Knowing the cause for certain would be worth what the best remedy of each cause is worth, less what the best of all is worth as it is.
A window tells a part of that, and less and less: what has not shown shortly after the onset seldom shows later. While a part of it is
worth more than what callers suffer meanwhile, it is waited for.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

from contracts.events import Incident
from contracts.units import SECOND
from playbooks.decision.candidates import Proposal, top_causes
from playbooks.decision.scoring import WEIGHT, ask_a_person, value_under
from playbooks.decision.world import DecisionWorld

TELLS: Final = 0.25
"""Share of what is not known that the first window tells."""
FADES_S: Final = 6.0
"""Seconds in which that share falls to a third."""
SUFFERED: Final = 0.02
"""What callers suffer in one window, in the score's unit, before weighting."""


def worth_waiting(proposals: Sequence[Proposal], best: float, incident: Incident, world: DecisionWorld) -> bool:
    """Whether one more window is worth more than acting now; `proposals` are those that nothing holds back, `best` the best score."""
    age_s = max(world.now_ns - incident.ranked_from_ns, 0) / SECOND
    tells = TELLS * math.exp(-age_s / FADES_S)
    unknown = _perfect(proposals, incident, world) - best
    return tells * unknown > SUFFERED * WEIGHT[incident.severity]


def _perfect(proposals: Sequence[Proposal], incident: Incident, world: DecisionWorld) -> float:
    """Expected worth of acting with the cause known."""
    causes = top_causes(incident)
    otherwise = max(ask_a_person(incident).score, 0.0)
    rest = max(1 - sum(c.probability for c in causes), 0.0)
    found = [c.probability * max([otherwise, *(value_under(p, c, incident, world) for p in proposals)]) for c in causes]
    return sum(found) + rest * otherwise
