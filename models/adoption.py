"""Adoption: when a new level that harms nobody is taken for the new normal, as an event of its own.

While an episode is open nothing is learnt of its service. So a departure ends in one of three ways: it goes away, or it
harms nobody, has settled, and is adopted, or a person takes it for normal. What was normal before is remembered for a day: a
return to it needs no new proof.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Final

import msgspec

from contracts.events import Contribution
from contracts.features import COUNT_OF, FEATURES, FeatureKind
from contracts.units import SECOND
from models.judgement import BUCKET_NS, CEASED, CLIMBED_NS, FORMER_NS, RETURNED_NS, SETTLED, SETTLED_MEANS, STEADY

BUCKETS: Final = 24
"""Means held of one feature's course since its episode opened; they grow longer with it."""
COUNTS: Final = frozenset(COUNT_OF.values())


@dataclass(slots=True)
class Course:
    """Means of one feature since its episode opened, in buckets of equal width, and the range that was expected before."""

    signal: str
    low: float
    high: float
    width_ns: int = BUCKET_NS
    starts: list[int] = field(default_factory=list)
    sums: list[float] = field(default_factory=list)
    counts: list[int] = field(default_factory=list)

    def take(self, time_ns: int, value: float) -> None:
        """Take in one observation, in order of time."""
        start = time_ns // self.width_ns * self.width_ns
        if self.starts and start <= self.starts[-1]:
            self.sums[-1] += value
            self.counts[-1] += 1
            return
        self.starts.append(start)
        self.sums.append(value)
        self.counts.append(1)
        if len(self.starts) > BUCKETS:
            self._widen()

    def _widen(self) -> None:
        self.width_ns *= 2
        starts, sums, counts = self.starts, self.sums, self.counts
        self.starts, self.sums, self.counts = [], [], []
        for start, total, count in zip(starts, sums, counts, strict=True):
            wide = start // self.width_ns * self.width_ns
            if self.starts and self.starts[-1] == wide:
                self.sums[-1] += total
                self.counts[-1] += count
            else:
                self.starts.append(wide)
                self.sums.append(total)
                self.counts.append(count)

    def means(self) -> list[float]:
        """The means so far."""
        return [total / count for total, count in zip(self.sums, self.counts, strict=True)]

    def level(self) -> float:
        """Mean of the second half: where it is now."""
        return self._halves()[1]

    def settled(self) -> bool:
        """Whether its second half is about where its first was, measured by the distance from what was expected; of enough means."""
        if len(self.starts) < SETTLED_MEANS:
            return False
        first, second = self._halves()
        nearest = min(max(second, self.low), self.high)
        shift = abs(second - nearest) or abs(second) or 1.0
        newest = sum(self.sums[-2:]) / max(
            sum(self.counts[-2:]), 1
        )  # what rose and falls again has the same mean in both halves
        return abs(second - first) <= SETTLED * shift and abs(newest - second) <= 2.0 * SETTLED * shift

    def steady(self) -> bool:
        """Whether its second half is not above its first by more than uneven events explain."""
        first, second = self._halves()
        return len(self.starts) >= SETTLED_MEANS and second <= STEADY * first

    def ceased(self) -> bool:
        """Whether hardly anything is left of what was expected."""
        return self.level() <= CEASED * self.low

    def rose(self) -> bool:
        """Whether it is above what was expected."""
        return self.level() > self.high

    def _halves(self) -> tuple[float, float]:
        half = len(self.starts) // 2
        second = sum(self.sums[half:]) / max(sum(self.counts[half:]), 1)
        first = sum(self.sums[:half]) / sum(self.counts[:half]) if half else second
        return first, second


@dataclass(slots=True)
class Former:
    """A range that was normal until `until_ns` (event time) at the latest, with the level in it."""

    signal: str
    low: float
    high: float
    level: float
    until_ns: int


