"""How callers see a target: calls that fail on the way, of which it may not know itself."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Final, NamedTuple

import numpy as np

from contracts import features as f
from contracts.external import EXTERNAL
from contracts.frames import EvidenceFrame
from contracts.units import SECOND
from contracts.verdicts import ServiceState

AMISS: Final = 1 / 3
"""Share of windows, or looks, out of their expected range from which something is amiss; chance gives a few percent."""
HISTORY_NS: Final = 90 * SECOND
"""How far back evidence is looked at: enough to know what was usual before."""
LEAST_REQUESTS: Final = 5.0
"""Requests since the onset from which anything of a target's answers can be told."""
LEAST_UNANSWERED: Final = 5.0
"""Calls without an answer from which that is more than some that are on their way."""
REFUSED: Final = 0.5
"""Share of calls that fail from which a target is taken to be refusing, or not to be reached."""
AT_ONCE_S: Final = 0.05
"""Seconds within which a call that fails has hardly been waited for, where it is not known how long calls usually take."""
WAITED: Final = 1.5
"""Times the usual time of a caller's slowest requests from which some have waited for an answer that did not come: who gives up does so
after several times what calls take."""
LEAST_BEFORE: Final = 5
"""Windows from before the onset from which it is known how long a caller's slowest requests usually take."""
OFTEN: Final = 0.9
"""Share of the windows before in which its slowest requests took no longer: of few requests these go up and down."""
FAILING: Final = 0.1
"""Additional share of calls that fail or are not answered, as callers see it, that speaks against a target."""
HANDED_ON: Final = 0.5
"""Share of a target's failed requests in which a call of its own failed from which failing is not its own doing."""
CALLED_MORE: Final = 1.3
CALLED_SIGMAS: Final = 3.0
"""Times the usual calls, and standard deviations (Poisson) beyond them, from which a service is called more often than before: as what it tells of
its own requests is judged."""
LEAST_FAILED: Final = 3.0
"""Failed requests from which it can be told with which calls they fail."""


def callers_see(frames: Sequence[EvidenceFrame], service: str, onset_ns: int) -> str:
    """What callers tell of their calls that the target may not know of: calls that fail on the way, or are never answered, as those to an
    instance that hangs."""
    return (
        _failed(frames, service, onset_ns)
        or _unanswered(frames, service, onset_ns)
        or _blamed_by_callers(frames, service, onset_ns)
    )


def handed_on(frames: Sequence[EvidenceFrame], service: str, onset_ns: int) -> str:
    """That most of a service's requests that failed since the onset did so in calls of its own, in words; "" where that isn't so, or not
    known. Requests count up to where calls are known."""
    blamed = _sums(_blamed(frames, onset_ns, lambda caller, _: caller == service))
    if not blamed:
        return ""
    until_ns = max(window_ns for window_ns, *_ in blamed)
    failed: dict[int, float] = {}
    for frame in frames:
        if frame.signal == f.Signal.SPANS and onset_ns <= frame.window_ns <= until_ns and service in frame.services:
            i, column = frame.services.index(service), frame.features.index(f.ERROR_RATE)
            failed[frame.window_ns] = float(np.nan_to_num(frame.values[i, column]) * max(frame.counts[i], 0))
    whole, theirs = sum(failed.values()), sum(blamed.values())
    if whole < LEAST_FAILED or theirs < HANDED_ON * whole:
        return ""
    peers: dict[str, float] = {}
    for (_, _, peer), n in blamed.items():
        peers[peer] = peers.get(peer, 0.0) + n
    worst = max(sorted(peers), key=lambda p: peers[p])
    return (
        f"{min(theirs, whole):.0f} of its {whole:.0f} requests that failed did so in calls of its own, most to {worst}"
    )


class Called(NamedTuple):
    """Calls per second that a service's callers make: those since the onset that did not fail, those before it, and as many as these may be by
    chance."""

    rate: float
    usual: float
    most: float


