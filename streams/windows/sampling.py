"""How many spans each span stands for, where only a sample of traces is kept: declared, or seen in which trace ids come.

Declared is a probability per span (`connectors.otlp.marks`). Where only the roots of traces declare it, as Jaeger's clients do, and
all of them the same, it holds for the rest of the traces, too; until that is known, such a root stands for itself, as the rest of its
trace does: requests and the calls they make are weighed alike. Undeclared, it can still be seen: samplers by ratio keep the traces
whose random id lies below (or above) a threshold, so that of the whole range of ids only a part comes. As the likelihood of n ids
all to lie within a part p of the range is p^n, a dozen ids are enough to tell a tenth, at once and without any declaration.

Ids that are not random all over their range look the same: of 63 bits, of 32. Such parts are powers of two, and are believed only
where ids say that they are random (the flag of W3C Trace Context, level 2) or where the whole range was seen before. A few traces
that are kept whatever their id is (forced, debugged) stand for themselves. That samplers which look at other bits can't be seen, nor
several of different ratios in one environment, is so; metrics tell of these (`streams.windows.kept`).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np

from contracts.frames.decoded import B1, F64, I32, I64, U64
from streams.windows.rows import UNIT

NOT_SAID, RANDOM_ID = 0, -1
"""What the weight of a span may be instead: nothing is said; nothing, but that its trace id is random."""
RECENT: Final = 256
"""Traces that are looked at: the latest."""
_LOOKED_AT: Final = 512
"""Spans of a message that are looked at for traces."""
_NATS: Final = 30.0
"""Evidence, in natural logarithms, that ids lie in a part of their range: once in ten million million by chance."""
_MOST_SHARE: Final = 0.9
_LEAST_SHARE: Final = 1e-3
_WHOLE: Final = 64
"""Traces over the whole range from which on it is known that ids use it."""
_FORCED: Final = 4
"""Of the latest `_WHOLE` traces so many may lie outside of the sampled part."""
_NEAR: Final = 0.05
_UNEVEN: Final = 1.95
"""Kolmogorov's statistic beyond which ids are not evenly spread over their part: one in a thousand by chance."""
_ROOTS: Final = 32
_ALIKE: Final = 30
_BEGUN: Final = 8
"""Roots that declare one weight, after others that declared none: so many, and it holds for what follows."""
_LOW56: Final = np.uint64((1 << 56) - 1)


def _places(trace: U64) -> F64:
    """Where ids lie in the range that each kind of sampler looks at, (3, n) in 0..1, the kept end at 0.

    The low 64 bits as they are (OpenTelemetry for Python, Go), their absolute value as a signed number (Java), and the low 56
    bits from above (thresholds of consistent probability sampling).
    """
    signed = trace.astype(np.int64).astype(np.float64)
    return np.stack(
        [
            trace.astype(np.float64) / 2.0**64,
            np.minimum(np.abs(signed) / 2.0**63, 1.0),
            1.0 - (trace & _LOW56).astype(np.float64) / 2.0**56,
        ]
    )


@dataclass(slots=True)
class TraceSample:
    """What the latest traces of one environment show. `declared` are the weights of their roots; `traces` are undeclared ones."""

    declared: I64 = field(default_factory=lambda: np.empty(0, np.int64))
    traces: U64 = field(default_factory=lambda: np.empty(0, np.uint64))
    whole: list[bool] = field(default_factory=lambda: [False] * 3)
    """Whether ids were seen over the whole range."""
    share: float = 1.0
    by: int = 0
    """The part of the range that is kept, and by which kind of place."""

    def take_roots(self, said: I32) -> None:
        """Roots of traces came, and what they declare."""
        self.declared = np.concatenate([self.declared, said])[-_ROOTS:]

    def take(self, trace: U64, *, random: bool) -> None:
        """Undeclared spans of some traces came; `random`: their ids are said to be random."""
        listed, first = np.unique(trace[-_LOOKED_AT:], return_index=True)
        fresh = np.sort(first[~_known(listed, self.traces)])
        if len(fresh):
            self.traces = np.concatenate([self.traces, trace[-_LOOKED_AT:][fresh]])[-RECENT:]
            self._estimate(random=random)

    def _estimate(self, *, random: bool) -> None:
        places = _places(self.traces)
        pairs = zip(places, self.whole, strict=True)
        best = min((_share_of(of, trusted=random or whole), by) for by, (of, whole) in enumerate(pairs))
        if best[0] < 1.0:
            self.share, self.by = best
            return
        for by, of in enumerate(places):
            self.whole[by] = self.whole[by] or _is_whole(of[-_WHOLE:])
        outside = np.count_nonzero(places[self.by, -_WHOLE:] > self.share)
        if self.share < 1.0 and (outside > _FORCED or len(self.traces) < _WHOLE):
            self.share = 1.0

    def usual(self) -> int:
        """The weight that all roots declare, or 0."""
        if self.begun() >= _BEGUN:
            return int(self.declared[-1])
        if len(self.declared) < _ROOTS:
            return 0
        newest = int(self.declared[-1])
        return newest if newest > NOT_SAID and np.count_nonzero(self.declared == newest) >= _ALIKE else 0

    def begun(self) -> int:
        """How many roots declare one weight now, if those before them declared none; 0 if it is not so."""
        told = np.flatnonzero(self.declared > NOT_SAID)
        if not len(told) or told[0] != len(self.declared) - len(told):
            return 0
        return len(told) if (self.declared[told] == self.declared[-1]).all() else 0


