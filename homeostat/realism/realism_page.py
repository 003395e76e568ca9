"""The page of the comparison: every law with its figures, and pictures of both sides, in one file that needs nothing else."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from html import escape
from typing import Final

import numpy as np

from homeostat.judge.intervals import WithInterval, quantile
from homeostat.judge.page import html_page
from homeostat.judge.pictures import BAND, COLOURS, FAINT, line, rect, svg, text
from homeostat.realism.compared import LATENCY, PROPAGATION, RECOVERY, TIMING, LawCompared
from homeostat.realism.course import AFTER_S, LOADS, SecondSeen, ShopCourse

_WIDTH, _HEIGHT, _LEFT, _TOP, _BOTTOM, _KEY = 470.0, 230.0, 48.0, 30.0, 40.0, 90.0
_WIDE: Final = 760.0
_SAYS: Final = {
    LATENCY: "The catalog serves one request at a time (20 ms of work); browsing customers become more. Medians over seconds.",
    PROPAGATION: "Cart's bad release fails four requests in ten; pricing leaks and becomes slower by 50 ms a second.",
    RECOVERY: "Pricing's only process ends and another starts, once out of the leak and then out of health; seconds from the order on. How long a "
    "process takes to start is a property of the machine: the drawn ones are given it.",
    TIMING: "When what a service sends can be read. Metrics are read every second, spans are sent every 200 ms.",
}


_INTRODUCTION: Final = """The demo's shop as local processes, and drawn to the same plan by the simulator: request by request, and in windows
of a second. Figures with 0.95 intervals; the ratio is drawn over real. Where its interval does not hold 1 it stands in bold, and the simulator is off.
Other work on the machine makes the real side slower, never the drawn one."""


class _Curve:
    """One side in a picture: x, y and, where known, the interval of y."""

    def __init__(self, name: str, x: Sequence[float], y: Sequence[WithInterval]) -> None:
        kept = [(a, b) for a, b in zip(x, y, strict=True) if b.value is not None]
        self.name, self.x, self.y = name, [a for a, _ in kept], [b for _, b in kept]


def realism_page(real: ShopCourse, drawn: Sequence[ShopCourse], laws: Sequence[LawCompared]) -> str:
    """The whole page."""
    sides = [real, *drawn]
    title = "The simulator's laws beside real processes"
    body = [f"<h1>{title}</h1>", f"<p>{_INTRODUCTION}</p>"]
    pictures: dict[str, list[str]] = {
        LATENCY: [
            _latency(sides, service, name, pick)
            for service in ("catalog", "frontend/browse")
            for name, pick in _QUANTILES
        ],
        PROPAGATION: [_bars([x for x in laws if x.law == PROPAGATION and x.unit == "×"])],
        RECOVERY: [
            _course(sides, "share of frontend/cart's requests that fail", lambda row: row.failing),
            _course(sides, "p50 of frontend/cart, ms", lambda row: 1e3 * row.p50_s),
        ],
        TIMING: [_arrivals([s for s in sides if s.spans])],
    }
    for law, drawings in pictures.items():
        body += [f"<h2>{escape(law.capitalize())}</h2><p>{escape(_SAYS[law])}</p>", *drawings]
        body.append(_table([x for x in laws if x.law == law]))
    return html_page(title, body)


_QUANTILES: Final[tuple[tuple[str, Callable[[SecondSeen], float]], ...]] = (
    ("p50", lambda row: 1e3 * row.p50_s),
    ("p95", lambda row: 1e3 * row.p95_s),
)


def _latency(sides: Sequence[ShopCourse], service: str, name: str, pick: Callable[[SecondSeen], float]) -> str:
    curves = []
    for course in sides:
        values = [[pick(row) for s in course.of("load", f) for row in course.rows(service, s)] for f in LOADS]
        curves.append(_Curve(course.name, LOADS, [quantile(v) for v in values]))
    return _chart(curves, f"{service}: {name}, ms", "times the usual load", doubling=True)


def _course(sides: Sequence[ShopCourse], title: str, pick: Callable[[SecondSeen], float]) -> str:
    """Mean over restarts, second by second from the order on."""
    curves = []
    for course in sides:
        known = course.seconds.get("frontend/cart", {})
        points = []
        for second in range(AFTER_S):
            found = [
                pick(known[int(s.begin_s) + second]) for s in course.of("restart") if int(s.begin_s) + second in known
            ]
            value = float(np.mean(found)) if found else None
            points.append(WithInterval(value, value, value, len(found)))
        curves.append(_Curve(course.name, list(range(AFTER_S)), points))
    return _chart(curves, title, "seconds from the order to start anew")


def _arrivals(sides: Sequence[ShopCourse]) -> str:
    shares = np.linspace(0.02, 0.98, 49)
    curves = []
    for course in sides:
        delays = np.quantile([s.arrived_s - s.end_s for s in course.spans], shares)
        curves.append(
            _Curve(course.name, delays.tolist(), [WithInterval(100 * q, None, None, 1) for q in shares.tolist()])
        )
    return _chart(curves, "spans that can be read by then, %", "seconds from the span's end")


def _ticks(most: float) -> list[float]:
    """Round numbers from 0 to at most `most`, about four."""
    step = 10.0 ** np.floor(np.log10(max(most, 1e-9) / 3.0))
    step = next(step * k for k in (1.0, 2.0, 5.0, 10.0) if most / (step * k) <= 5.0)
    return [float(x) for x in np.arange(0.0, most * 1.0001, step)]


def _chart(curves: Sequence[_Curve], title: str, below: str, *, doubling: bool = False) -> str:
    """Lines with their intervals; from 0 up, or so that what doubles rises by the same (`doubling`)."""
    right, bottom = _WIDTH - _KEY, _HEIGHT - _BOTTOM
    known = [v for c in curves for y in c.y for v in (y.low, y.value, y.high) if v is not None]
    most_x = max((x for c in curves for x in c.x), default=1.0) or 1.0
    most_y, least_y = (max(known, default=1.0) or 1.0), max(min(known, default=1.0), 1e-3)
    ticks = _ticks(most_y)
    if doubling:
        least_y, most_y = 0.8 * least_y, 1.1 * most_y
        ticks = [t for k in range(8) for t in (10.0 * 2**k, 15.0 * 2**k) if least_y <= t <= most_y]

    def at(x: float, y: float) -> tuple[float, float]:
        part = np.log(max(y, least_y) / least_y) / np.log(most_y / least_y) if doubling else min(y, most_y) / most_y
        return _LEFT + (right - _LEFT) * x / most_x, bottom - (bottom - _TOP) * float(part)

    parts = [text(0, 14, title, size=13)]
    for tick in ticks:
        y = at(0.0, tick)[1]
        parts += [line(_LEFT, y, right, y, BAND), text(_LEFT - 6, y + 4, f"{tick:g}", anchor="end", colour=FAINT)]
    for tick in _ticks(most_x):
        parts.append(text(at(tick, most_y)[0], bottom + 16, f"{tick:g}", anchor="middle", colour=FAINT))
    parts.append(text((_LEFT + right) / 2, bottom + 32, below, anchor="middle", colour=FAINT))
    for k, curve in enumerate(curves):
        parts += _drawn(curve, COLOURS[k % len(COLOURS)], at)
        parts += [rect(right + 14, _TOP + 18 * k, 9, 9, COLOURS[k]), text(right + 28, _TOP + 8 + 18 * k, curve.name)]
    return svg(_WIDTH, _HEIGHT, parts, title)


def _drawn(curve: _Curve, colour: str, at: Callable[[float, float], tuple[float, float]]) -> list[str]:
    places = [at(x, y.value or 0.0) for x, y in zip(curve.x, curve.y, strict=True)]
    joined = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
    parts = [f'<polyline points="{joined}" fill="none" stroke="{colour}" stroke-width="1.8"/>']
    for (px, _), x, e in zip(places, curve.x, curve.y, strict=True):
        if e.low is not None and e.high is not None and e.high > e.low:
            parts.append(line(px, at(x, e.low)[1], px, at(x, e.high)[1], colour, 1.2))
    if len(places) <= AFTER_S:
        parts += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="2.8" fill="{colour}"/>' for x, y in places]
    return parts


def _bars(laws: Sequence[LawCompared]) -> str:
    """Figures side by side, a row for each, a mark for each side."""
    figures = list(dict.fromkeys(x.figure for x in laws))
    fidelities = list(dict.fromkeys(x.fidelity for x in laws))
    left, right, row = 300.0, _WIDE - _KEY, 15.0 * (1 + len(fidelities)) + 6
    known = [(x.real, *[y.drawn for y in laws if y.figure == x.figure]) for x in laws]
    most = max((e.high for estimates in known for e in estimates if e.high is not None), default=1.0)
    height = 44 + row * len(figures)

    def at(x: float) -> float:
        return left + (right - left) * min(max(x, 0.0), most) / most

    parts = [text(0, 14, "what a caller shows, over what its callee does", size=13)]
    for tick in _ticks(most):
        x = at(tick)
        parts += [line(x, 24, x, height - 18, BAND), text(x, height - 4, f"{tick:g}", anchor="middle", colour=FAINT)]
    for i, figure in enumerate(figures):
        parts.append(text(left - 8, 30 + row * i + row / 2, figure, anchor="end"))
        of = [x for x in laws if x.figure == figure]
        for k, e in enumerate([of[0].real, *[x.drawn for x in of]]):
            if e.value is None or e.low is None or e.high is None:
                continue
            y, colour = 34 + row * i + 15 * k, COLOURS[k % len(COLOURS)]
            parts += [
                line(at(e.low), y, at(e.high), y, colour, 2),
                f'<circle cx="{at(e.value):.1f}" cy="{y:.1f}" r="3.5" fill="{colour}"/>',
            ]
    for k, name in enumerate(["real", *fidelities]):
        parts += [
            rect(right + 14, _TOP + 18 * k, 9, 9, COLOURS[k % len(COLOURS)]),
            text(right + 28, _TOP + 8 + 18 * k, name),
        ]
    return svg(_WIDE, height, parts, "propagation")


def _table(laws: Sequence[LawCompared]) -> str:
    """A row for each figure: the real one, and each drawn one with its ratio."""
    fidelities = list(dict.fromkeys(x.fidelity for x in laws))
    head = "".join(f"<th>{escape(f)}</th><th>over real</th>" for f in fidelities)
    rows = []
    for figure in dict.fromkeys(x.figure for x in laws):
        of = {x.fidelity: x for x in laws if x.figure == figure}
        first = next(iter(of.values()))
        cells = "".join(
            f"<td>{_said(of[f].drawn)}</td><td>{_mark(of[f].ratio)}</td>" if f in of else "<td></td><td></td>"
            for f in fidelities
        )
        rows.append(f"<tr><td>{escape(figure)}, {first.unit}</td><td>{_said(first.real)}</td>{cells}</tr>")
    return f"<table><tr><th>figure</th><th>real</th>{head}</tr>{''.join(rows)}</table>"


def _said(e: WithInterval) -> str:
    if e.value is None or e.low is None or e.high is None:
        return "—"
    return f"{e.value:.3g} <small style='white-space:nowrap'>{e.low:.3g}–{e.high:.3g}</small>"


def _mark(e: WithInterval) -> str:
    if e.low is None or e.high is None or e.low <= 1.0 <= e.high:
        return _said(e)
    return f"<b>{_said(e)}</b>"
