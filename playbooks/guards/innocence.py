"""Does a target answer as before? From its own evidence alone: the requests it serves, their errors and latency, its resources.

Restarting, rolling back or scaling what answers as before repairs nothing and breaks something. A diagnosis may be wrong; what the
target shows by itself is looked at once more, when deciding and right before the effect. Three answers: `as_before` (nothing is
done to it), `worse` (it shows something itself), `unknown` (too few requests, none of its own, or nothing heard of it: more certainty
is needed before it is acted on).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from contracts import features as f
from contracts.frames import EvidenceFrame
from contracts.mix import Blame, Mix
from contracts.room import queues, usual_seconds
from contracts.units import SECOND
from contracts.verdicts import Conduct
from playbooks.guards.callers_view import (
    AMISS,
    LEAST_REQUESTS,
    Called,
    called,
    callers_see,
    handed_on,
    refused,
    waited_for,
)
from playbooks.guards.demand import LITTLE_MORE, MORE, asked_again, bore_before, leaves_room
from playbooks.guards.passed_calls import worse_by_itself
from playbooks.guards.resources import busy, cpu_before, runs_hot, short_of, unended, yet_to_be_told
from playbooks.guards.service_rows import FACES, RECENT, Face, ServiceRows, around, asked_mix, rows_of

LEAST_WINDOWS: Final = 2
"""Windows since the onset from which an answer as before can be told."""
PATIENCE_NS: Final = 10 * SECOND
"""How long after the onset a target's own evidence is waited for."""
OPERATIONS_NS: Final = 20 * SECOND
"""How long after the onset one operation that stands out is told at the latest (`models.operation_watch`)."""
UNLIKE: Final = 0.02
"""Standard deviation of the usual time (its logarithm) of what is asked for, from window to window, from which a service is known to have
several operations."""
SELDOM: Final = 5.0
"""Windows of spans for one of metrics from which metrics are told of seldom, and a look of them reaches far back."""
SURE_Z: Final = 3.0
"""Standard deviations by which levels since the onset differ from those before, for all windows together."""
SLOWER: Final = 1.2
"""Times the usual latency below which it is as before, however sure."""
MISSED: Final = 5.0
"""Requests that must be missing at a target that serves none any more: by chance, fewer than one time in a hundred."""
FEW: Final = "too few to tell whether it answers as before"
NEW_ROUTES: Final = "what it was asked for before is as quick as it was; of its new routes nothing is known yet"


@dataclass(frozen=True, slots=True)
class Standing:
    """How a target bears itself. `demand`: users ask it for more than it has room for, or it runs hot and counts no requests: reason enough
    to scale it. `young`: too
    little time has passed since the onset to tell, a moment later more is known. `lost`: it used to be heard of and is not. `new_routes`: it is asked for what it never
    was instead of what it was."""

    conduct: Conduct
    text: str
    demand: bool = False
    young: bool = False
    lost: bool = False
    new_routes: bool = False
    again: str = ""
    """Why it is not users who ask it for more, where it is asked for more."""
    few: bool = False
    """It served requests since the onset, too few to tell anything by."""
    times: float = 1.0
    """Times its usual requests that it has been asked for since the onset; 1 where that is no more, or not known."""
    untold: bool = False
    """It tells of no requests: whether it is slow and fails itself, or those whom it calls do, nobody can see."""
    refused: bool = False
    """Most of its calls fail at once, as its callers tell: they are refused, by it or on the way to it."""
    handed_on: str = ""
    """That most of its requests that fail do so in calls of its own: failing is not its doing."""
    partly: bool = False
    """Its slowest requests alone are slower, it has several operations, and it is too early to tell whether it is one of them."""
    answers: bool = False
    """It has served requests since the onset, and not missed any of late: it is there, whatever its callers say."""
    unread: bool = False
    """How busy it is has been told often, and not yet since the onset."""
    silent: bool = False
    """It has served nothing of late, though it is asked: there is nothing of it to take away."""
    called: Called | None = None
    """How often its callers call it; None where that is not known, or it tells itself what it serves."""