@dataclass(slots=True)
class Adopting:
    """What one episode knows for its end by adoption: the courses of what departs, and since when nothing harms."""

    opened_ns: int = 0
    harmed_ns: int = 0
    """Window in which it last harmed, or the one in which it opened."""
    courses: dict[str, Course] = field(default_factory=dict)

    def note(self, parts: tuple[Contribution, ...]) -> None:
        """Follow what departs from now on; the range first told is the one from before."""
        for part in parts:
            if part.feature not in self.courses:
                self.courses[part.feature] = Course(part.signal, part.low, part.high)

    def ready(self, now_ns: int, after_ns: int, *, growing: bool = True) -> bool:
        """Whether the levels may be adopted: no harm for `after_ns`, and settled (more traffic need not settle, where what is
        `growing` may be taken)."""
        shifted = self._shifted()
        if any(_share(name) for name in shifted):
            after_ns = max(
                after_ns, CLIMBED_NS
            )  # a share of failures is too uneven to be seen to climb within a minute
        if any(name in COUNTS and c.ceased() for name, c in shifted.items()):
            return False  # silence is no level
        return (
            bool(shifted)
            and now_ns - self.harmed_ns >= after_ns
            and all(
                c.settled() or (growing and name in COUNTS and c.rose()) or (_share(name) and c.steady())
                for name, c in shifted.items()
            )
        )

    def returned(self, now_ns: int, formers: Mapping[str, Former]) -> bool:
        """Whether everything that departs is back in a range that was normal before."""
        shifted = self._shifted()
        return (
            bool(shifted)
            and not any(_share(name) for name in shifted)
            and now_ns - self.opened_ns >= RETURNED_NS
            and all(_within(c, formers.get(name), now_ns) for name, c in shifted.items())
        )

    def _shifted(self) -> dict[str, Course]:
        """Courses that are outside of what was expected; all of them where none is."""
        held = {name: c for name, c in self.courses.items() if c.starts}
        return {name: c for name, c in held.items() if not c.low <= c.level() <= c.high} or held

    def levels(self) -> dict[tuple[str, str], float]:
        """The levels to adopt, by signal and feature."""
        return {(c.signal, name): c.level() for name, c in self._shifted().items()}

    def formers(self, levels: Mapping[str, float], now_ns: int) -> dict[str, Former]:
        """What was normal until now, by feature, with the `levels` that models held for it."""
        return {
            name: Former(c.signal, c.low, c.high, levels[name], now_ns + FORMER_NS)
            for name, c in self.courses.items()
            if name in levels
        }

    def parts(self) -> tuple[Contribution, ...]:
        """The new levels beside the ranges that were expected, for the event."""
        return tuple(
            Contribution(
                signal=c.signal,
                feature=name,
                value=c.level(),
                low=c.low,
                high=c.high,
                decades=0.0,
                share=0.0,
                window_s=(c.starts[-1] + c.width_ns - c.starts[len(c.starts) // 2]) / SECOND,
            )
            for name, c in self._shifted().items()
        )


def remembered(old: Mapping[str, Former], new: Mapping[str, Former]) -> dict[str, Former]:
    """What was normal before an adoption, and before those within a day: of latencies the lowest range, so that no chain of small
    adoptions makes a harmful level normal."""
    kept = dict(old)
    for name, former in new.items():
        first = old.get(name)
        slower = first is not None and first.high < former.high and FEATURES[name].kind is FeatureKind.LATENCY
        kept[name] = replace(first, until_ns=former.until_ns) if first is not None and slower else former
    return kept


def against(part: Contribution, formers: Mapping[str, Former]) -> Contribution:
    """A latency beside the lowest range that was normal within a day."""
    former = formers.get(part.feature)
    if former is None or former.high >= part.high or FEATURES[part.feature].kind is not FeatureKind.LATENCY:
        return part
    return msgspec.structs.replace(part, low=former.low, high=former.high)


def _share(feature: str) -> bool:
    return FEATURES[feature].kind is FeatureKind.RATIO


def _within(course: Course, former: Former | None, now_ns: int) -> bool:
    return former is not None and now_ns < former.until_ns and former.low <= course.level() <= former.high
