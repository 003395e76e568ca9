"""The switches as the journal keeps them: what people said on autonomous.control, in the order of the log. Times mean nothing.

Order is the log's offset. It exists within one partition of one log, so the latest record on a scope is stored *per partition*, and
the strictest of these is in force: whoever puts a scope's switch into another partition than before can stop, and lets go
only where he had stopped. `homeostat resume` writes to every partition, so that it ends whatever there is.

In doubt acting is stopped, until a person resumes after that in the same partition: for a record that can't be read, for a
log that was made anew or lost what it held, and as long as nothing at all is known of "*".

Facts: `control/<scope>` is what is in force (a Control) with the words of each partition, `armed/<scope>` what was said while
nothing ran, or to a process that did not answer. What is armed counts at once if it stops; it becomes what is in force at
the next start (`apply_armed`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import msgspec

from contracts.events import OURSELVES, Control
from contracts.ports import Journal
from contracts.verdicts import Autonomy

EVERYWHERE: Final = "*"
_RANK: Final = {Autonomy.OBSERVE: 0, Autonomy.SUGGEST: 1, Autonomy.ACT: 2}
_CONTROL, _ARMED = "control/", "armed/"
_ARMED_LOG: Final = "armed"


@dataclass(frozen=True, slots=True)
class LogPosition:
    """Where a record is. `log` names the log among those of the same topic; the embedded one is new at each start."""

    log: str
    partition: int
    offset: int


class Latest(msgspec.Struct, frozen=True):
    """The latest record on a scope in one partition."""

    offset: int
    control: Control


class _Known(msgspec.Struct, frozen=True):
    """What a fact says besides the control in force."""

    log: str = ""
    latest: dict[str, Latest] = msgspec.field(default_factory=dict, name="words")
    """By partition. The name in journals is older."""


@dataclass(slots=True)
class SwitchReading:
    """What one reading of the whole topic found: the last offset of each scope in each partition, and of each partition."""

    scopes: dict[tuple[str, int], int] = field(default_factory=dict)
    partitions: dict[int, int] = field(default_factory=dict)

    def note(self, scope: str, partition: int, offset: int) -> None:
        """A record was found."""
        self.scopes[scope, partition] = max(offset, self.scopes.get((scope, partition), offset))
        self.partitions[partition] = max(offset, self.partitions.get(partition, offset))


def record(journal: Journal, control: Control, place: LogPosition) -> bool:
    """Store a switch; False if it changes nothing: delivery may repeat. A stop wins a tie."""
    if control.initial:
        return begin(journal, control)
    known = _known(journal, control.scope)
    latest = dict(known.latest) if known.log == place.log else {}
    last = latest.get(str(place.partition))
    if last is not None and (
        last.offset > place.offset or (last.offset == place.offset and (control.acting or control == last.control))
    ):
        return False
    latest[str(place.partition)] = Latest(place.offset, control)
    _store(journal, _strictest([w.control for w in latest.values()]), place.log, latest)
    return True


def unreadable(place: LogPosition, now_ns: int) -> Control:
    """What counts in place of a record that can't be read: it may have been a stop of anything."""
    why = f"record {place.partition}@{place.offset} of autonomous.control can't be read"
    return doubtful(EVERYWHERE, why, now_ns)


def doubtful(scope: str, why: str, now_ns: int) -> Control:
    """A stop because it is not known whether acting is stopped."""
    return Control(
        scope=scope,
        acting=False,
        autonomy=Autonomy.OBSERVE,
        by=OURSELVES,
        time_ns=now_ns,
        reason=f"{why}: look, then `homeostat resume`",
    )


def known_places(journal: Journal, log: str) -> dict[tuple[str, int], int]:
    """Scope and partition -> offset of all that is remembered of a log."""
    scopes = (key.removeprefix(_CONTROL) for key in journal.facts(_CONTROL))
    found = {scope: _known(journal, scope) for scope in scopes}
    return {
        (scope, int(partition)): record.offset
        for scope, known in found.items()
        if known.log == log
        for partition, record in known.latest.items()
    }


def missing(before: Mapping[tuple[str, int], int], found: SwitchReading) -> list[tuple[str, int]]:
    """What was remembered before a reading and is not in the log any more: it is another log, or not whole."""
    return [place for place, offset in before.items() if found.scopes.get(place, -1) < offset]