def standing(frames: Iterable[EvidenceFrame], service: str, onset_ns: int) -> Standing:
    """How `service` has answered since `onset_ns`, against what was usual before and the expected ranges. Frames in order of
    arrival; a later one of the same window counts."""
    kept = list(frames)
    rows = {s: rows_of(kept, service, s) for s in (f.Signal.SPANS, f.Signal.METRICS)}
    mix = asked_mix(rows[f.Signal.SPANS], onset_ns)
    more = _more_than_it_can(rows, mix, onset_ns)
    again = asked_again(kept, service, onset_ns) if more else ""
    times = max(_asked_more(rows[face.signal], face, onset_ns, MORE) for face in FACES)
    theirs = handed_on(kept, service, onset_ns)
    faces = FACES if not theirs else tuple(replace(face, errors="") for face in FACES)
    found = _conduct(kept, rows, mix, service, onset_ns, demand=more and not again, faces=faces)
    if theirs and found.conduct is Conduct.AS_BEFORE:
        found = replace(found, text=theirs)
    if found.untold and (worse := worse_by_itself(kept, service, onset_ns)):
        found = replace(found, conduct=Conduct.WORSE, text=worse)
    times = max(times, 1.0) if math.isfinite(times) else 1.0
    lost = found.conduct is not Conduct.AS_BEFORE and refused(kept, service, onset_ns)
    newest_ns = max((frame.window_ns for frame in kept), default=0)
    unread = yet_to_be_told(rows[f.Signal.METRICS], onset_ns, newest_ns)
    there = _answers(rows[f.Signal.SPANS], onset_ns)
    silent = found.conduct is Conduct.WORSE and _ceased(rows[f.Signal.SPANS], onset_ns)
    asked = None if rows[f.Signal.SPANS] is not None and _counted(rows) else called(kept, service, onset_ns)
    if found.untold and asked is not None and asked.rate > asked.most and asked.usual > 0:
        times = asked.rate / asked.usual
    return replace(
        found,
        again=again,
        times=times,
        refused=lost,
        handed_on=theirs,
        unread=unread,
        answers=there,
        silent=silent,
        called=asked,
    )


def _more_than_it_can(rows: Mapping[f.Signal, ServiceRows | None], mix: Mix, onset_ns: int) -> bool:
    """Whether it is asked for more than usual and than it has room for; or, where it counts no requests, runs hot."""
    metrics = rows[f.Signal.METRICS]
    hot = runs_hot(metrics)
    asked = max(_asked_more(rows[face.signal], face, onset_ns, LITTLE_MORE if hot else MORE) for face in FACES)
    if mix.excuses or not asked:
        return hot and not _counted(rows)
    return _may_queue(rows, onset_ns) and not leaves_room(cpu_before(metrics, onset_ns), asked)


def _may_queue(rows: Mapping[f.Signal, ServiceRows | None], onset_ns: int) -> bool:
    """Whether its requests can be in one another's way since the onset, for all that is known."""
    told = []
    for face in FACES:
        known = rows[face.signal]
        if known is None:
            continue
        before, since = around(known, face, onset_ns)
        median, p95 = (before.values.get(name, np.empty(0)) for name in face.latencies[:2])
        if len(since.window) and np.isfinite(median).any() and np.isfinite(p95).any():
            seconds = usual_seconds(float(np.nanmedian(median)), float(np.nanmedian(p95)))
            told.append(queues(float(since.values[face.rate].mean()), seconds))
    return any(told) or not told


def _reaches_back(rows: Mapping[f.Signal, ServiceRows | None], onset_ns: int) -> bool:
    """Whether what metrics say of requests since the onset is of before it as well, as a look of a minute is, and spans tell of each second."""
    told, measured = (rows[face.signal] for face in FACES)
    if told is None or measured is None:
        return False
    (spans, asked), (looks, looked) = (
        around(known, face, onset_ns) for known, face in zip((told, measured), FACES, strict=True)
    )
    seldom = len(looks.window) > 0 and len(spans.window) >= SELDOM * len(looks.window)
    return seldom and len(looked.window) < LEAST_WINDOWS and len(asked.window) > 0