def called(frames: Sequence[EvidenceFrame], service: str, onset_ns: int) -> Called | None:
    """How often a service is called since the onset, by what its callers tell; None where that is not known from before and since. What fails
    may be asked again, and counts for nothing."""
    rows: dict[tuple[int, str, str], tuple[float, float]] = {}
    width_ns = 0
    for frame, i in _as_callers_see(frames, service):
        if frame.window_ns >= onset_ns - HISTORY_NS and frame.counts[i] >= 0:
            made, width_ns = float(frame.counts[i]), frame.width_ns
            well = 1.0 - float(np.nan_to_num(_value(frame, i, f.CALL_ERROR_RATE)))
            rows[frame.window_ns, frame.services[i], frame.peers[i]] = made, made * well
    windows = [window_ns for window_ns, *_ in rows]
    before = (onset_ns - min(windows, default=onset_ns)) // max(width_ns, 1)
    since = max(windows, default=onset_ns - width_ns) // max(width_ns, 1) - onset_ns // max(width_ns, 1) + 1
    if before < LEAST_BEFORE or since < 1:
        return None
    usual = sum(made for (window_ns, *_), (made, _) in rows.items() if window_ns < onset_ns) / before
    by_now = sum(well for (window_ns, *_), (_, well) in rows.items() if window_ns >= onset_ns) / since
    most = max(CALLED_MORE * usual, usual + CALLED_SIGMAS * math.sqrt(max(usual, 1.0 / before) / since))
    return Called(*(x * SECOND / width_ns for x in (by_now, usual, most)))


def waited_for(frames: Sequence[EvidenceFrame], service: str, onset_ns: int) -> bool:
    """Whether calls to a service lose more time on the way than expected, in a third of the windows since the onset and at last: whose processor
    is busy takes requests late, and its spans begin when it does."""
    lost: dict[int, bool] = {}
    for frame, i in rows_of_calls(frames, service):
        gap, most = (_value(frame, i, f.NETWORK_GAP, high=high) for high in (False, True))
        if frame.window_ns >= onset_ns and math.isfinite(gap) and math.isfinite(most):
            lost[frame.window_ns] = lost.get(frame.window_ns, False) or gap > most
    return len(lost) > 1 and lost[max(lost)] and sum(lost.values()) >= AMISS * len(lost)


def refused(frames: Sequence[EvidenceFrame], service: str, onset_ns: int) -> bool:
    """Whether most calls fail at once, as callers tell: nobody waits for an answer. Where a caller tells only that calls were not answered, and
    not how long it waited, its own slowest requests say so. False where that is not known, either."""
    made = failed = 0.0
    took: list[float] = []
    usual: list[float] = []
    untold: set[str] = set()
    for frame, i in _as_callers_see(frames, service):
        late, count, asked = frame.window_ns >= onset_ns, float(frame.counts[i]), asked_of(frame, i)
        error, latency = (_value(frame, i, n) for n in (f.CALL_ERROR_RATE, f.CALL_LATENCY_P95))
        if late and asked > count >= 0:
            made += asked
            failed += asked - count * (1.0 - float(np.nan_to_num(error)))
            untold.add(frame.services[i])
            continue
        if count <= 0 or not math.isfinite(latency):
            continue
        (took if late else usual).append(latency)
        if late:
            made += count
            failed += count * float(np.nan_to_num(error))
    if made < LEAST_REQUESTS or failed < REFUSED * made or any(_waits(frames, c, onset_ns) for c in untold):
        return False
    return not took or float(np.median(took)) <= (float(np.median(usual)) if usual else AT_ONCE_S)


