"""How the instances of a service compare, by how the requests of each fare (`contracts.parts`): one that is sick among others that are
well has a trouble of its own; where all are sick alike, what they share is the trouble.

Where telemetry comes in, instances are told of only while one of them fares otherwise than before (`otherwise`); what that means is judged
where causes are ranked (`compared`).
"""

from __future__ import annotations

import enum
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from contracts.nodes import NODE, ZONE, Ground
from contracts.parts import BEFORE_NS, LATELY_NS, Part
from contracts.units import SECOND

INSTANCE: Final = "service.instance.id"
"""By which attribute of a part its instance is known."""
POD_NAME: Final = "k8s.pod.name"
MOST_INSTANCES: Final = 16
"""Told of one service; those with the most requests."""
ENOUGH: Final = 10.0
"""Requests from which something can be said of an instance."""
SIGMAS: Final = 5.0
"""Beyond chance, for one that is sick; what is within `WELL_SIGMAS`, or hardly otherwise, is well."""
WELL_SIGMAS: Final = 3.0
SLOWER: Final = 0.4
"""By so many standard deviations of their routes requests of a sick instance are slower than they were, averaged over what counts as lately:
half of requests that take twice as long, seconds after they began to."""
MORE_FAIL: Final = 0.03
FEWEST_FAIL: Final = 0.01
"""By so much the share of failures of a sick instance is above that of before; a share that is nothing, however few there were before."""
QUIET_NS: Final = 8 * SECOND
UNSEEN: Final = 10.0
STILL_ASKED: Final = 0.7
"""An instance that was heard of last so much longer ago than another (exporters send every five seconds) is silent if it would have had so many
requests since, while others that had such a share of the rest go on."""
YOUNG: Final = 1.0
"""Times what counts as lately that must count as before for an instance not to be new: of a new one it is not known what is usual (it warms up),
and where there is one, those that are silent were replaced."""
NEWER: Final = 0.5
"""Share of the others' history (in all, and for each request of lately) below which an instance is newer than they are: half of it is kept for
`BEFORE_NS`. What it had before lately may be of after the trouble began: by that it would be well as soon as it is no longer young."""
HOT: Final = 1.5
"""Times the others' growth of requests from which an instance is slow by what it alone is asked for."""
ALIKE: Final = 0.5
"""Share of what the sickest suffers that each other suffers as well where all are sick alike."""
_OTHERWISE_SIGMAS: Final = 4.0
_PER_NS: Final = math.log(2.0) / (BEFORE_NS - LATELY_NS)
"""Requests in a nanosecond, of requests that come evenly, for each that counts as before."""
_SHARE: Final = LATELY_NS / (BEFORE_NS - LATELY_NS)
"""What counts as lately of requests that come evenly, for each that counts as before."""


class Ailment(enum.StrEnum):
    """What is wrong with an instance."""

    SLOW = "slow"
    FAILING = "failing"
    SILENT = "silent"


@dataclass(frozen=True, slots=True)
class ComparedInstances:
    """The instances of a service: how many can be judged, the sick ones with what ails them (the sickest first), and whether all of them
    are sick alike."""

    known: int
    sick: tuple[tuple[Part, Ailment], ...] = ()
    alike: bool = False
    well: tuple[Part, ...] = ()
    """Those that are well, where some are sick."""

    @property
    def apart(self) -> tuple[Part, Ailment] | None:
        """The one that is sick while all others are well."""
        return self.sick[0] if len(self.sick) == 1 and self.known > 1 else None

    @property
    def sickest(self) -> Part | None:
        """The sickest where all are sick alike; of equals the first by name."""
        return self.sick[0][0] if self.alike else None


def name_of(part: Part) -> str:
    """What a platform calls the instance: its pod's name where it has one."""
    return part.pod.get(POD_NAME) or part.attributes.get(INSTANCE, "")


def ground_under(part: Part) -> Ground:
    """What an instance runs on."""
    return Ground(part.pod.get(NODE, ""), part.pod.get(ZONE, ""))


def otherwise(parts: Iterable[Part]) -> bool:
    """Whether any of these fares otherwise than before, beyond what chance does: worth telling of."""
    return any(
        _unseen(p) >= UNSEEN
        or _excess(p) * math.sqrt(max(p.lately.asked, 0.0) / _usual(p)) >= _OTHERWISE_SIGMAS
        or _slower(p) * math.sqrt(max(p.lately.known, 0.0)) >= _OTHERWISE_SIGMAS
        for p in parts
    )


