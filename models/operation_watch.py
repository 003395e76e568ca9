"""Operations of a service, each judged against its own past: the one route that is slow or fails is told as that.

Per window come sums by operation (`contracts.features.OPERATION_SUMS`). How far requests are from what their route is used to is known
from where they were read; here it is asked whether that is more than chance. Few requests say little: what an operation's windows
usually scatter by is shrunk towards what all operations of the environment do (partial pooling: Gelman and Hill, Data Analysis Using
Regression and Multilevel Models, 2007, chapter 12), and nothing is said of one until enough has been seen of it. An operation is told
only where it stands out: if all of a service is as slow or fails as much, that is the service's to tell.
"""

from __future__ import annotations

import math
from collections import OrderedDict, deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final

import msgspec
import numpy as np

from contracts.events import Anomaly, Contribution
from contracts.events.telemetry import anomaly_id
from contracts.features import ERROR_RATE, LATENCY_P50, Signal
from contracts.frames.decoded import B1, F64
from contracts.frames.feature_frame import FeatureFrame
from contracts.units import SECOND
from contracts.verdicts import AnomalyPhase, ServiceState
from models.judgement import (
    NOTICED_S,
    OPERATION_APART,
    OPERATION_BACK,
    OPERATION_BACK_AFTER,
    OPERATION_BEFORE,
    OPERATION_CLOSES_AFTER,
    OPERATION_DECADES,
    OPERATION_FAILURES,
    OPERATION_FEWEST,
    OPERATION_FORGETS,
    OPERATION_LOOKS,
    OPERATION_MORE_FAIL,
    OPERATION_PRIOR,
    OPERATION_SIGMAS,
    OPERATION_SINCE,
    OPERATION_SPANS,
    OPERATION_SURE,
    OPERATION_TRIALS,
    SLOWER,
)

NAME: Final = "operations"
VERSION: Final = "1"
_MOST: Final = 50_000
_REQUESTS, _FAILED, _KNOWN, _USUAL, _PACE, _TAKEN = range(6)
_PRIOR_SPREAD: Final = 0.3
"""Standard deviations (of requests) by which the mean pace of an operation's windows scatters, before anything is known."""
_FURTHEST: Final = 37.0
"""Beyond it the tail of a normal distribution is no number any more."""
Key = tuple[str, str]


@dataclass(slots=True)
class OperationTrack:
    """What is known of one operation. `windows`, `scatter` and `drift` say how its mean pace goes from window to window; `asked` and
    `failed` how often it fails; all decayed. `recent` are its latest windows, with their numbers."""

    windows: float = 0.0
    drift: float = 0.0
    scatter: float = 0.0
    asked: float = 0.0
    failed: float = 0.0
    recent: deque[tuple[int, list[float]]] = field(default_factory=lambda: deque(maxlen=max(OPERATION_SPANS)))
    agree: int = 0
    """Looks in a row that found it unusual."""
    well: int = 0
    """Looks in a row that did not, while it is told."""
    told: Anomaly | None = None
    last: int = 0
    ill: float = 0.0
    """What it was told for: the share that failed, or by how many standard deviations it was slower."""

    def is_back(self, feature: str, ill: float) -> bool:
        """Whether its latest requests are as usual, and not as they were in its illness (a share that fails, or a pace): by the likelihood ratio,
        cumulated from the newest window back (after Page, Biometrika 41, 1954), so that one that is asked little need not be ill for as long as
        it is remembered."""
        usual_pace = self.drift / self.windows if self.windows > 0 else 0.0
        usual, share = (self.failed + 0.5) / (self.asked + OPERATION_TRIALS), min(ill, OPERATION_SURE)
        nats = 0.0
        for _, sums in reversed(self.recent):
            if feature == ERROR_RATE:
                failed, well = sums[_FAILED], sums[_REQUESTS] - sums[_FAILED]
                if share > usual:
                    nats += failed * math.log(usual / share) + well * math.log((1.0 - usual) / (1.0 - share))
            else:
                known, above = sums[_KNOWN], sums[_PACE] - sums[_KNOWN] * usual_pace
                nats += ill * (known * ill / 2.0 - above)
            if nats < 0.0 or nats >= OPERATION_BACK:
                break
        return nats >= OPERATION_BACK

    def lately(self, window: int, span: int) -> F64:
        """Sums over its latest windows, so many up to this one."""
        rows = [sums for number, sums in self.recent if window - number < span]
        return np.sum(np.array(rows), axis=0) if rows else np.zeros(6)

    def learn(self, sums: list[float], spread: float) -> None:
        """Take a window for usual."""
        keep = 1 - 1 / OPERATION_SINCE
        self.asked, self.failed = self.asked * keep + sums[_REQUESTS], self.failed * keep + sums[_FAILED]
        if sums[_KNOWN] <= 0:
            return
        pace = sums[_PACE] / sums[_KNOWN]
        self.windows, self.drift = self.windows * keep + 1, self.drift * keep + pace
        mean = self.drift / self.windows
        own = max((pace - mean) ** 2 - 1 / sums[_KNOWN], 0.0)
        self.scatter = self.scatter * keep + min(own, (4 * spread) ** 2)