def _waits(frames: Sequence[EvidenceFrame], caller: str, onset_ns: int) -> bool:
    """Whether a service's slowest requests take longer since the onset: than before, or where (most of) that is too long ago than is expected; or
    it is not known how long they take."""
    rows = [(frame, frame.services.index(caller)) for frame in frames if _serves(frame, caller)]
    told = [(frame.window_ns >= onset_ns, _value(frame, i, f.LATENCY_P99), frame, i) for frame, i in rows]
    before, since = ([v for late, v, *_ in told if late is when and v > 0] for when in (False, True))
    high = [h for late, v, frame, i in told if late and v > 0 and (h := _value(frame, i, f.LATENCY_P99, high=True)) > 0]
    if not since or not (before or high):
        return True
    if high and len(before) < LEAST_BEFORE:
        return float(np.median(since)) > float(np.median(high))
    return float(np.median(since)) > max(WAITED * float(np.median(before)), float(np.quantile(before, OFTEN)))


def _serves(frame: EvidenceFrame, service: str) -> bool:
    return frame.signal == f.Signal.SPANS and service in frame.services


def _value(frame: EvidenceFrame, i: int, feature: str, *, high: bool = False) -> float:
    """The value of a row, or the upper end of what was expected; NaN where it is not told."""
    if feature not in frame.features:
        return math.nan
    return float((frame.high if high else frame.values)[i, frame.features.index(feature)])


def _failed(frames: Sequence[EvidenceFrame], service: str, onset_ns: int) -> str:
    """Calls that fail on the way, as callers tell: the target may not know of them."""
    calls = [c for c in _calls(frames, service) if c[0] >= onset_ns - HISTORY_NS]
    old = [(n, e) for window, n, e in calls if window < onset_ns]
    new = [(n, e) for window, n, e in calls if window >= onset_ns]
    made, failed = sum(n for n, _ in new), sum(n * e for n, e in new)
    if made < LEAST_REQUESTS or failed < 3:
        return ""
    usual = sum(n * e for n, e in old) / max(1.0, sum(n for n, _ in old))
    if failed / made < usual + FAILING:
        return ""
    return f"its callers see {failed:.0f} of {made:.0f} calls fail, though it reports none of that itself"


def _unanswered(frames: Sequence[EvidenceFrame], service: str, onset_ns: int) -> str:
    told = list(_asked(frames, service))
    made, answered = (sum(row[i] for row in told if row[0] >= onset_ns) for i in (1, 2))
    before, before_answered = (sum(row[i] for row in told if row[0] < onset_ns) for i in (1, 2))
    if made < LEAST_REQUESTS or made - answered < LEAST_UNANSWERED:
        return ""
    usual = max(0.0, 1.0 - before_answered / before) if before > 0 else 0.0
    if (made - answered) / made < usual + FAILING:
        return ""
    return f"its callers had no answer to {made - answered:.0f} of {made:.0f} calls, though it answers the others as before"


def _blamed_by_callers(frames: Sequence[EvidenceFrame], service: str, onset_ns: int) -> str:
    """Requests of callers that failed in calls to the target, however few: of which it tells nothing where it answers as before."""
    names = known_as(service)
    failed = sum(_sums(_blamed(frames, onset_ns, lambda _, peer: is_meant(peer, service, names))).values())
    return f"{failed:.0f} requests of its callers failed in calls to it" if failed >= LEAST_FAILED else ""


def _sums(told: Iterable[tuple[int, str, str, float]]) -> dict[tuple[int, str, str], float]:
    """By window, caller and callee: of a row that was told again, the latest."""
    return {(window_ns, caller, peer): n for window_ns, caller, peer, n in told}


def _blamed(
    frames: Sequence[EvidenceFrame], onset_ns: int, meant: Callable[[str, str], bool]
) -> Iterator[tuple[int, str, str, float]]:
    """Window, caller, callee, and the caller's requests that failed with such calls, of every row since the onset that is meant."""
    aside = f.ASIDE[f.Signal.EDGES]
    column = aside.index(f.BLAMED)
    for frame in frames:
        if frame.signal != f.Signal.EDGES or frame.window_ns < onset_ns or frame.aside.shape[1:] != (len(aside),):
            continue
        for i, (caller, peer) in enumerate(zip(frame.services, frame.peers, strict=True)):
            if meant(caller, peer) and np.isfinite(frame.aside[i, column]):
                yield frame.window_ns, caller, peer, float(frame.aside[i, column])