def compared(parts: Sequence[Part]) -> ComparedInstances:
    """Who of them is sick, as of the newest word.

    Shapes: sums decay with half-lives (`LATELY_NS`, `BEFORE_NS`), so counts are requests weighed by their age. A share of failures is tested
    by the normal approximation of the binomial distribution, slowness by the mean of standardised durations.
    """
    newest_ns = max((p.time_ns for p in parts), default=0)
    parts = [p.at(newest_ns) for p in parts]
    young = [p for p in parts if p.lately.asked >= 1.0 and p.before.asked < YOUNG * p.lately.asked]
    quiet_ns = max((p.heard_ns for p in parts), default=0) - QUIET_NS
    judged = [
        p
        for p in parts
        if p not in young
        and not _newer(p, parts)
        and ((p.heard_ns > quiet_ns and p.lately.asked >= ENOUGH) or (_silent(p, quiet_ns) and not young))
    ]
    if len(judged) < 2:
        return ComparedInstances(len(judged))
    found = [(p, a) for p in judged if (a := _ailment(p, judged, quiet_ns)) is not None]
    found.sort(key=lambda pa: (-_suffers(pa[0], pa[1]), name_of(pa[0])))
    alike = len(found) == len(judged) and len({a for _, a in found}) == 1
    if alike:
        most = _suffers(*found[0])
        alike = all(_suffers(p, a) >= ALIKE * most for p, a in found)
    elif not all(_well(p) for p in judged if all(p is not s for s, _ in found)):
        return ComparedInstances(len(judged))  # some are between well and sick: nothing can be said yet
    well = tuple(p for p in judged if found and all(p is not s for s, _ in found))
    return ComparedInstances(len(judged), tuple(found), alike, well)


def _newer(part: Part, parts: Sequence[Part]) -> bool:
    """Whether it was started well after the others."""
    others = [p for p in parts if p is not part and p.lately.asked >= ENOUGH]
    if part.lately.asked < ENOUGH or not others:
        return False
    longest = max(p.before.asked / p.lately.asked for p in others)
    middle = sorted(p.before.asked for p in others)[len(others) // 2]
    return part.before.asked < NEWER * min(middle, longest * part.lately.asked)


def _ailment(part: Part, judged: Sequence[Part], quiet_ns: int) -> Ailment | None:
    rest = [p for p in judged if p is not part]
    if _silent(part, quiet_ns):
        heard = sum(_expected(p) for p in rest if p.heard_ns > quiet_ns)
        return Ailment.SILENT if heard >= STILL_ASKED * sum(map(_expected, rest)) else None
    usual = _usual(part)
    if _excess(part) >= MORE_FAIL and _excess(part) * math.sqrt(part.lately.asked / usual) >= SIGMAS:
        return Ailment.FAILING
    slower = _slower(part)
    slow = slower >= SLOWER and slower * math.sqrt(part.lately.known) >= SIGMAS
    return Ailment.SLOW if slow and not _favoured(part, rest) else None


def _favoured(part: Part, rest: Sequence[Part]) -> bool:
    """Whether it is asked for more than before, and the others are not: a key, a shard or a tenant of its own is hot."""
    lately, before = (sum(f.asked for f in x) for x in ([p.lately for p in rest], [p.before for p in rest]))
    return part.lately.asked * before >= HOT * lately * part.before.asked


def _well(part: Part) -> bool:
    """Of one that was hardly asked for anything no more is wanted."""
    if part.lately.asked < ENOUGH:
        return True
    failing = (
        _excess(part) >= MORE_FAIL / 2 and _excess(part) * math.sqrt(part.lately.asked / _usual(part)) > WELL_SIGMAS
    )
    slower = _slower(part)
    return not failing and not (slower >= SLOWER / 2 and slower * math.sqrt(part.lately.known) > WELL_SIGMAS)


def _suffers(part: Part, ailment: Ailment) -> float:
    if ailment is Ailment.SLOW:
        return _slower(part)
    return _excess(part) if ailment is Ailment.FAILING else 1.0


def _silent(part: Part, quiet_ns: int) -> bool:
    return part.heard_ns <= quiet_ns and _unseen(part) >= UNSEEN


def _unseen(part: Part) -> float:
    """Requests that it would have had since it was last heard of."""
    return _PER_NS * part.before.asked * (part.time_ns - part.heard_ns)


def _expected(part: Part) -> float:
    """Requests that would count as lately, had they come as before."""
    return _SHARE * part.before.asked


def _usual(part: Part) -> float:
    """Variance of one request's failing, as usual."""
    usual = min(max(part.before.share, FEWEST_FAIL), 0.99)
    return usual * (1.0 - usual)


def _excess(part: Part) -> float:
    """By how much its share of failures is above that of before."""
    return max(part.lately.share - max(part.before.share, FEWEST_FAIL), 0.0)


def _slower(part: Part) -> float:
    return part.lately.mean_pace - part.before.mean_pace
