"""Pictures as SVG, drawn by hand: intervals side by side, a reliability diagram, and an episode over time. No script, no outside file."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape
from typing import Final

from homeostat.judge.intervals import WithInterval
from homeostat.judge.trial import Trial
from twin.truth import HARM

INK, FAINT, BAND = "#1f2933", "#9aa5b1", "#e4e7eb"
COLOURS: Final = ("#1f6feb", "#b35900", "#6e7781", "#8250df")
ROW: Final = 18
LEFT: Final = 215
WIDTH: Final = 760


def svg(width: float, height: float, parts: Iterable[str], title: str) -> str:
    """A picture with a title that screen readers say."""
    body = "".join(parts)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:g} {height:g}" width="{width:g}" height="{height:g}" '
        f'role="img" font-family="system-ui, sans-serif" font-size="11"><title>{escape(title)}</title>{body}</svg>'
    )


def text(x: float, y: float, words: str, *, anchor: str = "start", colour: str = INK, size: float = 11) -> str:
    """Words at a place."""
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="{colour}" font-size="{size:g}">{escape(words)}</text>'


def line(x1: float, y1: float, x2: float, y2: float, colour: str = FAINT, width: float = 1, dash: str = "") -> str:
    """A straight line."""
    dashed = f' stroke-dasharray="{dash}"' if dash else ""
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="{colour}" stroke-width="{width:g}"{dashed}/>'


def rect(x: float, y: float, width: float, height: float, colour: str, opacity: float = 1.0) -> str:
    """A filled rectangle."""
    return f'<rect x="{x:.1f}" y="{y:.1f}" width="{max(width, 0):.1f}" height="{height:.1f}" fill="{colour}" opacity="{opacity:g}"/>'


def intervals(rows: Sequence[tuple[str, Sequence[WithInterval]]], title: str, names: Sequence[str] = ()) -> str:
    """Shares between 0 and 1 with their intervals, a row for each name and a mark for each of `names`."""
    per_row = ROW * max(1, len(names) * 0.6)
    height = 40 + per_row * len(rows) + 16 * bool(names)
    span = WIDTH - LEFT - 70

    def x(value: float) -> float:
        return LEFT + span * min(max(value, 0.0), 1.0)

    parts = [text(0, 14, title, size=13)]
    for tick in (0.0, 0.25, 0.5, 0.75, 1.0):
        parts += [
            line(x(tick), 24, x(tick), 28 + per_row * len(rows), BAND),
            text(x(tick), 36 + per_row * len(rows), f"{tick:g}", anchor="middle", colour=FAINT),
        ]
    for i, (name, estimates) in enumerate(rows):
        middle = 28 + per_row * (i + 0.5)
        parts.append(text(LEFT - 8, middle + 4, name, anchor="end"))
        for k, e in enumerate(estimates):
            if e.value is None or e.low is None or e.high is None:
                continue
            y = middle + (k - (len(estimates) - 1) / 2) * 9
            colour = COLOURS[k % len(COLOURS)]
            parts += [
                line(x(e.low), y, x(e.high), y, colour, 2),
                f'<circle cx="{x(e.value):.1f}" cy="{y:.1f}" r="3.5" fill="{colour}"/>',
            ]
            if k == 0:
                parts.append(text(WIDTH - 64, middle + 4, f"{e.value:.2f} of {e.n}", colour=FAINT))
    for k, name in enumerate(names):
        parts += [
            rect(LEFT + 150 * k, height - 12, 9, 9, COLOURS[k % len(COLOURS)]),
            text(LEFT + 150 * k + 13, height - 4, name),
        ]
    return svg(WIDTH, height + 4, parts, title)


def reliability_diagram(bins: Sequence[tuple[float, float, int]], title: str) -> str:
    """Claimed against true shares; the diagonal is honesty, and a mark's size says how many there were."""
    side, pad = 260.0, 34.0

    def at(p: float, q: float) -> tuple[float, float]:
        return pad + side * p, 24 + side * (1 - q)

    (x0, y0), (x1, y1) = at(0, 0), at(1, 1)
    parts = [text(0, 14, title, size=13), rect(x0, y1, side, side, "#f7f8fa"), line(x0, y0, x1, y1, FAINT, 1, "4 3")]
    most = max((n for _, _, n in bins), default=1)
    for claimed, true, n in bins:
        x, y = at(claimed, true)
        parts.append(
            f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{3 + 7 * (n / most) ** 0.5:.1f}" fill="{COLOURS[0]}" opacity="0.75"><title>{n}</title></circle>'
        )
    parts += [
        text(x0 + side / 2, y0 + 18, "claimed probability", anchor="middle"),
        text(x0, y0 + 18, "0"),
        text(x1, y0 + 18, "1", anchor="end"),
    ]
    parts.append(text(4, 22, "share right", colour=FAINT))
    return svg(side + 2 * pad, side + 60, parts, title)