def _asked(frames: Sequence[EvidenceFrame], service: str) -> Iterator[tuple[int, float, float]]:
    """Window, calls made by the callers' client spans, and those answered, of every row of calls to the service that tells of them."""
    for frame, i in rows_of_calls(frames, service):
        if frame.counts[i] >= 0 and (made := asked_of(frame, i)) > 0:
            yield frame.window_ns, made, float(frame.counts[i])


def asked_of(frame: EvidenceFrame, i: int) -> float:
    """Calls that the caller's client spans say it made; 0 where they don't tell."""
    aside = f.ASIDE[f.Signal.EDGES]
    told = frame.aside.shape[1:] == (len(aside),)
    return float(np.nan_to_num(frame.aside[i, aside.index(f.ASKED)])) if told else 0.0


def _calls(frames: Sequence[EvidenceFrame], service: str) -> Iterator[tuple[int, float, float]]:
    """Window, calls and share of failures of every row of calls to the service."""
    for frame, i in _as_callers_see(frames, service):
        if f.CALL_ERROR_RATE in frame.features and frame.counts[i] > 0:
            share = frame.values[i, frame.features.index(f.CALL_ERROR_RATE)]
            yield frame.window_ns, float(frame.counts[i]), float(np.nan_to_num(share))


def _as_callers_see(frames: Sequence[EvidenceFrame], service: str) -> Iterator[tuple[EvidenceFrame, int]]:
    """Of each caller its own view of its calls to the service, which knows of those that were never answered, where it has one; else the calls
    that spans of both were joined for. Both are of the same calls."""
    rows = list(rows_of_calls(frames, service))
    telling = {frame.services[i] for frame, i in rows if frame.peers[i].startswith(EXTERNAL)}
    for frame, i in rows:
        if frame.peers[i].startswith(EXTERNAL) or frame.services[i] not in telling:
            yield frame, i


def rows_of_calls(frames: Sequence[EvidenceFrame], service: str) -> Iterator[tuple[EvidenceFrame, int]]:
    """Every row of calls to the service that is no stale one, by whatever name its callers know it."""
    names, others = known_as(service), _calling_others(frames, service)
    for frame in frames:
        if frame.signal != f.Signal.EDGES:
            continue
        meant = {peer for peer in set(frame.peers) if is_meant(peer, service, names)}
        if meant:
            for i, (caller, peer) in enumerate(zip(frame.services, frame.peers, strict=True)):
                if peer in meant and frame.state[i] != ServiceState.STALE and (peer == service or caller not in others):
                    yield frame, i


def _calling_others(frames: Sequence[EvidenceFrame], service: str) -> set[str]:
    """Callers whose spans were joined with those of another service of the same last name: what they call by that name need not be this one."""
    short = service.rsplit("/", 1)[-1]
    found: set[str] = set()
    for frame in frames:
        if frame.signal == f.Signal.EDGES:
            known = {p for p in set(frame.peers) if not p.startswith(EXTERNAL)} - {service}
            alike = {p for p in known if p.rsplit("/", 1)[-1] == short}
            if alike:
                found |= {c for c, p in zip(frame.services, frame.peers, strict=True) if p in alike}
    return found


def is_meant(peer: str, service: str, names: set[str]) -> bool:
    """Whether a callee's name is a service's, or may stand for it; `names`: those by which its callers may know it (`known_as`)."""
    return peer == service or (peer.startswith(EXTERNAL) and bool(means(peer) & names))


def known_as(service: str) -> set[str]:
    """The names by which its callers may know a service: with its namespace, or without."""
    return {service, service.rsplit("/", 1)[-1]}


def means(peer: str) -> set[str]:
    """The names of services that a callee's name may stand for: itself, or, where a caller chose it, what it says."""
    name = peer.removeprefix(EXTERNAL)
    return {name} if name == peer else {name, name.split(".", 1)[0]}
