"""Which of several workloads that share a service's name is meant, where their own requests say so. Pure.

One is singled out only if its requests fare far worse than they did, and than those of all the others do now, and if it accounts for
nearly all that is wrong. It must be known by a pod's uid, too: whoever acts asks the cluster whose pod that is, so that a name that
somebody merely claims is never acted on. In any other case a person is asked, and told of all of them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Final

from contracts.claims import CHOSEN, CONTESTED, PARTS, POD_KEYS, TARGET_KEYS
from contracts.parts import Fared, Part, parts_from

_UID: Final = "k8s.pod.uid"
ENOUGH: Final = 20.0
"""Requests from which something can be said of a workload."""
FEWEST_FAIL: Final = 0.01
"""Share of failures that is nothing, however few there were before."""
MORE_FAIL: Final = 0.05
"""By so much a sick workload's share of failures is above that of before, and above the others'."""
SLOWER: Final = 1.0
"""By so many standard deviations of their routes requests of a sick workload are slower, and of a well one less than half of that."""
SIGMAS: Final = 5.0
"""Beyond chance, for the sick one; what is within `WELL_SIGMAS` is well."""
WELL_SIGMAS: Final = 3.0
MOST_OF_IT: Final = 0.8
"""Share of all that is wrong for which the sick one accounts."""


def singled_out(attributes: Mapping[str, str]) -> dict[str, str]:
    """The attributes of a service with only that workload's claim where one is singled out; else as they are, with all in words."""
    parts = parts_from(attributes.get(PARTS, "")) if CONTESTED in attributes else []
    if len(parts) < 2:
        return dict(attributes)
    words = ", ".join(p.words for p in parts)
    sick = _sick(parts)
    if sick is None or not sick.pod.get(_UID):
        return {**attributes, CONTESTED: f"{attributes[CONTESTED]}; {words}"}
    rest = {k: v for k, v in attributes.items() if k not in {*TARGET_KEYS, *POD_KEYS, CONTESTED, PARTS}}
    return (
        rest
        | dict(sick.attributes)
        | dict(sick.pod)
        | {CHOSEN: f"of those that share its name only one is sick: {words}"}
    )


def _sick(parts: list[Part]) -> Part | None:
    """The one whose requests fail, or are slow, while all others are well."""
    found = [p for p in parts if _fails(p) or _slow(p)]
    if len(found) != 1:
        return None
    (sick,), others = found, [p for p in parts if p is not found[0]]
    if _fails(sick):
        wrong, apart = sum(_unusual(p) for p in parts), sick.lately.share - MORE_FAIL
        alone = _unusual(sick) >= MOST_OF_IT * wrong and all(o.lately.share <= apart for o in others)
    else:
        wrong = sum(max(p.lately.pace, 0.0) for p in parts)
        alone = sick.lately.pace >= MOST_OF_IT * wrong
    return sick if alone and all(_well(o) for o in others) else None


def _fails(part: Part) -> bool:
    usual = max(part.before.share, FEWEST_FAIL)
    return _beyond(part.lately, usual) >= SIGMAS and part.lately.share >= usual + MORE_FAIL


def _unusual(part: Part) -> float:
    """Failures beyond those that its requests had before."""
    return max(part.lately.failed - part.lately.asked * part.before.share, 0.0)


def _slow(part: Part) -> bool:
    known = part.lately.known
    slower = part.lately.mean_pace - part.before.mean_pace
    return known >= ENOUGH and slower >= SLOWER and slower * math.sqrt(known) >= SIGMAS


def _well(part: Part) -> bool:
    """Of one that was hardly asked for anything no more is wanted."""
    if part.lately.asked < ENOUGH:
        return True
    well = _beyond(part.lately, max(part.before.share, FEWEST_FAIL)) < WELL_SIGMAS
    return well and part.lately.mean_pace - part.before.mean_pace < SLOWER / 2


def _beyond(fared: Fared, usual: float) -> float:
    """How many standard deviations more requests failed than usual (normal approximation of the binomial distribution)."""
    if fared.asked < ENOUGH:
        return 0.0
    usual = min(usual, 0.99)
    return (fared.failed - fared.asked * usual) / math.sqrt(fared.asked * usual * (1.0 - usual))
