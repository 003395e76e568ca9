"""What is known of the windows of many series, in arrays: where each of them is, what it said of late, and whether that opens or ends
an episode. One row per series (a service, or an edge), one layer per signal; objects exist only for episodes that are on.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from contracts.frames.decoded import B1, F64, I8, I64
from contracts.frames.feature_frame import FeatureFrame, Presence
from contracts.settings import DetectSettings
from contracts.verdicts import ServiceState
from models.episodes import Episode
from models.fusion import discoveries
from models.judgement import (
    EMPTY_PER_QUIET,
    HARD_DECADES,
    HARD_REQUESTS,
    HOLE_NS,
    LOOK_BACK,
    SIGNALS_ADD,
    SLOW_CADENCE_NS,
    SUPPORT,
    UNEASY,
    VIEW_NS,
    VIEW_WINDOWS,
)
from models.service.state import Slots

Rows = NDArray[np.intp]
STATES: Final = (ServiceState.WARMING, ServiceState.HEALTHY, ServiceState.ANOMALOUS, ServiceState.STALE)
NAMES: Final = np.array([s.value for s in STATES], object)
WARMING, HEALTHY, ANOMALOUS, STALE = range(4)
_BITS: Final = (1 << LOOK_BACK) - 1
_ONES: Final = np.array([i.bit_count() for i in range(_BITS + 1)], np.int8)

_LAYERED: Final[dict[str, tuple[Any, Any]]] = {
    "window_ns": (np.int64, -1),
    "settled_ns": (np.int64, 0),
    "missing": (np.bool_, False),
    "view_ns": (np.int64, -1),
    "cadence_ns": (np.int64, 0),
    "decades": (np.float32, 0.0),
    "felt": (np.float32, 0.0),
    "warm": (np.bool_, False),
    "p": (np.float32, np.nan),
    "suspicious": (np.uint8, 0),
    "quiet": (np.int32, 0),
    "empty": (np.int32, 0),
    "uneasy_ns": (np.int64, 0),
    "glimpsed_ns": (np.int64, -1),
    "glimpsed": (np.float32, 0.0),
    "glimpse_flag": (np.bool_, False),
}
"""Per signal and series: newest window with something to say, since when windows follow each other, whether the newest row is
missing; window, spacing, decades (of everything, and of what may open) and warmth of the newest evidence; its p-value among those of all; whether the last windows were
suspicious (bits), how many were quiet or empty in a row, and since when there is unease; of the newest window that was looked at before it
was over: which, decades of what may open, and whether it was suspicious."""
_PLAIN: Final[dict[str, tuple[Any, Any]]] = {
    "told_ns": (np.int64, 0),
    "stale": (np.bool_, False),
    "ended_ns": (np.int64, -1),
    "onset_ns": (np.int64, 0),
    "suspended_ns": (np.int64, 0),
    "load": (np.float32, 1.0),
    "state": (np.int8, WARMING),
    "open": (np.bool_, False),
}
"""Per series: when (by the clock) its last row came; when its last episode ended (what a later signal says of before belongs to it);
requests now over what is usual."""


@dataclass(frozen=True, slots=True)
class RowEvidence:
    """What a frame says of its rows: decades that may open, that last, and of everything; the rows about which one window may be
    enough, those about which no doubt is left (`certain`), and those that have news."""

    opening: F64
    lasting: F64
    every: F64
    warm: B1
    hard: B1
    certain: B1
    news: B1


@dataclass(frozen=True, slots=True)
class EpisodeSteps:
    """What follows of a frame, by its rows: episodes that open, go on, end quiet, or end because nothing comes any more."""

    opens: Rows
    goes_on: Rows
    ends: Rows
    dries_up: Rows
    flagged: Rows
    """Suspicious, and nothing opened of them."""
    decades: F64


def weigh(decades: F64, strictness: float) -> F64:
    """Decades as they count where so much more is asked for. What leaves hardly a doubt counts as it is."""
    weighed = decades - strictness
    return np.asarray(np.where(decades >= HARD_DECADES, np.maximum(decades, weighed), weighed))


class Ledger:
    """The series of one environment. `signals` are its layers."""

    def __init__(self, signals: tuple[str, ...]) -> None:
        self.signals = signals
        self.slots = Slots()
        self.episodes: dict[int, Episode] = {}
        """Those that are on, by row."""
        self.strictness = 0.0
        """Decades by which evidence counts for less than it shows (`models.strictness`), as `EngineState.heed_strictness` says."""
        self._room = 0
        for name, (kind, fill) in _LAYERED.items():
            setattr(self, name, np.full((len(signals), 0), fill, kind))
        for name, (kind, fill) in _PLAIN.items():
            setattr(self, name, np.full(0, fill, kind))

    window_ns: I64
    settled_ns: I64
    missing: B1
    view_ns: I64
    cadence_ns: I64
    decades: F64
    felt: F64
    warm: B1
    p: F64
    suspicious: NDArray[np.uint8]
    quiet: NDArray[np.int32]
    empty: NDArray[np.int32]
    uneasy_ns: I64
    glimpsed_ns: I64
    glimpsed: F64
    glimpse_flag: B1
    told_ns: I64
    stale: B1
    ended_ns: I64
    onset_ns: I64
    suspended_ns: I64
    load: F64
    state: I8
    open: B1

    def __len__(self) -> int:
        return len(self.slots)

    def rows(self, services: tuple[str, ...], peers: tuple[str, ...]) -> Rows:
        """The rows of series; those not known yet get new ones."""
        rows = self.slots.rows(services, peers)
        if len(self.slots) > self._room:
            self._room = max(16, len(self.slots) + len(self.slots) // 4)
            for name, (kind, fill) in _LAYERED.items():
                old = getattr(self, name)
                wide = np.full((len(self.signals), self._room), fill, kind)
                wide[:, : old.shape[1]] = old
                setattr(self, name, wide)
            for name, (kind, fill) in _PLAIN.items():
                old = getattr(self, name)
                setattr(self, name, np.concatenate([old, np.full(self._room - len(old), fill, kind)]))
        return rows

    def hear(self, rows: Rows, now_ns: int) -> None:
        """Take note of whose rows came."""
        self.told_ns[rows] = np.maximum(self.told_ns[rows], now_ns)
        self.stale[rows] = False

    def follow(self, layer: int, rows: Rows, frame: FeatureFrame, *, settles: bool) -> B1:
        """Take note of where the series are; which of them have been watched for long enough to open anything.

        `settles`: a hole says that nobody looked for a moment (metrics come when their reader likes). A quiet row ends no hole: what
        is not there has nothing to settle.
        """
        presence = frame.presence if len(frame.presence) else np.full(len(rows), Presence.OBSERVED, np.int8)
        gone, known = presence == Presence.MISSING, self.window_ns[layer, rows]
        lost = self.missing[layer, rows]
        self.missing[layer, rows] = gone
        apart = frame.window_ns - known
        hole = (apart > max(HOLE_NS, 3 * frame.width_ns)) | (lost & (presence == Presence.OBSERVED))
        hole &= ~gone & (known >= 0)
        self.window_ns[layer, rows] = np.where(gone, known, np.maximum(known, frame.window_ns))
        if hole.any():
            at = rows[hole]
            self.settled_ns[layer, at] = frame.window_ns + np.minimum(apart[hole], HOLE_NS)
            if settles:
                self.suspicious[:, at], self.uneasy_ns[:, at] = 0, 0
        if not settles:
            return np.ones(len(rows), np.bool_)
        return np.asarray(frame.window_ns >= self.settled_ns[layer, rows], np.bool_)

    def combined(self, layer: int, rows: Rows, window_ns: int, own: F64) -> F64:
        """Decades of a signal plus part of what the others say at the same time. They can't speak for a signal that sees nothing
        itself."""
        if len(self.signals) == 1 or not (own > 0).any():
            return own
        reach = np.minimum(VIEW_WINDOWS * self.cadence_ns[:, rows], VIEW_NS)
        counts = (self.view_ns[:, rows] >= 0) & (np.abs(window_ns - self.view_ns[:, rows]) <= reach)
        counts[layer] = False
        others = np.where(counts, self.decades[:, rows], 0.0).max(axis=0)
        return np.asarray(own + SIGNALS_ADD * np.minimum(others, SUPPORT * own))

    def see(self, layer: int, rows: Rows, frame: FeatureFrame, said: RowEvidence) -> None:
        """Put the newest evidence of a signal on record."""
        view = self.view_ns[layer, rows]
        new = ~frame.missing & (frame.window_ns >= view)
        apart = np.maximum(np.minimum(frame.window_ns - view, VIEW_NS), frame.width_ns)
        cadence = np.where((view >= 0) & (frame.window_ns > view), apart, frame.width_ns)
        at = rows[new]
        self.view_ns[layer, at], self.cadence_ns[layer, at] = frame.window_ns, cadence[new]
        self.decades[layer, at], self.warm[layer, at] = said.every[new], said.warm[new]
        self.felt[layer, at] = said.opening[new]

    def discovered(self, layer: int, rows: Rows, missing: B1, decades: F64, rate: float) -> B1:
        """Which rows' p-values may be called discoveries, among the newest of all series, in however many frames they come."""
        self.p[layer, rows] = np.where(missing, np.nan, np.power(10.0, -decades))
        if not (self.p[layer, rows] <= rate).any():
            return np.zeros(len(rows), np.bool_)
        return _found(self.p[layer, : len(self)].astype(np.float64), rows, rate)

    def step(
        self, layer: int, rows: Rows, frame: FeatureFrame, said: RowEvidence, settled: B1, s: DetectSettings
    ) -> EpisodeSteps:
        """Take a window in; what follows of it. What leaves hardly a doubt is weighed as it is, however strict one is."""
        window_ns, missing = frame.window_ns, frame.missing
        fused = self.combined(layer, rows, window_ns, said.opening)
        lasting = self.combined(layer, rows, window_ns, said.lasting)
        weighed = weigh(fused, self.strictness) if self.strictness else fused
        found = self.discovered(layer, rows, missing, weighed, s.false_discovery_rate) & settled
        is_open = self.open[rows]
        warm = self.warm[:, rows].any(axis=0) | said.certain
        looked = ~missing & (said.news | is_open) & (window_ns > self.ended_ns[rows])
        counts = looked & (warm | is_open) & said.news
        flag = counts & found & (weighed >= -np.log10(s.open_p))
        at = rows[counts]
        self.suspicious[layer, at] = ((self.suspicious[layer, at] << 1) | flag[counts]) & _BITS
        quiet = lasting[counts] < -np.log10(s.close_p)
        self.quiet[layer, at] = np.where(quiet, self.quiet[layer, at] + 1, 0)
        self.empty[layer, at] = 0
        uneasy, since = fused[counts] >= UNEASY, self.uneasy_ns[layer, at]
        self.uneasy_ns[layer, at] = np.where(uneasy, np.where(since > 0, since, window_ns), 0)
        calm = looked & ~is_open
        self.state[rows[calm]] = np.where(warm[calm], HEALTHY, WARMING)
        enough = _ONES[self.suspicious[layer, rows]] >= min(s.open_windows, LOOK_BACK)
        sudden = said.hard & (said.opening >= HARD_DECADES) & ((frame.counts >= HARD_REQUESTS) | said.certain)
        opens = flag & ~is_open & (enough | sudden)
        if not self.episodes and not opens.any():
            nobody = np.zeros(0, np.intp)
            return EpisodeSteps(nobody, nobody, nobody, nobody, np.flatnonzero(flag), fused)
        idle = looked & is_open & ~said.news
        self.empty[layer, rows[idle]] += 1
        first = np.flatnonzero(flag & ~is_open & ~opens)
        begin, go_on, end, dry = self._steps(layer, rows, (opens, counts & is_open, idle), s)
        return EpisodeSteps(begin, go_on, end, dry, first, fused)

    def glimpse(
        self, layer: int, rows: Rows, frame: FeatureFrame, opening: F64, s: DetectSettings
    ) -> tuple[Rows, Rows, F64]:
        """Look at windows that are not told yet: the rows of the frame that open an episode, those that are suspicious, and their decades. It
        takes as much as at the end of windows, and what was seen of one that is not told yet counts in the place of it."""
        window_ns, told_ns = frame.window_ns, self.view_ns[layer, rows]
        fused = self.combined(layer, rows, window_ns, opening)
        weighed = weigh(fused, self.strictness) if self.strictness else fused
        counts = self.warm[:, rows].any(axis=0) & (window_ns > np.maximum(told_ns, self.ended_ns[rows]))
        counts &= ~self.open[rows] & (window_ns >= self.settled_ns[layer, rows])
        flag = counts & (weighed >= -np.log10(s.open_p))
        if flag.any():
            p = self.p[layer, : len(self)].astype(np.float64)
            p[rows] = np.power(10.0, -weighed)
            flag &= _found(p, rows, s.false_discovery_rate)
        untold = np.clip((window_ns - told_ns) // frame.width_ns - 1, 0, LOOK_BACK - 1)
        before_ns = self.glimpsed_ns[layer, rows]
        seen = self.glimpse_flag[layer, rows] & (before_ns > told_ns) & (before_ns < window_ns)
        seen &= window_ns - before_ns < LOOK_BACK * frame.width_ns
        votes = _ONES[self.suspicious[layer, rows] & (_BITS >> (untold + 1))] + seen + flag
        sudden = (opening >= HARD_DECADES) & (frame.counts >= HARD_REQUESTS)
        at = rows[counts]
        self.glimpsed_ns[layer, at], self.glimpsed[layer, at] = window_ns, opening[counts]
        self.glimpse_flag[layer, at] = flag[counts]
        opens = flag & ((votes >= min(s.open_windows, LOOK_BACK)) | sudden)
        return np.flatnonzero(opens), np.flatnonzero(flag & ~opens), fused

    def _steps(self, layer: int, rows: Rows, which: tuple[B1, B1, B1], s: DetectSettings) -> list[Rows]:
        opens, on, idle = which
        ends, dry = np.zeros(len(rows), np.bool_), np.zeros(len(rows), np.bool_)
        for i in np.flatnonzero(on | idle).tolist():
            row = int(rows[i])
            mine = self.episodes[row].opener == self.signals[layer]
            if idle[i]:
                dry[i] = mine and self.empty[layer, row] >= EMPTY_PER_QUIET * s.close_windows
            else:
                ends[i] = self._is_over(row, s)
        return [np.flatnonzero(x) for x in (opens, on & ~ends, ends, dry)]

    def _is_over(self, row: int, s: DetectSettings) -> bool:
        opener = self.signals.index(self.episodes[row].opener)
        needed = s.close_windows if self.cadence_ns[opener, row] < SLOW_CADENCE_NS else min(2, s.close_windows)
        return bool(self.quiet[opener, row] >= needed) and not self.suspicious[:, row].any()

    def felt_in(self, rows: Rows, window_ns: int) -> F64:
        """Decades of what users feel in this window, of the signal that says most."""
        told, seen = self.view_ns[:, rows] == window_ns, self.glimpsed_ns[:, rows] == window_ns
        felt = np.where(told, self.felt[:, rows], np.where(seen, self.glimpsed[:, rows], 0.0))
        return np.asarray(felt.max(axis=0, initial=0.0))

    def begin(self, row: int, episode: Episode) -> None:
        """An episode is on."""
        self.episodes[row] = episode
        self.open[row], self.onset_ns[row], self.state[row] = True, episode.onset_ns, ANOMALOUS
        self.quiet[:, row] = 0  # those before it do not end it

    def end(self, row: int, state: ServiceState, window_ns: int) -> None:
        """The episode of a row is over."""
        del self.episodes[row]
        self.open[row], self.state[row] = False, STATES.index(state)
        self.ended_ns[row] = max(int(self.ended_ns[row]), window_ns)
        for name in ("suspicious", "quiet", "empty", "uneasy_ns"):
            getattr(self, name)[:, row] = 0

    def troubled(self, rows: Rows, window_ns: int) -> B1:
        """Whether a window belongs to the episode that is on, or to the last one: some signals come later than others."""
        since = self.onset_ns[rows] <= window_ns
        over = (self.ended_ns[rows] >= 0) & (window_ns <= self.ended_ns[rows])
        return np.asarray(since & (self.open[rows] | over), np.bool_)

    def states(self, rows: Rows, spans: int) -> I8:
        """States as indices into `STATES`: stale, or lost (the rows of its `spans` are missing or, where it has none, those of all
        signals), is never healthy."""
        known = (self.window_ns[:, rows] >= 0) | self.missing[:, rows]
        lost = np.where(
            known[spans], self.missing[spans, rows], (self.missing[:, rows] | ~known).all(axis=0) & known.any(axis=0)
        )
        return np.asarray(np.where(self.stale[rows] | lost, STALE, self.state[rows]), np.int8)

    def keep(self, kept: Rows) -> None:
        """Forget all rows but `kept`."""
        where = {int(row): i for i, row in enumerate(kept)}
        for name in _LAYERED:
            setattr(self, name, np.ascontiguousarray(getattr(self, name)[:, kept]))
        for name in _PLAIN:
            setattr(self, name, getattr(self, name)[kept])
        self.episodes = {where[row]: e for row, e in self.episodes.items() if row in where}
        self._room = len(kept)
        self.slots.keep(kept)

    def plain(self) -> dict[str, Any]:
        """The state as plain values."""
        n = len(self)
        arrays = {name: getattr(self, name)[..., :n] for name in (*_LAYERED, *_PLAIN)}
        episodes = [[row, e.plain()] for row, e in sorted(self.episodes.items())]
        return {
            "signals": list(self.signals),
            "keys": [list(k) for k in self.slots.keys],
            "episodes": episodes,
            **arrays,
        }

    @classmethod
    def of(cls, plain: dict[str, Any]) -> Ledger:
        """Inverse of `plain`."""
        it = cls(tuple(plain["signals"]))
        it.slots = Slots(tuple((s, p) for s, p in plain["keys"]))
        it._room = len(it.slots)
        for name, (kind, fill) in _LAYERED.items():  # a snapshot of before there was one knows nothing of it
            setattr(it, name, plain.get(name, np.full(plain["decades"].shape, fill, kind)))
        for name in _PLAIN:
            setattr(it, name, plain[name])
        it.episodes = {int(row): Episode.of(e) for row, e in plain["episodes"]}
        return it


def _found(p: F64, rows: Rows, rate: float) -> B1:
    """Which of some rows may be called discoveries, by the p-values of all (NaN: none is known)."""
    known = np.flatnonzero(np.isfinite(p))
    found = np.zeros(len(p), np.bool_)
    found[known] = discoveries(p[known], rate)
    return np.asarray(found[rows], np.bool_)
