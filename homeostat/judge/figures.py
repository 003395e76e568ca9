"""JudgeFigures of many trials: each with its interval, over all and by kind of fault, level, style of instrumentation, size of system."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from typing import Final

import msgspec

from contracts.units import DAY, HOUR, SECOND
from homeostat.judge.assessment import HARD_HARM, HARD_RATE, FaultRow, TrialRow
from homeostat.judge.intervals import NOTHING_KNOWN, WithInterval, mean, quantile, ratio, share

DAY_S: Final = DAY // SECOND
HOUR_S: Final = HOUR // SECOND
MISSED_S: Final = 1e4
"""What was never found counts as found after so long, so that quantiles of delay are of all faults."""
BINS: Final = (0.0, 0.2, 0.4, 0.6, 0.8, 0.9, 1.0)


class JudgeFigures(msgspec.Struct, frozen=True):
    """JudgeFigures of one group of trials, by name; `reliability` are (mean claimed, share right, count) per bin of claimed probability."""

    faults: int
    trials: int
    figures: dict[str, WithInterval]
    reliability: tuple[tuple[float, float, int], ...] = ()


WORDS: Final[dict[str, str]] = {
    "recall": "share of harmful faults with an alarm",
    "known": "share of harmful faults with an alarm, or at whose root one was open already",
    "precision": "share of alarms that are about a harmful fault, of those that are about one or about nothing",
    "incident_precision": "share of incidents in which something was wrong",
    "found_s": "median seconds from users' harm to the alarm (missed: never)",
    "found_p95_s": "95th percentile of that, of those found",
    "found_in_2s": "share found within 2 s of users' harm",
    "found_in_10s": "share found within 10 s of users' harm",
    "after_arrival_s": "median seconds to the alarm from when telemetry of the harm could first have arrived (missed: never)",
    "arrived_in_2s": "share found within 2 s of that",
    "hard_in_2s": f"share of hard faults ({HARD_HARM:g} of users hurt at once, {HARD_RATE:g} requests/s) found within 2 s of users' harm",
    "hard_arrived_in_2s": "share of hard faults found within 2 s of when telemetry of the harm could first have arrived",
    "alarms_per_fault": "alarms per harmful fault",
    "incidents_per_fault": "incidents per harmful fault",
    "false_per_service_day": "false alarms per service and day",
    "false_incidents_per_day": "incidents per day and system in which nothing was wrong",
    "open_after_s": "median seconds from the end of harm to the end of its incidents",
    "still_open": "share of incidents' faults still open at the end of the episode",
    "ac1": "share of harmful faults whose leading cause, when first fit to act on, is a root",
    "ac3": "share with a root among the first three",
    "path_right": "share with a root first and a path that harm took",
    "kind_right": "share with a root first and a right kind",
    "first_right": "share of first acts on a fault that repair it",
    "repaired": "share of repairable faults that an act repaired, users well within a minute",
    "well_s": "median seconds of users' harm per fault",
    "well_mean_s": "mean seconds of users' harm per fault",
    "ended_well": "share of faults after which users are well before the episode ends",
    "needless": "share of acts with nothing wrong",
    "wrong": "share of acts that repair nothing though something was wrong",
    "harmful": "share of acts after which more users are hurt",
    "asks_per_fault": "questions to people per harmful fault",
    "asks_per_week": "questions to people per week and system in which nothing was wrong",
    "surety_error": "expected calibration error of the leading cause's probability",
    "hope_error": "expected calibration error of the probability of success",
    "hurt_minutes": "users' minutes of harm per episode (share of users × time)",
    "cpu_s": "seconds of CPU per episode",
}
"""What each figure says."""


def figures_of(faults: Sequence[FaultRow], trials: Sequence[TrialRow]) -> JudgeFigures:
    """JudgeFigures of one group."""
    told = [f for f in faults if f.incident_s is not None]
    found = [f.found_s for f in faults if f.found_s is not None]
    delays = [f.found_s if f.found_s is not None else MISSED_S for f in faults]
    arrived = [f.after_arrival_s if f.after_arrival_s is not None else MISSED_S for f in faults]
    hard = [f.hard for f in faults]
    mendable = [f for f in faults if f.repairable]
    acts = [float(t.acts) for t in trials]
    calm = [t.calm_service_s / max(t.services, 1) for t in trials]
    surety = [s for t in trials for s in t.surety]
    hopes = [s for t in trials for s in t.hopes]
    figures = {
        "recall": share([f.found_s is not None for f in faults]),
        "known": share([f.known for f in faults]),
        "precision": ratio([t.true_alarms for t in trials], [t.true_alarms + t.false_alarms for t in trials]),
        "incident_precision": ratio(
            [t.true_incidents for t in trials], [t.true_incidents + t.false_incidents for t in trials]
        ),
        "found_s": quantile(delays),
        "found_p95_s": quantile(found, 0.95),
        "found_in_2s": share([d <= 2.0 for d in delays]),
        "found_in_10s": share([d <= 10.0 for d in delays]),
        "after_arrival_s": quantile(arrived),
        "arrived_in_2s": share([d <= 2.0 for d in arrived]),
        "hard_in_2s": share([d <= 2.0 for d, is_hard in zip(delays, hard, strict=True) if is_hard]),
        "hard_arrived_in_2s": share([d <= 2.0 for d, is_hard in zip(arrived, hard, strict=True) if is_hard]),
        "alarms_per_fault": mean([f.alarms for f in faults]),
        "incidents_per_fault": mean([f.incidents for f in faults]),
        "false_per_service_day": ratio([t.false_alarms for t in trials], [t.calm_service_s for t in trials], DAY_S),
        "false_incidents_per_day": ratio([t.false_incidents for t in trials], calm, DAY_S),
        "open_after_s": quantile([f.open_after_s for f in told if f.open_after_s is not None]),
        "still_open": share([f.still_open for f in told]),
        "ac1": share([f.first for f in faults]),
        "ac3": share([f.among_three for f in faults]),
        "path_right": share([f.path_right for f in faults]),
        "kind_right": share([f.kind_right for f in faults]),
        "first_right": share([f.first_right for f in faults if f.first_right is not None]),
        "repaired": share([f.repaired for f in mendable]),
        "well_s": quantile([f.well_s for f in faults]),
        "well_mean_s": mean([f.well_s for f in faults]),
        "ended_well": share([f.ended_well for f in faults]),
        "needless": ratio([t.needless for t in trials], acts),
        "wrong": ratio([t.wrong for t in trials], acts),
        "harmful": ratio([t.harmful for t in trials], acts),
        "asks_per_fault": ratio([t.asks - t.calm_asks for t in trials], _faults_by_trial(faults, trials)),
        "asks_per_week": ratio([t.calm_asks for t in trials], calm, 7 * DAY_S),
        "surety_error": _calibration_error(surety),
        "hope_error": _calibration_error(hopes),
        "hurt_minutes": mean([t.hurt_s / 60 for t in trials]),
        "cpu_s": mean([t.cpu_s for t in trials]),
    }
    return JudgeFigures(len(faults), len(trials), figures, tuple(reliability(surety)))


def _faults_by_trial(faults: Sequence[FaultRow], trials: Sequence[TrialRow]) -> list[float]:
    counts: dict[str, int] = defaultdict(int)
    for f in faults:
        counts[f.case] += 1
    return [float(counts[t.case]) for t in trials]


def reliability(claims: Iterable[tuple[float, bool]]) -> list[tuple[float, float, int]]:
    """Claimed and true shares by bin of what was claimed."""
    claims = list(claims)
    out = []
    for low, high in zip(BINS, (*BINS[1:-1], 1.01), strict=False):
        inside = [(p, hit) for p, hit in claims if low <= p < high]
        if inside:
            out.append((sum(p for p, _ in inside) / len(inside), sum(h for _, h in inside) / len(inside), len(inside)))
    return out


def _calibration_error(claims: Sequence[tuple[float, bool]]) -> WithInterval:
    if not claims:
        return NOTHING_KNOWN
    error = sum(n * abs(p - hit) for p, hit, n in reliability(claims)) / len(claims)
    return WithInterval(error, error, error, len(claims))


SIZES: Final[tuple[tuple[int, str], ...]] = ((10, "up to 10 services"), (25, "11 to 25"), (10_000, "more than 25"))
GROUPS: Final[dict[str, Callable[[FaultRow | TrialRow], str]]] = {
    "kind": lambda r: r.kind if isinstance(r, FaultRow) else "",
    "level": lambda r: r.level if isinstance(r, FaultRow) else "",
    "strength": lambda r: ("weak", "middling", "strong")[min(int(r.size * 3), 2)] if isinstance(r, FaultRow) else "",
    "style": lambda r: r.style,
    "size of system": lambda r: next(w for most, w in SIZES if r.services <= most),
}
"""How trials are grouped. What is about a fault alone has figures of faults alone."""


def grouped(
    faults: Sequence[FaultRow], trials: Sequence[TrialRow], by: Callable[[FaultRow | TrialRow], str]
) -> dict[str, JudgeFigures]:
    """JudgeFigures of each group, by its name."""
    names = sorted({by(f) for f in faults} | {by(t) for t in trials} - {""})
    return {
        name: figures_of([f for f in faults if by(f) == name], [t for t in trials if by(t) == name])
        for name in names
        if name
    }
