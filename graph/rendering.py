"""Answers of `graph.queries` as plain text: paths between services, and why an incident happened."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterable, Sequence

from contracts.units import MILLISECOND, SECOND
from graph.queries import Cause, Changed, Deed, Hop, Paths, Why


def render_path(paths: Paths) -> str:
    """`Paths` as text."""
    if not paths.paths:
        lines = [f"{paths.start} does not call {paths.end}, directly or through others."]
        if paths.reverse:
            lines.append(f"It is the other way round: try {paths.end} {paths.start}.")
        return "\n".join(lines)
    return "\n\n".join(_render_chain(chain) for chain in paths.paths)


def utc(time_ns: int) -> str:
    """UTC, to the millisecond."""
    if not time_ns:
        return "an unknown time"
    at = dt.datetime.fromtimestamp(time_ns // SECOND, dt.UTC)
    return f"{at:%Y-%m-%d %H:%M:%S}.{time_ns // MILLISECOND % 1000:03d}Z"


def render_why(answer: Why, said: Callable[[int], str] = utc) -> str:
    """`Why` as text: the story, causes, changes, what was ruled out, and what was done about it. `said`: how times are written."""
    suspects = [c for c in answer.causes if not c.ruled_out]
    rivals = [c for c in answer.causes if c.ruled_out]
    head = f"Incident {answer.incident} ({answer.severity or 'unknown'}, {answer.phase or 'unknown'}) in {answer.environment}"
    since = f"since {said(answer.onset_ns)}, cause known with {answer.confidence:.0%} confidence"
    sections = [
        f"{head}\n{since}" + (f"\n\n{answer.story}" if answer.story else ""),
        _section("Cause", (_render_cause(c) for c in suspects), "no cause was found"),
        _section("Ruled out", (_render_rival(c) for c in rivals)),
        _section("Changed shortly before", (_render_change(c, said) for c in answer.changes)),
        _section("Seen", (f"{said(s.onset_ns)} {s.service or s.id}: {s.text} ({s.phase})" for s in answer.symptoms)),
        _section("Done", (_render_deed(d, said) for d in answer.deeds), "nothing was done"),
    ]
    return "\n\n".join(s for s in sections if s)


def _render_chain(chain: Sequence[Hop]) -> str:
    names = " -> ".join([chain[0].caller, *(hop.callee for hop in chain)])
    return "\n".join([names, *(f"  {hop.caller} -> {hop.callee}: {_traffic(hop)}" for hop in chain)])


def _traffic(hop: Hop) -> str:
    source = f"known from {hop.source or 'nowhere'}, confidence {hop.confidence:.0%}"
    if not hop.calls:
        return source
    return f"{hop.calls} calls, {hop.errors} failed ({hop.errors / hop.calls:.1%}); {source}"


def _section(title: str, items: Iterable[str], nothing: str = "") -> str:
    lines = [line for item in items for line in item.splitlines()]
    if not lines:
        return f"{title}: {nothing}" if nothing else ""
    return "\n".join([title, *(f"  {line}" for line in lines)])


def _render_cause(cause: Cause) -> str:
    chain = cause.path_text or " -> ".join(cause.path)
    lines = [f"{cause.rank}. {cause.service}: {cause.kind}, {cause.probability:.0%}"]
    lines += [f"   path: {chain}"] if chain else []
    return "\n".join([*lines, *(f"   - {reason}" for reason in cause.evidence)])


def _render_rival(cause: Cause) -> str:
    return f"{cause.rank}. {cause.service}: {cause.kind}, {cause.probability:.0%}: {cause.ruled_out}"


def _render_change(change: Changed, at: Callable[[int], str]) -> str:
    became = f" from {change.before or '?'} to {change.after or '?'}" if change.before or change.after else ""
    actor = f" by {change.actor}" if change.actor else ""
    said = f": {change.text}" if change.text else ""
    return f"{at(change.time_ns)} {change.service}: {change.kind}{became}{actor}{said}"


def _render_deed(deed: Deed, at: Callable[[int], str]) -> str:
    ended = f"{deed.state}, {deed.outcome}" if deed.outcome else deed.state
    target = f" on {deed.service}" if deed.service else ""
    said = f"\n  {deed.text}" if deed.text else ""
    return f"{at(deed.time_ns)} {deed.playbook}{target}: {ended} (run {deed.run}){said}"
