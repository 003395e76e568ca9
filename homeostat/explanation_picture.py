"""An explained anomaly as a picture: how much each value counted, and each of them over time against what was expected.

Drawn with matplotlib, which comes with the libraries of detection; it is imported when a picture is asked for.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

from contracts.errors import InvalidSettings
from contracts.events import Contribution, HarmAhead
from homeostat.explanation import ExplainedPart, Explanation, FeatureCourse
from homeostat.explanation_text import ago_s, name_of, quantity

MOST: Final = 6
"""Values that are drawn over time."""
_INK, _BAND, _LOUD, _AHEAD, _AGAINST = "#1f6feb", "#c8d1da", "#cf222e", "#b35900", "#6e7781"
_WIDTH, _BARS, _PANEL = 9.0, 0.42, 2.1


def draw(found: Explanation, file: Path) -> None:
    """Write the picture.

    Raises:
        InvalidSettings: the file can't be written, or its name is not that of a PNG.
    """
    if file.suffix.lower() != ".png":
        raise InvalidSettings(f"--png {file}: a name that ends in .png is expected")
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    shown = found.parts[:MOST]
    heights = [_BARS * max(len(found.parts), 1) + 0.9, *[_PANEL] * len(shown)]
    figure = Figure(figsize=(_WIDTH, sum(heights) + 0.6), layout="constrained")
    axes = figure.subplots(len(heights), 1, height_ratios=heights, squeeze=False)[:, 0]
    about = f"{found.service} → {found.peer}" if found.peer else found.service
    figure.suptitle(f"{found.id}: {about}, {found.score:.2f} decades", fontsize=11)
    _bars(axes[0], found)
    courses = {(c.signal, c.feature): c for c in found.courses}
    ahead = {(f.signal, f.feature): f for f in found.forecasts}
    for axis, part in zip(axes[1:], shown, strict=True):
        key = part.contribution.signal, part.contribution.feature
        _panel(axis, found, part, courses.get(key), ahead.get(key))
    try:
        figure.set_canvas(FigureCanvasAgg(figure))
        figure.savefig(str(file), format="png")
    except OSError as e:
        raise InvalidSettings(f"--png {file}: {e.strerror or e}") from e


def _bars(axis: Any, found: Explanation) -> None:
    names, parts = [name_of(p) for p in found.parts], [p.part for p in found.parts]
    places = list(range(len(parts)))[::-1]
    bars = axis.barh(places, parts, color=[_INK if p >= 0 else _AGAINST for p in parts], height=0.6)
    axis.bar_label(bars, [f"{p:+.2f}" for p in parts], padding=4, fontsize=8)
    axis.set_yticks(places, names, fontsize=8)
    axis.margins(x=0.12)
    axis.set_title(f"parts of the score, in decades; in all {sum(parts):.2f}", fontsize=9, loc="left")
    axis.tick_params(axis="x", labelsize=8)
    _plain(axis)


def _panel(
    axis: Any, found: Explanation, part: ExplainedPart, course: FeatureCourse | None, ahead: HarmAhead | None
) -> None:
    c, told_s = part.contribution, ago_s(found, found.told_ns)
    since_s = told_s - c.window_s if c.window_s else told_s
    if course is not None:
        times = [ago_s(found, t) for t in course.times_ns]
        low, high = ([float("nan") if v is None else v for v in side] for side in (course.low, course.high))
        values = [float("nan") if v is None else v for v in course.values]
        axis.fill_between(times, low, high, color=_BAND, alpha=0.6, linewidth=0, label="expected of one window")
        axis.plot(times, values, color=_INK, linewidth=1.1, marker=".", markersize=3, label="seen")
    _spoke(axis, c, (since_s, told_s))
    if ahead is not None:
        _foreseen(axis, ahead, told_s)
    axis.axvline(0.0, color=_LOUD, linewidth=0.8, linestyle=":", label="onset")
    axis.set_title(f"{name_of(part)}: {part.part:+.2f} decades", fontsize=9, loc="left")
    axis.set_xlabel("seconds from the onset", fontsize=8)
    axis.tick_params(labelsize=8)
    axis.yaxis.set_major_formatter(lambda value, _: quantity(c.feature, value))
    axis.legend(fontsize=7, frameon=False, loc="upper left", bbox_to_anchor=(1.0, 1.0))
    _plain(axis)


def _spoke(axis: Any, c: Contribution, span: tuple[float, float]) -> None:
    """The range expected of the mean that spoke, and the mean itself."""
    wide = max(span[1] - span[0], 1.0)
    left = span[1] - wide
    axis.fill_between(
        [left, span[1]],
        [c.low] * 2,
        [c.high] * 2,
        color="#57ab5a",
        alpha=0.35,
        linewidth=0,
        label="expected of what spoke",
    )
    if c.value is not None:
        axis.plot([left, span[1]], [c.value] * 2, color=_LOUD, linewidth=2.2, label="what spoke")


def _foreseen(axis: Any, ahead: HarmAhead, told_s: float) -> None:
    """From where it is to where it hurts, at the earliest and at the latest."""
    first, last = told_s + ahead.soonest_s, told_s + ahead.latest_s
    axis.fill(
        [told_s, first, last],
        [ahead.value, ahead.hurts, ahead.hurts],
        color=_AHEAD,
        alpha=0.2,
        linewidth=0,
        label="foreseen",
    )
    axis.plot([told_s, told_s + ahead.seconds], [ahead.value, ahead.hurts], color=_AHEAD, linewidth=1.2, linestyle="--")
    axis.axhline(ahead.hurts, color=_AHEAD, linewidth=0.8, label=f"hurts: {quantity(ahead.feature, ahead.hurts)}")


def _plain(axis: Any) -> None:
    for side in ("top", "right"):
        axis.spines[side].set_visible(False)