def _conduct(
    kept: Sequence[EvidenceFrame],
    rows: Mapping[f.Signal, ServiceRows | None],
    mix: Mix,
    service: str,
    onset_ns: int,
    *,
    demand: bool,
    faces: Sequence[Face],
) -> Standing:
    early = _reaches_back(rows, onset_ns)
    said = [_served(rows[face.signal], face, onset_ns, mix) for face in (faces[:1] if early else faces)]
    metrics = rows[f.Signal.METRICS]
    short = short_of(metrics) or unended(rows, onset_ns)
    if not short and not demand and waited_for(kept, service, onset_ns):
        short = busy(metrics)
    if short:
        return Standing(Conduct.WORSE, short, demand)
    for conduct in (Conduct.WORSE, Conduct.AS_BEFORE):
        text = next((t for c, t in said if c is conduct), "")
        if text:
            blamed = callers_see(kept, service, onset_ns) if conduct is Conduct.AS_BEFORE else ""
            partly = conduct is Conduct.WORSE and _partly(kept, rows, onset_ns, mix)
            return Standing(Conduct.UNKNOWN if blamed else conduct, blamed or text, demand, partly=partly)
    text = next((t for _, t in said if t), "")
    found = _unknown(kept, rows, text, onset_ns, demand)
    return replace(found, new_routes=mix.latency is Blame.NEW, few=text.endswith(FEW))


def _ceased(spans: ServiceRows | None, onset_ns: int) -> bool:
    """Whether it has stopped serving, by what it tells itself."""
    told = None if spans is None else _silent(*around(spans, FACES[0], onset_ns))
    return told is not None and told[0] is Conduct.WORSE


def _answers(spans: ServiceRows | None, onset_ns: int) -> bool:
    if spans is None:
        return False
    since = spans.counts[spans.window >= onset_ns]
    busy = np.flatnonzero(since > 0)
    if float(since.sum()) < LEAST_REQUESTS:
        return False
    heard = int(busy[-1]) + 1
    return float(since[:heard].mean()) * (len(since) - heard) < 2 * MISSED  # it is looked at again and again


def _partly(
    frames: Sequence[EvidenceFrame], rows: Mapping[f.Signal, ServiceRows | None], onset_ns: int, mix: Mix
) -> bool:
    """Whether the typical request is answered as before, by a service with several operations, and the time has not come yet by
    which one that stands out would have been told."""
    newest = max(frame.window_ns for frame in frames)
    spans = rows[f.Signal.SPANS]
    if spans is None or newest - onset_ns >= OPERATIONS_NS or not _several(spans, onset_ns):
        return False
    typical = [replace(face, latencies=face.latencies[:1]) for face in FACES]
    return all(_served(rows[face.signal], face, onset_ns, mix)[0] is not Conduct.WORSE for face in typical)


def _several(rows: ServiceRows, onset_ns: int) -> bool:
    """Whether a service has operations that usually take unlike times: then what is usual of its requests goes up and down."""
    known, level = rows.aside[:, 0], rows.aside[:, 1]
    told = np.flatnonzero((known > 0) & (rows.window < onset_ns))
    return len(told) >= 2 * LEAST_WINDOWS and float((level[told] / known[told]).std()) >= UNLIKE


