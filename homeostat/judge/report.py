"""The report of many trials as data: figures by whom they are of and by group. What the JSON file holds and the page shows."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec

from homeostat.judge.assessment import FaultRow, TrialRow, fault_rows, trial_row
from homeostat.judge.figures import GROUPS, JudgeFigures, figures_of, grouped
from homeostat.judge.trial import Trial


class JudgeReport(msgspec.Struct):
    """JudgeFigures by who ran the episodes: over all, and by group and name of the group."""

    split: str
    fidelity: str
    cases: int
    overall: dict[str, JudgeFigures]
    by_group: dict[str, dict[str, dict[str, JudgeFigures]]]
    """who -> group -> name -> figures"""
    faults: tuple[FaultRow, ...] = ()
    trials: tuple[TrialRow, ...] = ()
    dead_letters: int = 0
    """Messages that could not be read, or judged, all trials together: a simulated system sends none that can't be."""


def report_of(trials: Iterable[Trial], split: str, fidelity: str) -> JudgeReport:
    """Judge all trials."""
    trials = list(trials)
    rows, others = [r for t in trials for r in fault_rows(t)], [trial_row(t) for t in trials]
    who = sorted({t.by for t in trials}, key=lambda w: (w != "homeostat", w))
    mine = {w: (_of(rows, w), _of(others, w)) for w in who}
    return JudgeReport(
        split=split,
        fidelity=fidelity,
        cases=len({t.case for t in trials}),
        overall={w: figures_of(*mine[w]) for w in who},
        by_group={w: {name: grouped(*mine[w], by) for name, by in GROUPS.items()} for w in who},
        faults=tuple(rows),
        trials=tuple(others),
        dead_letters=sum(t.dead_letters for t in trials),
    )


def _of(rows: Sequence, who: str) -> list:  # type: ignore[type-arg]
    return [r for r in rows if r.by == who]


OVERALL = (
    *("recall", "known", "precision", "incident_precision", "found_s", "found_p95_s", "found_in_2s", "found_in_10s"),
    *("after_arrival_s", "arrived_in_2s", "hard_in_2s", "hard_arrived_in_2s"),
    *("alarms_per_fault", "incidents_per_fault", "false_per_service_day", "false_incidents_per_day", "open_after_s"),
    *("still_open", "ac1", "ac3", "path_right", "kind_right", "first_right", "repaired", "well_s", "well_mean_s"),
    *("ended_well", "needless", "wrong", "harmful", "asks_per_fault", "asks_per_week", "surety_error", "hope_error"),
    *("hurt_minutes", "cpu_s"),
)
BY_KIND = ("recall", "found_s", "ac1", "ac3", "kind_right", "first_right", "repaired", "well_s")


def lines(report: JudgeReport) -> list[str]:
    """The report as text for a terminal."""
    who = list(report.overall)
    head = f"{report.cases} episodes of {report.split}, {report.fidelity} level; figure (95 % interval, cases)"
    out = [head, f"{'':24}" + "".join(f"{w:>28}" for w in who)]
    for name in OVERALL:
        cells = [report.overall[w].figures[name].words() for w in who]
        out.append(f"{name:24}" + "".join(f"{c:>28}" for c in cells))
    if report.dead_letters:
        out.append(
            f"{report.dead_letters} messages could not be read or judged, and are dead letters: that is a defect"
        )
    first = who[0]
    for group, parts in report.by_group[first].items():
        out += ["", f"{group:24}{'n':>5}" + "".join(f"{n:>13}" for n in BY_KIND)]
        for name, figures in parts.items():
            values = [figures.figures[n].value for n in BY_KIND]
            shown = "".join(f"{'—' if v is None else f'{v:.2f}' if v < 9999 else 'missed':>13}" for v in values)
            out.append(f"{name:24}{figures.faults:>5}{shown}")
    return out