def timeline(trial: Trial) -> str:
    """An episode over time: users' harm, and under it what was true, said and done, a row for each."""
    top, high = 24.0, 110.0
    span = WIDTH - LEFT - 10

    def x(second: float) -> float:
        return LEFT + span * second / max(trial.seconds, 1)

    most = max([*trial.harm, 5 * HARM])
    points = " ".join(f"{x(i):.1f},{top + high * (1 - h / most):.1f}" for i, h in enumerate(trial.harm))
    parts = [text(0, 14, f"{trial.case}: users' harm, and what was said and done", size=13)]
    parts += [
        text(LEFT - 8, top + 8, f"{most:.0%} of users", anchor="end", colour=FAINT),
        text(LEFT - 8, top + high, "0", anchor="end", colour=FAINT),
    ]
    parts.append(f'<polyline points="{points}" fill="none" stroke="{COLOURS[0]}" stroke-width="1.5"/>')
    limit = top + high * (1 - HARM / most)
    parts.append(line(LEFT, limit, WIDTH - 10, limit, COLOURS[1], 1, "3 3"))
    y = top + high + 14
    for name, spans, colour in _rows(trial):
        parts.append(text(LEFT - 8, y + 10, name if len(name) < 36 else f"{name[:34]}…", anchor="end"))
        parts += [rect(x(a), y + 2, max(x(b) - x(a), 2), 10, colour, 0.85) for a, b in spans]
        y += ROW
    for tick in range(0, trial.seconds + 1, 60):
        parts += [line(x(tick), top, x(tick), y, BAND), text(x(tick), y + 12, f"{tick}", anchor="middle", colour=FAINT)]
    return svg(WIDTH, y + 18, parts, f"{trial.case} over time")


def _rows(trial: Trial) -> Iterable[tuple[str, list[tuple[float, float]], str]]:
    end = float(trial.seconds)
    for fault in trial.faults:
        yield (
            f"{fault.kind} {fault.service}",
            [(fault.begin_s, fault.gone_s if fault.gone_s is not None else end)],
            COLOURS[1],
        )
    by_service: dict[str, list[tuple[float, float]]] = {}
    for alarm in trial.alarms:
        by_service.setdefault(alarm.service, []).append(
            (alarm.opened_s, alarm.closed_s if alarm.closed_s is not None else end)
        )
    for service, spans in sorted(by_service.items(), key=lambda s: s[1][0])[:14]:
        yield f"alarm {service}", spans, "#cf222e"
    for incident in trial.incidents[:5]:
        leading = incident.final[0] if incident.final else None
        name = f"incident: {leading.kind} of {leading.service}" if leading else "incident"
        yield name, [(incident.opened_s, incident.resolved_s if incident.resolved_s is not None else end)], COLOURS[3]
    for act in trial.acts[:8]:
        yield f"{act.action} {act.service}", [(act.at_s, act.at_s + 3)], "#1a7f37"
