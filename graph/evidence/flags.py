"""The channel of feature flags: one that was given another value shortly before the onset, and had it then.

A flag works within seconds, on its service alone and on all of its instances alike, with no new version. One that was back before the
onset is none, and one that was given back since explains no more than what is left of its effect. What nobody tells of is not guessed.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple

from contracts.events import OURSELVES, Change, FlagChange, flag_of
from contracts.verdicts import CauseKind
from graph.evidence.finding import Finding
from graph.evidence.situation import Situation
from graph.judgement import (
    FLAG_BACK_S,
    FLAG_FADES_S,
    RELEASE_AFTER_S,
    RELEASE_JUST,
    RELEASE_JUST_S,
    RELEASE_STRENGTH,
)

FLAG: Final = "flag"


class SuspectedFlag(NamedTuple):
    """The change that gave a flag its value, and when it was given another one since (0: it has it still)."""

    change: Change
    back_ns: int


def suspected_flags(situation: Situation, service: str = "") -> list[SuspectedFlag]:
    """The flags that had been changed at the onset, of a service or (without one) of all, in the order of their changes."""
    by_flag: dict[tuple[str, str], list[Change]] = {}
    for one in situation.turned:
        if (not service or one.service == service) and not (one.before and one.before == one.after):
            by_flag.setdefault((one.service, one.subject), []).append(one)
    found = (_suspected(situation, sorted(told, key=lambda c: c.time_ns)) for told in by_flag.values())
    return sorted((x for x in found if x is not None), key=lambda x: (x.change.time_ns, x.change.subject))


def _suspected(situation: Situation, told: list[Change]) -> SuspectedFlag | None:
    until = [c for c in told if situation.made_s(c) >= -RELEASE_AFTER_S]
    while _as_it_was(until) and situation.made_s(until[-1]) < 0:  # given back a moment after the onset
        until.pop()
    since = told[len(until) :]
    if not until or _as_it_was(until):
        return None
    theirs = [c for c in until if c.actor != OURSELVES and c.after == until[-1].after]
    if not theirs:
        return None  # what was done in answer to an incident is no cause of it
    back_ns = since[-1].time_ns if since and since[-1].after != until[-1].after else 0
    if back_ns and (situation.now_ns - back_ns) / 1e9 > FLAG_BACK_S:
        return None
    return SuspectedFlag(theirs[-1], back_ns)


def _as_it_was(told: list[Change]) -> bool:
    return bool(told) and bool(told[0].before) and told[0].before == told[-1].after


def the_flag(situation: Situation, service: str) -> FlagChange | None:
    """The flag of a service that may be given back what it was; None where there is none, where several were changed, or where it is not told
    which, or what it was."""
    found = [flag_of(x.change) for x in suspected_flags(situation, service) if not x.back_ns]
    return found[0] if len(found) == 1 and found[0] is not None and found[0].before else None


def flags(situation: Situation) -> Iterator[Finding]:
    """A flag that was changed shortly before the onset. Where one instance is sick alone it is none: all of them read it."""
    for change, back_ns in suspected_flags(situation):
        compared = situation.nodes[change.service].instances
        if compared is not None and compared.apart is not None:
            continue
        age_s = situation.made_s(change)
        fades = RELEASE_JUST if age_s <= RELEASE_JUST_S else 0.5 ** ((age_s - RELEASE_JUST_S) / FLAG_FADES_S)
        when = f"{age_s:.0f} s before the onset" if age_s >= 1 else "at the onset"
        text = f"{in_words(change)} {when}{', and back since' if back_ns else ''}"
        yield Finding(change.service, FLAG, RELEASE_STRENGTH * fades, text, CauseKind.FLAG)


def in_words(change: Change) -> str:
    """`cart: flag new-checkout turned from off to on`."""
    named = flag_of(change)
    what = f"flag {named.name}" if named is not None else change.text or "a flag"
    became = f" turned{f' from {change.before}' if change.before else ''} to {change.after}" if change.after else ""
    return f"{change.service}: {what}{became}"