@dataclass(frozen=True, slots=True)
class _Verdict:
    """What an operation's latest windows say: nothing usual (decades 0), or a feature with its value and what was expected."""

    decades: float = 0.0
    feature: str = LATENCY_P50
    value: float = 0.0
    usual: float = 0.0
    requests: float = 0.0
    span: int = 1
    ill: float = 0.0
    """The share that fails, or by how many standard deviations it is slower."""


class OperationWatch:
    """The operations of one environment."""

    def __init__(self, environment: str) -> None:
        self.environment = environment
        self._tracks: OrderedDict[Key, OperationTrack] = OrderedDict()
        self._opens = OPERATION_DECADES
        self._pooled = [float(OPERATION_PRIOR), OPERATION_PRIOR * _PRIOR_SPREAD**2]
        """Windows of all operations, and their scatter, decayed."""

    def observe(self, frame: FeatureFrame, learn: B1, strictness: float = 0.0) -> list[Anomaly]:
        """Take the sums of one window in; what opens and what is over. `learn`: which rows may teach what is usual; `strictness`:
        decades by which more is asked for before one opens (`models.strictness`)."""
        self._opens = OPERATION_DECADES + strictness
        window = frame.window_ns // frame.width_ns
        by_service: dict[str, list[int]] = {}
        for i, name in enumerate(frame.services):
            by_service.setdefault(name, []).append(i)
        found: list[Anomaly] = []
        for name, rows in by_service.items():
            tracks = [self._track((name, frame.peers[i]), window) for i in rows]
            for track, i in zip(tracks, rows, strict=True):
                track.recent.append((window, frame.values[i].tolist()))
            whole = {n: np.sum([track.lately(window, n) for track in tracks], axis=0) for n in OPERATION_SPANS}
            for track, i in zip(tracks, rows, strict=True):
                found += self._step((name, frame.peers[i]), track, whole, frame, may_learn=bool(learn[i]))
        found += self._silent(window, frame)
        return found

    def _track(self, key: Key, window: int) -> OperationTrack:
        known = self._tracks.get(key)
        if known is None:
            known = self._tracks[key] = OperationTrack()
            if len(self._tracks) > _MOST:
                self._tracks.popitem(last=False)
        known.last = window
        self._tracks.move_to_end(key)
        return known

    def _step(
        self, key: Key, track: OperationTrack, whole: dict[int, F64], frame: FeatureFrame, *, may_learn: bool
    ) -> Iterator[Anomaly]:
        spread = math.sqrt(self._pooled[1] / self._pooled[0])
        said = max(
            (judge(track, span, whole[span]) for span in OPERATION_SPANS for judge in (self._slow, _failing)),
            key=lambda v: v.decades,
        )
        unusual = said.decades >= self._opens and not track.is_back(said.feature, said.ill)
        track.agree = track.agree + 1 if unusual else 0
        if track.told is None:
            if track.agree >= OPERATION_LOOKS:
                track.told, track.well, track.ill = self._opened(key, said, frame), 0, said.ill
                yield track.told
            elif may_learn and said.decades < OPERATION_DECADES / 2:
                track.learn(track.recent[-1][1], spread)
                self._pool(track.recent[-1][1], track)
            return
        back = track.is_back(track.told.contributions[0].feature, track.ill)
        track.well = track.well + 1 if back or said.decades < OPERATION_DECADES / 2 else 0
        if track.well >= (OPERATION_BACK_AFTER if back else OPERATION_CLOSES_AFTER):
            yield self._closed(track, frame, "as usual again")

    def _pool(self, sums: list[float], track: OperationTrack) -> None:
        if sums[_KNOWN] > 0 and track.windows > 0:
            own = max((sums[_PACE] / sums[_KNOWN] - track.drift / track.windows) ** 2 - 1 / sums[_KNOWN], 0.0)
            keep = 1 - 1 / (10 * OPERATION_SINCE)
            self._pooled = [self._pooled[0] * keep + 1, self._pooled[1] * keep + min(own, 1.0)]

    def _slow(self, track: OperationTrack, span: int, whole: F64) -> _Verdict:
        """How sure it is that the operation is slower, and slower than the rest of its service."""
        lately = track.lately(track.last, span)
        known = float(lately[_KNOWN])
        if known < OPERATION_FEWEST or track.windows < OPERATION_BEFORE:
            return _Verdict()
        prior, all_scatter = OPERATION_PRIOR, self._pooled[1] / self._pooled[0]
        scatter = (prior * all_scatter + track.scatter) / (prior + track.windows)
        usual_pace = track.drift / (prior / 2 + track.windows)
        pace = lately[_PACE] / known
        rest_known = whole[_KNOWN] - known
        rest = (whole[_PACE] - lately[_PACE]) / rest_known if rest_known > 0 else 0.0
        windows = max(1, sum(1 for n, sums in track.recent if sums[_KNOWN] > 0 and track.last - n < span))
        sigma = math.sqrt(1 / known + scatter / windows)
        above = pace - usual_pace - max(rest, 0.0) * OPERATION_APART
        taken, usual = (math.exp(lately[c] / known) / SECOND for c in (_TAKEN, _USUAL))
        if above < OPERATION_SIGMAS or taken < SLOWER * usual or taken - usual < NOTICED_S:
            return _Verdict()
        return _Verdict(_decades(above / sigma), LATENCY_P50, taken, usual, known, span, pace - usual_pace)

    def _opened(self, key: Key, said: _Verdict, frame: FeatureFrame) -> Anomaly:
        name, operation = key
        seconds = said.span * frame.width_ns / SECOND
        part = Contribution(
            signal=Signal.SPANS,
            feature=said.feature,
            value=said.value,
            low=0.0,
            high=said.usual,
            decades=said.decades,
            share=1.0,
            window_s=seconds,
        )
        onset_ns = frame.window_ns - (OPERATION_LOOKS - 1) * frame.width_ns
        return Anomaly(
            id=anomaly_id("op", self.environment, name, operation, onset_ns),
            environment=self.environment,
            service=name,
            phase=AnomalyPhase.OPENED,
            state=ServiceState.ANOMALOUS,
            onset_ns=onset_ns,
            time_ns=frame.window_ns + frame.width_ns,
            p_value=10.0**-said.decades,
            decades=said.decades,
            contributions=(part,),
            detector=NAME,
            model_version=VERSION,
            text=f"{operation} of {name} {_words(said)}",
            operation=operation,
            pooled_s=seconds,
        )

    def _closed(self, track: OperationTrack, frame: FeatureFrame, text: str) -> Anomaly:
        told = track.told
        assert told is not None
        track.told, track.agree, track.well = None, 0, 0
        state = ServiceState.HEALTHY if text == "as usual again" else ServiceState.STALE
        end_ns = max(frame.window_ns + frame.width_ns, told.time_ns)
        return msgspec.structs.replace(told, phase=AnomalyPhase.CLOSED, state=state, time_ns=end_ns, text=text)

    def _silent(self, window: int, frame: FeatureFrame) -> Iterator[Anomaly]:
        """Operations that were told and are asked for no more: whether they are well can't be told."""
        for track in self._tracks.values():
            if track.told is not None and window - track.last > OPERATION_FORGETS:
                yield self._closed(track, frame, "it is not asked for any more: whether it is well can't be told")

    def state(self) -> list[Any]:
        """For a snapshot."""
        tracks = [
            [
                *key,
                [t.windows, t.drift, t.scatter, t.asked, t.failed],
                [[number, sums] for number, sums in t.recent],
                [t.agree, t.well, t.last, t.ill],
                None if t.told is None else msgspec.to_builtins(t.told),
            ]
            for key, t in self._tracks.items()
        ]
        return [self.environment, self._pooled, tracks]

    @classmethod
    def of(cls, state: list[Any]) -> OperationWatch:
        """From a snapshot."""
        found = cls(state[0])
        found._pooled = list(state[1])
        for name, operation, sums, recent, looks, told in state[2]:
            track = found._tracks[name, operation] = OperationTrack(*sums)
            track.recent.extend((number, list(values)) for number, values in recent)
            track.agree, track.well, track.last = looks[:3]
            track.ill = float(looks[3]) if len(looks) > 3 else 0.0
            track.told = None if told is None else msgspec.convert(told, Anomaly)
        return found