def stop_doubtful(
    journal: Journal, log: str, lost: Iterable[tuple[str, int]], found: SwitchReading, now_ns: int
) -> list[str]:
    """Stop the scopes of which the log lost what was remembered; whoever resumes after what it holds now lifts that."""
    scopes = []
    for scope, partition in lost:
        known = _known(journal, scope)
        latest = dict(known.latest) if known.log == log else {}
        why = f"autonomous.control was made anew, or lost what it held of {scope!r}"
        latest[str(partition)] = Latest(found.partitions.get(partition, -1), doubtful(scope, why, now_ns))
        _store(journal, _strictest([w.control for w in latest.values()]), log, latest)
        scopes.append(scope)
    return scopes


# --- without a log


def begin(journal: Journal, control: Control) -> bool:
    """What is in force before anybody said anything; False if something is."""
    if journal.get(_CONTROL + control.scope) is not None:
        return False
    _store(journal, control, "", {})
    return True


def begun(journal: Journal) -> bool:
    """Whether anything is known of all environments."""
    return journal.get(_CONTROL + EVERYWHERE) is not None


def scopes_of(journal: Journal) -> list[str]:
    """The scopes of which something is known, and all environments."""
    return sorted({EVERYWHERE, *(key.removeprefix(_CONTROL) for key in journal.facts(_CONTROL))})


def arm(journal: Journal, control: Control) -> None:
    """Say it to the journal itself: nothing runs that would read it from the log, or nothing answers."""
    journal.put(_ARMED + control.scope, msgspec.to_builtins(control))


def disarm(journal: Journal, scope: str) -> None:
    """Take back what was armed, as it was said to who runs."""
    if journal.get(_ARMED + scope):
        journal.forget([_ARMED + scope])


def apply_armed(journal: Journal) -> list[Control]:
    """Let what was armed be in force; all that is in force now, by scope."""
    with journal.together(""):
        for key, fact in journal.facts(_ARMED).items():
            if fact:
                _store(journal, _control(fact), _ARMED_LOG, {})
            journal.forget([key])
    return [_control(fact) for _, fact in sorted(journal.facts(_CONTROL).items())]


# --- what they say


@dataclass(frozen=True, slots=True)
class Mode:
    """Whether, and how freely, may be acted in an environment; `by` says who stopped it, and why."""

    acting: bool
    autonomy: Autonomy
    by: str = ""


def mode_of(journal: Journal, environment: str) -> Mode:
    """The strictest of what is set for the environment and for all."""
    mode = Mode(acting=True, autonomy=Autonomy.ACT)
    for control in controls_of(journal, environment):
        mode = Mode(
            acting=mode.acting and control.acting,
            autonomy=strictest(mode.autonomy, control.autonomy),
            by=mode.by if control.acting else control.by,
        )
    return mode


def controls_of(journal: Journal, environment: str) -> list[Control]:
    """The switches that are set for the environment or for all. Where nothing is known, acting is stopped."""
    found = []
    for scope in dict.fromkeys((EVERYWHERE, environment)):
        fact, armed = journal.get(_CONTROL + scope), journal.get(_ARMED + scope)
        if fact is not None:
            found.append(_control(fact))
        elif scope == EVERYWHERE:
            found.append(doubtful(scope, "it is not known whether acting was stopped", 0))
        if armed and not armed["acting"]:
            found.append(_control(armed))
    return found


def stopped(journal: Journal) -> dict[str, str]:
    """The scopes in which acting is stopped: who stopped it, and why."""
    scopes = {key.partition("/")[2] for prefix in (_CONTROL, _ARMED) for key in journal.facts(prefix)}
    latest = {c.scope: c for s in sorted({EVERYWHERE, *scopes}) for c in controls_of(journal, s) if not c.acting}
    return {scope: f"by {c.by}" + (f": {c.reason}" if c.reason else "") for scope, c in latest.items()}


def strictest(a: Autonomy, b: Autonomy) -> Autonomy:
    """The one of two that allows less."""
    return min(a, b, key=_RANK.__getitem__)


def _strictest(controls: Iterable[Control]) -> Control:
    return min(controls, key=lambda c: (c.acting, _RANK[c.autonomy]))


def _store(journal: Journal, control: Control, log: str, latest: Mapping[str, Latest]) -> None:
    known: dict[str, Any] = msgspec.to_builtins(_Known(log, dict(latest)))
    journal.put(_CONTROL + control.scope, msgspec.to_builtins(control) | known)


def _known(journal: Journal, scope: str) -> _Known:
    """Facts of earlier releases have no `words`: whatever a log says is later."""
    fact = journal.get(_CONTROL + scope)
    return msgspec.convert(fact, _Known) if fact is not None and "words" in fact else _Known(log=_ARMED_LOG)


def _control(fact: Mapping[str, Any]) -> Control:
    return msgspec.convert(fact, Control)
