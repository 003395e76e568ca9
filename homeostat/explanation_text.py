"""An explained anomaly as plain text."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from contracts.features import FEATURES, FeatureKind
from contracts.units import SECOND
from homeostat.explanation import ExplainedPart, Explanation
from homeostat.times import lasting, said

_DIGITS: Final = 3


def lines(found: Explanation, local: bool = False) -> Iterator[str]:
    """All of it."""
    about = f"{found.service} -> {found.peer}" if found.peer else found.service
    yield f"Anomaly {found.id} of {about}{f', {found.operation}' if found.operation else ''} in {found.environment or 'default'}"
    yield f"since {said(found.onset_ns, local)}, told {said(found.told_ns, local)} by {found.detector}: {found.text}"
    if found.members:
        yield f"models: {', '.join(found.members)}"
    yield ""
    yield f"Score {found.score:.2f} decades (by chance once in 10 to the power of that), of which"
    width = max((len(name_of(p)) for p in found.parts), default=0)
    for part in found.parts:
        yield f"  {part.part:+6.2f}  {name_of(part):{width}}  {_spoke(part)}"
    if not found.parts:
        yield "  no value: it is about what does not come"
    else:
        yield f"  {sum(p.part for p in found.parts):+6.2f}  in all"
    if found.forecasts:
        yield ""
        yield "Foreseen"
    for f in found.forecasts:
        span = f"in {lasting(f.soonest_s)} to {lasting(f.latest_s)} (about {lasting(f.seconds)})"
        yield f"  {f.feature}: {quantity(f.feature, f.value)} and rising, {quantity(f.feature, f.hurts)} {span}"
    yield ""
    yield "Told"
    for phase in found.phases:
        yield f"  {phase.time} {phase.phase}, {phase.decades:.2f} decades: {phase.text}"


def name_of(part: ExplainedPart) -> str:
    """A value's name; of which signal, where that isn't known of the name."""
    c = part.contribution
    return c.feature if c.feature not in FEATURES else f"{c.feature} ({c.signal})"


def _spoke(part: ExplainedPart) -> str:
    c = part.contribution
    value = "unknown" if c.value is None else quantity(c.feature, c.value)
    window = f"over about {c.window_s:g} s" if c.window_s else "in one window"
    window = "" if c.feature not in FEATURES else f" {window}"
    alone = f"alone {abs(c.decades):.2f} decades" if c.decades else "no evidence of its own"
    return f"{value}{window}, expected {quantity(c.feature, c.low)} to {quantity(c.feature, c.high)}; {alone}"


def quantity(feature: str, value: float) -> str:
    """A value in its feature's unit."""
    known = FEATURES.get(feature)
    if known is None:
        return f"{value:.4g}"
    if known.kind in {FeatureKind.RATIO, FeatureKind.UTILIZATION}:
        return f"{100 * value:.{_DIGITS}g} %"
    if known.unit == "s":
        return f"{value:.{_DIGITS}g} s" if value >= 1 else f"{1000 * value:.{_DIGITS}g} ms"
    return (
        f"{value:.{_DIGITS}g}{'/s' if known.unit == '1/s' else f' {known.unit}' if known.unit not in {'', '1'} else ''}"
    )


def ago_s(found: Explanation, time_ns: int) -> float:
    """Seconds from the onset on."""
    return (time_ns - found.onset_ns) / SECOND