def _unknown(
    frames: Sequence[EvidenceFrame], rows: Mapping[f.Signal, ServiceRows | None], text: str, onset_ns: int, demand: bool
) -> Standing:
    """Why it can't be told: it is too early, its telemetry has ceased, it is hardly asked, or it never told of requests."""
    spans = rows[f.Signal.SPANS]
    if spans is None or not spans.counts.any():
        return Standing(Conduct.UNKNOWN, text or "it reports no requests of its own", demand, untold=not _counted(rows))
    newest = max(frame.window_ns for frame in frames if frame.signal == f.Signal.SPANS)
    before, since = around(spans, FACES[0], onset_ns)
    lost = not len(since.window)
    early = newest - onset_ns < PATIENCE_NS and (lost or float((since.counts > 0).sum()) < LEAST_WINDOWS)
    young = early and len(before.window) > 0 and float(before.counts.mean()) >= 1
    said = "it has not been heard of since the onset" if lost else text
    return Standing(Conduct.UNKNOWN, said, demand, young, lost)


def _served(rows: ServiceRows | None, face: Face, onset_ns: int, mix: Mix) -> tuple[Conduct, str]:
    if rows is None:
        return Conduct.UNKNOWN, ""
    before, since = around(rows, face, onset_ns)
    if not len(since.window) or not (before.counts.any() or since.counts.any()):
        return Conduct.UNKNOWN, ""
    silent = _silent(before, since)
    if silent is not None:
        return silent
    busy = since.part(since.counts > 0)
    worse = _worse(before.part(before.counts > 0), busy, replace(face, latencies=()) if mix.routes_as_before else face)
    if worse or (mix.latency is Blame.NEW and _worse(before.part(before.counts > 0), busy, face)):
        return (Conduct.WORSE, worse) if worse else (Conduct.UNKNOWN, NEW_ROUTES)
    requests = busy.counts.sum()
    if len(busy.window) < LEAST_WINDOWS or requests < LEAST_REQUESTS:
        return (
            Conduct.UNKNOWN,
            f"it served {requests:.0f} requests since the onset: {FEW}",
        )
    ranges = [mix.excuses] + [np.isfinite(busy.high[n]).any() for n in (face.errors, *face.latencies) if n in busy.high]
    if not any(ranges) and not len(before.window):
        return Conduct.UNKNOWN, "nothing is known of it from before the onset"
    said = "each of its routes takes as long as before" if mix.excuses else "it answers as before"
    return Conduct.AS_BEFORE, f"{said}: {_told(busy, face)}"


def _silent(before: ServiceRows, since: ServiceRows) -> tuple[Conduct, str] | None:
    """Whether it has stopped serving: the latest windows are without requests, and enough are missing."""
    busy = np.flatnonzero(since.counts > 0)
    quiet = len(since.window) - (int(busy[-1]) + 1 if len(busy) else 0)
    if not quiet:
        return None
    # Who is asked less since the onset, yet answers, pauses more often.
    means = [float(before.counts.mean())] if len(before.window) else []
    means += (
        [float(since.counts[: busy[-1] + 1].mean())] if len(busy) >= LEAST_WINDOWS or (len(busy) and not means) else []
    )
    usual = min(means, default=0.0)
    if usual * quiet >= MISSED:
        seconds = quiet * since.width_s
        return Conduct.WORSE, f"it served nothing for {seconds:.0f} s, where {usual * quiet:.0f} requests are usual"
    if not len(busy):
        return Conduct.UNKNOWN, "it served no requests since the onset, and is asked rarely"
    return None


def _worse(before: ServiceRows, busy: ServiceRows, face: Face) -> str:
    """What is worse since the onset than before, "" where nothing is."""
    for name in (face.errors, *face.latencies):
        if name not in busy.values:
            continue
        amiss = busy.above(name)
        if amiss.mean() >= AMISS if len(amiss) else False:
            worst = float(np.nanmax(busy.values[name]))
            return f"{f.FEATURES[name].text} was above its expected range in {amiss.sum()} of {len(amiss)} windows (up to {worst:.3g})"
    failed = _more_failures(before, busy, face.errors)
    return failed or next((t for n in face.latencies if (t := _slower(before, busy, n))), "")