def _known(traces: U64, before: U64) -> B1:
    """Which traces are among those of before."""
    if not len(before):
        return np.zeros(len(traces), np.bool_)
    ordered = np.sort(before)
    found: B1 = ordered[np.minimum(np.searchsorted(ordered, traces), len(ordered) - 1)] == traces
    return found


def _all_over(places: F64) -> bool:
    """Whether the latest ids lie so far apart that no number of them, up to `RECENT`, can be evidence: k of them are only below
    exp(-`_NATS` / k)."""
    n = len(places)
    return all(
        n >= lately and float(places[-lately:].max()) > np.exp(-_NATS / upto)
        for lately, upto in ((1, 7), (8, 31), (32, RECENT))
    )


def _share_of(places: F64, *, trusted: bool) -> float:
    """The part of its range in which the latest ids lie; 1 where there is no telling."""
    if not len(places) or places[-1] > _MOST_SHARE or _all_over(places):
        return 1.0
    highest = np.maximum.accumulate(places[::-1])
    n = np.arange(1, len(places) + 1)
    nats = -n * np.log(np.maximum(highest, 1e-300))
    k = int(np.argmax(nats)) + 1
    if nats[k - 1] < _NATS:
        return 1.0
    share = float(highest[k - 1]) * (k + 1) / k
    if not _LEAST_SHARE <= share <= _MOST_SHARE or not _even(places[-k:] / share):
        return 1.0
    octave = np.log2(share)
    if not trusted and abs(octave - round(octave)) < max(_NEAR, 3 / k):
        return 1.0
    return share


def _is_whole(places: F64) -> bool:
    return len(places) >= _WHOLE and float(places.max()) > _MOST_SHARE and _even(places)


def _even(places: F64) -> bool:
    """Whether numbers are spread evenly over 0..1, by Kolmogorov's test."""
    n = len(places)
    apart = np.abs(np.sort(places) - (np.arange(n) + 0.5) / n).max()
    return bool(apart < _UNEVEN / np.sqrt(n))


class Sampling:
    """The samplers of one source partition's environments."""

    def __init__(self) -> None:
        self._of: dict[str, TraceSample] = {}

    def weights(self, environment: str, said: I32, trace: U64, parent: U64) -> I32:
        """How many spans each stands for, in thousandths; `said` is what each declares (or NOT_SAID, RANDOM_ID)."""
        known = self._of.setdefault(environment, TraceSample())
        roots: B1 = parent == 0
        silent: B1 = said <= NOT_SAID
        known.take_roots(said[roots])
        found = np.where(silent, UNIT, said).astype(np.int32)
        if not silent.any():
            return found
        usual = known.usual()
        if usual:
            found[silent & ~roots] = usual
            return found
        if known.begun() and silent[~roots].any() and silent[~roots].all():
            found[roots] = UNIT  # it may be only roots that tell
        known.take(trace[silent], random=bool((said[silent] == RANDOM_ID).all()))
        if known.share < 1.0:
            inside = _places(trace)[known.by] <= known.share
            found[silent & inside] = round(UNIT / known.share)
        return found

    def forget(self, environment: str) -> None:
        """An environment is gone."""
        self._of.pop(environment, None)

    def state(self) -> dict[str, Any]:
        """For a snapshot."""
        return {e: [r.declared, r.traces, r.whole, r.share, r.by] for e, r in self._of.items()}

    def load(self, state: dict[str, Any]) -> None:
        """Take the state of a snapshot."""
        self._of = {
            e: TraceSample(declared.copy(), traces.copy(), list(whole), share, by)
            for e, (declared, traces, whole, share, by) in state.items()
        }