def _failing(track: OperationTrack, span: int, whole: F64) -> _Verdict:
    """How sure it is that more of the operation's requests fail, and more than of the rest of its service."""
    lately = track.lately(track.last, span)
    asked, failed = float(lately[_REQUESTS]), float(lately[_FAILED])
    if asked < OPERATION_FEWEST or failed < OPERATION_FAILURES or track.asked < OPERATION_FEWEST:
        return _Verdict()
    rest_asked = float(whole[_REQUESTS]) - asked
    rest = (float(whole[_FAILED]) - failed) / rest_asked if rest_asked > 0 else 0.0
    usual = (track.failed + 0.5) / (track.asked + OPERATION_TRIALS)
    expected = max(usual, rest)
    share = failed / asked
    if share < expected + OPERATION_MORE_FAIL:
        return _Verdict()
    # The signed root of the deviance of a binomial: right in its tail, too.
    deviance = failed * math.log(share / expected)
    if failed < asked:
        deviance += (asked - failed) * math.log((1 - share) / (1 - expected))
    return _Verdict(_decades(math.sqrt(max(2 * deviance, 0.0))), ERROR_RATE, share, usual, asked, span, share)


def _decades(z: float) -> float:
    """-log10 of the upper tail of a normal distribution."""
    return -math.log10(math.erfc(min(z, _FURTHEST) / math.sqrt(2)) / 2) if z > 0 else 0.0


def _words(said: _Verdict) -> str:
    if said.feature == ERROR_RATE:
        return f"fails: {100 * said.value:.0f} % of {said.requests:.0f} requests instead of {100 * said.usual:.2g} %"
    return f"takes {_time(said.value)} instead of {_time(said.usual)} ({said.requests:.0f} requests)"


def _time(seconds: float) -> str:
    return f"{seconds:.3g} s" if seconds >= 1 else f"{1000 * seconds:.3g} ms"