def _more_failures(before: ServiceRows, busy: ServiceRows, name: str) -> str:
    if name not in busy.values or not len(before.window):
        return ""
    (a, n), (b, m) = _failures(_usual(before, name), name), _failures(busy, name)
    if not n or not m:
        return ""
    p = (a + b + 0.5) / (n + m + 1)
    z = (b / m - a / n) / math.sqrt(p * (1 - p) * (1 / n + 1 / m))
    return (
        f"{b:.0f} of {m:.0f} requests failed since the onset, {a:.0f} of {n:.0f} before"
        if z >= SURE_Z and b >= 3
        else ""
    )


def _usual(before: ServiceRows, name: str) -> ServiceRows:
    """The windows before in which a feature was not above its expected range itself: an earlier bout of the same trouble is not what is usual."""
    return before.part(~before.above(name))


def _failures(rows: ServiceRows, name: str) -> tuple[float, float]:
    share = np.nan_to_num(rows.values[name])
    return float((share * rows.counts).sum()), float(rows.counts.sum())


def _slower(before: ServiceRows, busy: ServiceRows, name: str) -> str:
    if name not in busy.values:
        return ""
    usual = _usual(before, name).values.get(name, np.empty(0))
    old, new = (v[np.isfinite(v) & (v > 0)] for v in (usual, busy.values[name]))
    if len(old) < 2 * LEAST_WINDOWS or len(new) < LEAST_WINDOWS:
        return ""
    a, b = np.log(old), np.log(new)
    spread = max(float(a.std()), 0.05)
    z = (b.mean() - a.mean()) / (spread * math.sqrt(1 / len(a) + 1 / len(b)))
    ratio = math.exp(b.mean() - a.mean())
    return f"{f.FEATURES[name].text} is {ratio:.2g} times the usual" if z >= SURE_Z and ratio >= SLOWER else ""


def _told(busy: ServiceRows, face: Face) -> str:
    seconds = len(busy.window) * busy.width_s
    parts = [f"{busy.counts.sum():.0f} requests in {seconds:.0f} s"]
    share, _ = _failures(busy, face.errors) if face.errors in busy.values else (0.0, 0.0)
    parts.append(f"{share:.0f} failed")
    for name in (n for n in face.latencies[1:2] if n in busy.values):
        shown = busy.values[name][np.isfinite(busy.values[name])]
        high = busy.high[name][np.isfinite(busy.high[name])]
        if len(shown) and len(high):
            parts.append(
                f"latency (p95) {1000 * float(np.median(shown)):.3g} ms, expected up to {1000 * float(high[-1]):.3g} ms"
            )
    return ", ".join(parts)


def _asked_more(rows: ServiceRows | None, face: Face, onset_ns: int, least: float) -> float:
    """How many times the usual it is asked for, lately and ever since the onset; 0 where that is no more than usual, or less than `least` times
    it. A moment of more requests is no reason for what has been ill for longer."""
    if rows is None:
        return 0.0
    asked = [_times(*around(rows, face, onset_ns, recent), face, onset_ns, least) for recent in (RECENT, None)]
    return asked[0] if all(asked) else 0.0


def _times(before: ServiceRows, since: ServiceRows, face: Face, onset_ns: int, least: float) -> float:
    if not len(since.window):
        return 0.0
    above = since.above(face.rate).mean() >= AMISS
    if not len(before.window):
        return math.inf if above else 0.0
    old, new = float(before.counts.mean()), float(since.counts.mean())
    if bore_before(before.window, before.counts, since.counts, onset_ns):
        return 0.0
    sure = (new - old) * len(since.window) > SURE_Z * math.sqrt(max(old * len(since.window), 1.0))
    return new / max(old, 1e-9) if above or (new > least * old and sure) else 0.0


def _counted(rows: Mapping[f.Signal, ServiceRows | None]) -> bool:
    """Whether it tells of the requests that it serves at all."""
    served = ((rows[face.signal], face.rate) for face in FACES)
    return any(r is not None and rate in r.values and bool(r.counts.any()) for r, rate in served)
