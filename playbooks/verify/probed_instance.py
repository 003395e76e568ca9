"""What a probe tells: how the instance that was replaced fares beside its siblings, which are still sick. Pure.

The fault has not ended where the siblings suffer from it now, and a request of one instance is like a request of another: the route by which
durations are standardised is the same, and so is who calls. So the new one is placed between what was usual of the service before it was
sick (0) and what its siblings suffer now (1), by the mean standardised duration of its requests, or the share of them that fails. Below a
third it is well, above two thirds sick, if chance is beyond doubt to have put it on that side of the middle.

A new process is slow at first: that it is sick is said later than that it is well. Where the siblings are sick no more, nothing is told.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from contracts.claims import INSTANCES, parsed
from contracts.features import ERROR_RATE, Signal
from contracts.frames.feature_frame import EvidenceFrame
from contracts.instance_parts import (
    ENOUGH,
    FEWEST_FAIL,
    MORE_FAIL,
    QUIET_NS,
    SLOWER,
    WELL_SIGMAS,
    YOUNG,
    name_of,
)
from contracts.parts import Fared, Part, parts_from
from contracts.units import SECOND
from contracts.verdicts import ProbeFinding
from playbooks.verify.watched_series import Intervention

WELL_BELOW: Final = 1 / 3
SICK_ABOVE: Final = 2 / 3
"""Where between usual (0) and its siblings (1) a new instance is well, or sick: a third to either side of the middle, which is what is tested,
so that one that is neither (it warms up, or half of the trouble is its own) is called neither."""
SERVES_S: Final = 8.0
"""Seconds for which a new instance must have been heard of to be well: as long as one may be silent (`contracts.instance_parts.QUIET_NS`)."""
WARM_S: Final = 30.0
"""The same to be sick: two half-lives of what counts as lately, after which little is left of a cold start."""
FEWEST_SIBLINGS: Final = 2
"""Fewer tell of themselves, not of what all share."""


@dataclass(frozen=True, slots=True)
class ProbeTold:
    """What a probe told, and the numbers behind it, in words."""

    finding: ProbeFinding
    text: str


@dataclass(frozen=True, slots=True)
class _Place:
    """Where the new instance is between usual and its siblings by one measure; `error` is the standard error of that."""

    new: float
    siblings: float
    usual: float
    error: float
    words: str

    @property
    def at(self) -> float:
        return (self.new - self.usual) / (self.siblings - self.usual)

    @property
    def well(self) -> bool:
        return self.at <= WELL_BELOW and self.at + WELL_SIGMAS * self.error <= 0.5

    @property
    def sick(self) -> bool:
        return self.at >= SICK_ABOVE and self.at - WELL_SIGMAS * self.error >= 0.5


class ProbedInstance:
    """Feed it evidence frames, from before the action on, then ask what they tell."""

    def __init__(self, target: str, features: Iterable[str], when: Intervention) -> None:
        self._target, self._features, self._when = target, tuple(dict.fromkeys(features)), when
        self._words: dict[int, list[Part]] = {}
        """What was told of the target's instances, by window."""

    def observe(self, frame: EvidenceFrame) -> None:
        """Take a frame in; a window that comes again replaces what it said before."""
        if frame.signal == Signal.EDGES or self._target not in frame.services or not frame.attributes:
            return
        text = frame.attributes[frame.services.index(self._target)]
        if INSTANCES in text:
            self._words[frame.window_ns] = parts_from(parsed(text).get(INSTANCES, ""))

    def told(self) -> ProbeTold | None:
        """What is known by now; None where that is nothing, or not yet."""
        after = [ns for ns in sorted(self._words) if ns >= self._when.acted_ns]
        if not after:
            return None
        now_ns = after[-1]
        newest_ns = max((p.time_ns for p in self._words[now_ns]), default=0)  # by whichever clock counts them
        parts = [p.at(newest_ns) for p in self._words[now_ns]]
        serving = self._serving(parts)
        names = self._new(serving)
        new = [p for p in serving if name_of(p) in names]
        siblings = [p for p in serving if name_of(p) not in names]
        if not new or len(siblings) < FEWEST_SIBLINGS:
            return None
        age_s = (now_ns - min(ns for ns in after if names & {name_of(p) for p in self._words[ns]})) / SECOND
        places = list(self._places(_lately(new), self._just_now(siblings, now_ns), self._usual(siblings)))
        if not places or age_s < SERVES_S:
            return None
        if all(p.well for p in places):
            return ProbeTold(ProbeFinding.WELL, _well_words(new, siblings, places))
        if age_s >= WARM_S and any(p.sick for p in places):
            return ProbeTold(ProbeFinding.SICK, _sick_words(new, siblings, [p for p in places if p.sick]))
        return None

    def _serving(self, parts: Sequence[Part]) -> list[Part]:
        """Those that are asked now; the one that was replaced is asked no more."""
        quiet_ns = max((p.heard_ns for p in parts), default=0) - QUIET_NS
        return [p for p in parts if p.heard_ns > quiet_ns]

    def _new(self, serving: Sequence[Part]) -> set[str]:
        """The instances that were not there before; where it is not known who was, those of which nothing from before is known."""
        before = [ns for ns in sorted(self._words) if ns <= self._when.began_ns]
        if before:
            return {name_of(p) for p in serving} - {name_of(p) for p in self._words[before[-1]]}
        return {name_of(p) for p in serving if p.before.asked < YOUNG * p.lately.asked}

    def _just_now(self, siblings: Sequence[Part], now_ns: int) -> Fared:
        """How the siblings fare by now: what was added in the last seconds. What counts as lately goes on being sick for longer than they are."""
        earlier = [ns for ns in sorted(self._words) if ns <= now_ns - int(SERVES_S * SECOND)]
        known = {name_of(p): p for p in self._words[earlier[-1]]} if earlier else {}
        added = (p.whole.plus(known[n].at(p.time_ns).whole, -1.0) for p in siblings if (n := name_of(p)) in known)
        return _sum(f for f in added if f.asked > 0)

    def _usual(self, siblings: Sequence[Part]) -> Fared:
        """How the service's requests fared before it was sick: by the first word on its instances since the onset, which has least of the
        trouble in it."""
        first = next((ns for ns in sorted(self._words) if ns >= self._when.onset_ns), 0)
        known = self._words[first] if 0 < first <= self._when.began_ns else siblings
        return _sum(p.before for p in known)

    def _places(self, new: Fared, siblings: Fared, usual: Fared) -> Iterator[_Place]:
        """The place by each measure from which the siblings suffer."""
        failing = ERROR_RATE in self._features
        slow = any(f != ERROR_RATE for f in self._features)
        if slow and min(new.known, siblings.known) >= ENOUGH:
            gap = siblings.mean_pace - usual.mean_pace
            if gap >= SLOWER:
                spread = max(1.0, gap) if new.mean_pace > usual.mean_pace + gap / 2 else 1.0  # sick ones vary more
                error = spread / gap / math.sqrt(new.known)
                paces = (new.mean_pace, siblings.mean_pace, usual.mean_pace)
                words = "standard deviations slower than its routes usually are"
                yield _Place(*paces, error, f"{new.mean_pace:.1f} {words}, the others {siblings.mean_pace:.1f}")
        if failing and min(new.asked, siblings.asked) >= ENOUGH:
            least = max(usual.share, FEWEST_FAIL)
            gap = siblings.share - least
            if gap >= MORE_FAIL:
                middle = least + gap / 2
                error = math.sqrt(middle * (1.0 - middle) / new.asked) / gap
                words = f"{new.share:.0%} of its requests fail, {siblings.share:.0%} of the others'"
                yield _Place(new.share, siblings.share, least, error, words)


def _lately(parts: Iterable[Part]) -> Fared:
    return _sum(p.lately for p in parts)


def _sum(found: Iterable[Fared]) -> Fared:
    whole = Fared()
    for fared in found:
        whole = whole.plus(fared)
    return whole


def _named(new: Sequence[Part]) -> str:
    return ", ".join(sorted(name_of(p) for p in new))


def _well_words(new: Sequence[Part], siblings: Sequence[Part], places: Sequence[_Place]) -> str:
    asked = _lately(new).asked
    return (
        f"probe: one instance was replaced, and {_named(new)} is well while its {len(siblings)} siblings are sick "
        f"({'; '.join(p.words for p in places)}; {asked:.0f} requests lately): the trouble sits in the processes"
    )


def _sick_words(new: Sequence[Part], siblings: Sequence[Part], places: Sequence[_Place]) -> str:
    asked = _lately(new).asked
    return (
        f"probe: one of {len(new) + len(siblings)} instances was replaced, and {_named(new)} is as sick as the others "
        f"({'; '.join(p.words for p in places)}; {asked:.0f} requests lately): it is what they share"
    )
