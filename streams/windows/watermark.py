"""Watermarks: how far event time has come, merged over the sources that feed a stage.

The merged watermark is the minimum over the sources that are not idle (Akidau et al., The Dataflow Model, VLDB 2015,
section 2.3, with idle sources left out as Flink does). It never goes back, unless it was ahead of the clock of who keeps it:
nothing is true that has yet to happen, be it told by a source, kept in a snapshot, or from before our own clock was set.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from contracts.units import SECOND
from streams.windows.sequence import NEW_LOG_GAP

_MOST_SOURCES = 4096
AHEAD_NS = 5 * SECOND
"""How far a watermark may be ahead of this process' clock: those of workers differ."""
_ALIKE, _BURST, _LATELY, _RHYTHM = 2, 0.5, 2.0, 0.25
"""A silence is usual if there was one at least half as long before it, and what was said between them took at most half its
length: so a slow sender's batches come. Or, up to twice its length, if silence and speech were each as long, to a quarter, as
those before: so those of several senders come. After an outage telemetry flows for longer, or not to a rhythm."""


@dataclass(slots=True)
class WatermarkSource:
    """One source: the last sequence taken, its watermark (0: none) and when (processing time) it was last heard of."""

    sequence: int
    watermark_ns: int
    seen_ns: int
    new_log: bool = False
    """Whether its last frame was the first of a new log: what was sent between the two logs is lost."""


class Watermarks:
    """The watermarks of the sources of one stream, and the redeliveries among their frames.

    For the first `idle_ns` of processing time nothing may close: sources that have something to say must have been heard
    first. The same holds after this process itself was away for longer than that: it can't tell who was silent. When all
    sources are idle and `extrapolate` is set, event time goes on at the pace of processing time, from the furthest
    watermark.

    `disturbed_ns`: what is older than this time was held up by something exceptional (a log or a process that was away), so
    how late it comes says nothing of its sender.
    """

    def __init__(self, idle_ns: int, *, extrapolate: bool = True) -> None:
        self.idle_ns, self.extrapolate = idle_ns, extrapolate
        self.sources: dict[str, WatermarkSource] = {}
        self.merged = 0
        self.opened_ns = self.now_ns = -1
        self.disturbed_ns = self._spoke_ns = self._silent_ns = self._silent_until_ns = 0

    def admit(self, source: str, sequence: int, watermark_ns: int, now_ns: int) -> bool:
        """Take note of a frame; False if its rows were delivered before and must be ignored."""
        self._now(now_ns)
        self._heard(now_ns)
        watermark_ns = min(watermark_ns, now_ns + AHEAD_NS)
        known = self.sources.get(source)
        if known is None:
            self._make_room()
            self.sources[source] = WatermarkSource(sequence, watermark_ns, now_ns)
            return True
        known.seen_ns = max(known.seen_ns, now_ns)
        known.watermark_ns = max(known.watermark_ns, watermark_ns)
        if sequence <= known.sequence:
            return False
        known.new_log = sequence - known.sequence >= NEW_LOG_GAP
        known.sequence = sequence
        return True

    def advance(self, now_ns: int) -> int:
        """The merged watermark at processing time `now_ns`; 0 while it is not known."""
        self._now(now_ns)
        voices = [s for s in self.sources.values() if s.watermark_ns > 0]
        if not voices or now_ns < self.opened_ns + self.idle_ns:
            return self.merged
        active = [s.watermark_ns for s in voices if now_ns - s.seen_ns <= self.idle_ns]
        reached = min(active) if active else max(s.watermark_ns for s in voices)
        if not active and self.extrapolate:
            reached += now_ns - max(s.seen_ns for s in voices) - self.idle_ns
        self.merged = max(self.merged, reached)
        return self.merged

    @property
    def furthest(self) -> int:
        """The watermark of the source that is furthest ahead; 0 if there is none."""
        return max((s.watermark_ns for s in self.sources.values()), default=0)

    def mend(self, now_ns: int) -> bool:
        """Take back what is ahead of the clock; whether there was any."""
        limit = now_ns + AHEAD_NS
        if self.merged <= limit and self.now_ns <= limit and self.furthest <= limit:
            return False
        self.merged = min(self.merged, now_ns)
        self.now_ns, self.opened_ns = min(self.now_ns, now_ns), min(self.opened_ns, now_ns)
        self.disturbed_ns, self._silent_until_ns = now_ns, min(self._silent_until_ns, now_ns)
        for source in self.sources.values():
            source.watermark_ns, source.seen_ns = min(source.watermark_ns, now_ns), min(source.seen_ns, now_ns)
        return True

    def slowest(self, now_ns: int, within_ns: int) -> int:
        """The watermark of the source that is furthest behind, of those heard of in the last `within_ns`; 0 if there is none."""
        heard = (s.watermark_ns for s in self.sources.values() if now_ns - s.seen_ns <= within_ns and s.watermark_ns)
        return min(heard, default=0)

    def _heard(self, now_ns: int) -> None:
        """Somebody spoke: was the silence before it one as usual, as between the batches of a slow sender?"""
        silent_ns = now_ns - max((s.seen_ns for s in self.sources.values()), default=now_ns)
        if silent_ns <= self.idle_ns:
            return
        spoke_ns = now_ns - silent_ns - self._silent_until_ns
        batch = spoke_ns <= _BURST * silent_ns and _ALIKE * self._silent_ns >= silent_ns
        rhythm = _alike(spoke_ns, self._spoke_ns) and _alike(silent_ns, self._silent_ns)
        if not (batch or (rhythm and spoke_ns <= _LATELY * silent_ns)):
            self.disturbed_ns = now_ns
        self._spoke_ns, self._silent_ns, self._silent_until_ns = spoke_ns, silent_ns, now_ns

    def _now(self, now_ns: int) -> None:
        if now_ns - self.now_ns > self.idle_ns:
            self.opened_ns = self.disturbed_ns = now_ns
            for source in self.sources.values():
                source.seen_ns = now_ns
        self.now_ns = max(self.now_ns, now_ns)

    def _make_room(self) -> None:
        if len(self.sources) >= _MOST_SOURCES:
            del self.sources[min(self.sources, key=lambda name: (self.sources[name].seen_ns, name))]

    def state(self) -> dict[str, Any]:
        """For a snapshot."""
        sources = [[k, s.sequence, s.watermark_ns, s.seen_ns] for k, s in self.sources.items()]
        return {
            "sources": sources,
            "merged": self.merged,
            "opened": self.opened_ns,
            "now": self.now_ns,
            "disturbed": self.disturbed_ns,
            "silent": self._silent_ns,
            "silent_until": self._silent_until_ns,
            "spoke": self._spoke_ns,
        }

    def load(self, state: dict[str, Any]) -> None:
        """Take the state of a snapshot."""
        self.sources = {k: WatermarkSource(a, b, c) for k, a, b, c in state["sources"]}
        self.merged, self.opened_ns, self.now_ns = state["merged"], state["opened"], state["now"]
        self.disturbed_ns = state.get("disturbed", 0)
        self._silent_ns, self._silent_until_ns = state.get("silent", 0), state.get("silent_until", 0)
        self._spoke_ns = state.get("spoke", 0)


def _alike(a_ns: int, b_ns: int) -> bool:
    return abs(a_ns - b_ns) <= _RHYTHM * a_ns
