"""Is this process alive, is it ready, is it well? Pure verdicts over what it knows of itself; `web/server.py` serves them.

Alive means that the consume loop makes progress, or waits for something outside and tries again: a broker that is away is no
reason to restart a process, a loop that stands still is. Ready means that the process does its share of the work: it has its
partitions with their state, or stands by because the group has more members than partitions. Healthy means ready, and lacking
nothing: a process that is minutes behind, or whose disk is full, is alive and ready, and no good.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import Any, Final

from homeostat.checkup import Lack
from homeostat.times import utc

STUCK_S: Final = 30.0
"""A loop that made no progress for this long, in seconds, stands still; it turns every `ingest.flush_ms` (at most 5 s), and
a repeated attempt is progress, too (at most 5 s apart)."""


class ProcessState(enum.StrEnum):
    """What a process is doing, in one word. Live are all but `STUCK`; ready are `WORKING` and `STANDING_BY`."""

    STARTING = "starting"  # parts are being opened: see `waiting_for`
    JOINING = "joining"  # the consumer group has not said yet which partitions are ours
    RECOVERING = "recovering"  # state of the partitions is being read
    WORKING = "working"
    STANDING_BY = "standing_by"  # a member of the group without partitions: there are more workers than partitions
    STUCK = "stuck"  # the consume loop stands still
    STOPPING = "stopping"


_READY: Final = frozenset({ProcessState.WORKING, ProcessState.STANDING_BY})


@dataclass(frozen=True, slots=True)
class Vitals:
    """What a process knows of itself. `waiting_for`: the part being opened, empty once all are; ages in seconds."""

    waiting_for: str = ""
    stopping: bool = False
    member: bool = False
    partitions: int = 0
    recovering: int = 0
    """Stage states that are still to be read."""
    loop_age_s: float = 0.0
    """Time since the consume loop last made progress."""
    crashed: bool = False
    """Whether the consumer gave up."""
    lacks: tuple[Lack, ...] = ()

    @property
    def condition(self) -> ProcessState:
        """The first of these that holds: what keeps a process from its work comes first."""
        if self.stopping:
            return ProcessState.STOPPING
        if self.waiting_for:
            return ProcessState.STARTING
        if self.crashed or self.loop_age_s > STUCK_S:
            return ProcessState.STUCK
        if not self.member:
            return ProcessState.JOINING
        if not self.partitions:
            return ProcessState.STANDING_BY
        return ProcessState.RECOVERING if self.recovering else ProcessState.WORKING

    @property
    def live(self) -> bool:
        """False only where a restart would help."""
        return self.condition is not ProcessState.STUCK

    @property
    def ready(self) -> bool:
        """Whether the process does its share of the work."""
        return self.condition in _READY

    @property
    def healthy(self) -> bool:
        """Whether it does its share, and nothing is lacking."""
        return self.ready and not self.lacks

    def report(self) -> dict[str, Any]:
        """As JSON: the condition, why, what is lacking, and the numbers behind it."""
        return {
            "healthy": self.healthy,
            "lacks": [{"what": x.what, "text": x.text, "since": utc(x.since_ns)} for x in self.lacks],
            "condition": self.condition.value,
            "reason": CRASHED
            if self.condition is ProcessState.STUCK and self.crashed
            else _REASONS[self.condition].format(v=self),
            "partitions": self.partitions,
            "recovering": self.recovering,
            "loop_age_s": round(self.loop_age_s, 1),
        }


CRASHED: Final = "the consumer gave up: its last words are in the log"
_REASONS: Final = {
    ProcessState.STARTING: "waiting for the {v.waiting_for}",
    ProcessState.JOINING: "the consumer group has not assigned partitions yet",
    ProcessState.RECOVERING: "state of {v.recovering} stages is being read",
    ProcessState.WORKING: "{v.partitions} topic partitions assigned, state recovered",
    ProcessState.STANDING_BY: "a member of the group without partitions: there are more workers than partitions",
    ProcessState.STUCK: "the consume loop made no progress for {v.loop_age_s:.0f} s",
    ProcessState.STOPPING: "finishing what is under way",
}
