"""The page of a report: figures with pictures, in one file that needs nothing else."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape
from typing import Final

from homeostat.judge.figures import WORDS, JudgeFigures
from homeostat.judge.intervals import WithInterval
from homeostat.judge.pictures import intervals, reliability_diagram, timeline
from homeostat.judge.report import OVERALL, JudgeReport
from homeostat.judge.story import told
from homeostat.judge.trial import Trial

_STYLE: Final = """
body{font:15px/1.5 system-ui,sans-serif;color:#1f2933;margin:2rem auto;max-width:62rem;padding:0 1rem}
table{border-collapse:collapse;font-size:13px}td,th{padding:.2rem .6rem;border-bottom:1px solid #e4e7eb;text-align:right;vertical-align:top}
td:first-child,th:first-child{text-align:left}small{color:#6e7781}pre{font-size:12px;white-space:pre-wrap}svg{max-width:100%;height:auto;margin:.6rem 0}
"""
SHARES: Final = (
    "recall",
    "found_in_10s",
    "ac1",
    "ac3",
    "path_right",
    "kind_right",
    "first_right",
    "repaired",
    "ended_well",
)
BY_GROUP: Final = ("recall", "ac1", "repaired")


def html_page(title: str, body: Iterable[str]) -> str:
    """A page in one file."""
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
        f"<title>{escape(title)}</title><style>{_STYLE}</style><body>{''.join(body)}</body></html>\n"
    )


def judge_page(report: JudgeReport) -> str:
    """All figures of a report."""
    who = list(report.overall)
    first = report.overall[who[0]]
    title = f"The loop judged: {report.cases} episodes of {report.split}"
    body = [
        f"<h1>{escape(title)}</h1>",
        f"<p>{first.faults} faults hurt users; {report.fidelity} level. Each figure has its 95 % interval and the number of cases. ",
        "What is counted, and how: docs/proving-ground.md.</p>",
        intervals([(n, [report.overall[w].figures[n] for w in who]) for n in SHARES], "Beside baselines", who),
        "<h2>All figures</h2>",
        _table(report.overall, who),
        "<h2>How honest probabilities are</h2>",
        reliability_diagram(first.reliability, "Leading cause, when first fit to act on"),
    ]
    for group, parts in report.by_group[who[0]].items():
        body.append(f"<h2>By {escape(group)}</h2>")
        rows = [(f"{name} ({f.faults})", [f.figures[n] for n in BY_GROUP]) for name, f in _largest(parts)]
        body.append(intervals(rows, f"Found, root first, repaired: by {group}", BY_GROUP))
        body.append(_group_table(parts))
    return html_page(title, body)


def _largest(parts: dict[str, JudgeFigures]) -> list[tuple[str, JudgeFigures]]:
    return sorted(((n, f) for n, f in parts.items() if f.faults), key=lambda p: p[0])


def _words(estimate: WithInterval) -> str:
    if estimate.value is None or estimate.low is None or estimate.high is None:
        return "—"
    value, low, high = ("never" if v > 9999 else f"{v:.2f}" for v in (estimate.value, estimate.low, estimate.high))
    return f"{value} <small>{low}–{high}</small>"


def _table(overall: dict[str, JudgeFigures], who: Sequence[str]) -> str:
    head = "<tr><th>figure</th>" + "".join(f"<th>{escape(w)}</th>" for w in who) + "</tr>"
    rows = [
        f"<tr><td>{escape(WORDS[n])}</td>" + "".join(f"<td>{_words(overall[w].figures[n])}</td>" for w in who) + "</tr>"
        for n in OVERALL
    ]
    return f"<table>{head}{''.join(rows)}</table>"


def _group_table(parts: dict[str, JudgeFigures]) -> str:
    names = (
        "recall",
        "found_s",
        "ac1",
        "ac3",
        "kind_right",
        "first_right",
        "repaired",
        "well_s",
        "false_per_service_day",
    )
    head = "<tr><th></th><th>faults</th>" + "".join(f"<th>{n}</th>" for n in names) + "</tr>"
    rows = [
        f"<tr><td>{escape(name)}</td><td>{f.faults}</td>"
        + "".join(f"<td>{_words(f.figures[n])}</td>" for n in names)
        + "</tr>"
        for name, f in parts.items()
    ]
    return f"<table>{head}{''.join(rows)}</table>"


def episode_page(trial: Trial) -> str:
    """One episode as a picture and a story."""
    story = "\n".join(escape(line) for line in told(trial))
    return html_page(trial.case, [f"<h1>{escape(trial.case)}</h1>", timeline(trial), f"<pre>{story}</pre>"])
