"""The switches of this process: read from autonomous.control, kept in the journal, and known before anything is done.

What is in force when a process starts comes from where it outlives processes: from the topic on Kafka, from the journal's file
with the embedded log, which is new at each start (there it is written to the new log, for whoever reads that). Where neither
has anything, either nothing ever ran here, or what was known is lost; the latter stops acting until a person resumes.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
from collections.abc import Callable
from pathlib import Path
from typing import Final

from connectors.kafka.client import KafkaBroker
from contracts.errors import BrokerUnavailable, UnreadableEvent
from contracts.events import OURSELVES, Control, decode, encode
from contracts.ports import Clock, Journal, Record
from contracts.supervision import end, once
from contracts.topics import ACTIONS, CONTROL, JOURNAL
from contracts.verdicts import Autonomy
from playbooks.runs import switches

log = logging.getLogger(__name__)
MARK: Final = "installed.json"
"""In the data folder: that there was a journal."""
_INITIAL_KEY: Final = b"initial"
"""Compaction keeps the last record of each key: this one must not be in the way of what people say."""
_TRACES: Final = (ACTIONS, CONTROL, JOURNAL)
"""Topics that are written to only after it was written on autonomous.control that an installation has begun."""


class Switchboard:
    """Takes switches as they come, reads all of them when that matters, and says which ones this process follows."""

    def __init__(
        self, broker: KafkaBroker, journal: Journal, clock: Clock, log_id: str, changed: Callable[[str], None]
    ) -> None:
        """`log_id`: the name of an embedded log, which ends with the process; empty for one that stays. `changed` is told the
        scope of each switch that changed something."""
        self._broker, self._journal, self._clock, self._log = broker, journal, clock, log_id
        self._changed = changed
        self._followed: dict[int, int] = {}
        self._checking: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Know what is in force before anything is done. BrokerUnavailable if that can't be found out."""
        if self._log:
            for control in switches.apply_armed(self._journal):
                key = _INITIAL_KEY if control.initial else control.scope.encode()
                await self._broker.send(CONTROL, encode(control), key=key)
            return
        now_ns = self._clock.now_ns()
        await begin_on(self._broker, now_ns)
        await self._read()
        if not switches.begun(self._journal):
            why = "what autonomous.control held is lost, or all of it is of an earlier release"
            switches.begin(self._journal, switches.doubtful(switches.EVERYWHERE, why, now_ns))
            log.error("acting is stopped: %s", why)

    async def stop(self) -> None:
        """End what is under way."""
        checking, self._checking = self._checking, None
        if checking is not None:
            await end(checking)

    async def caught_up(self, timeout_s: float) -> None:
        """Return once every switch is known that was turned before the call.

        Raises:
            Retryable: that can't be found out now.
        """
        try:
            async with asyncio.timeout(timeout_s):
                await self._read()
        except TimeoutError as e:
            raise BrokerUnavailable(
                f"{CONTROL} could not be read within {timeout_s:g} s, so whether acting was stopped is not known",
                fix="is the broker well, and may this user read the topic?",
            ) from e

    async def take(self, record: Record) -> None:
        """A record of autonomous.control, as it comes.

        Raises:
            UnreadableEvent: it can't be read; acting is stopped until somebody resumes.
        """
        scope, changed, error = self._taken(record)
        known = switches.known_places(self._journal, self._log).get((scope, record.partition), record.offset)
        if not changed and record.offset < known and self._checking is None:
            self._checking = once("switches", self._check())  # is it another log than it was?
        if error is not None:
            raise error

    def followed(self) -> dict[str, int]:
        """By partition, the offset after the last record this process follows."""
        return {str(partition): offset for partition, offset in sorted(self._followed.items())}

    def stopped(self) -> dict[str, str]:
        """The scopes in which acting is stopped, and why."""
        return switches.stopped(self._journal)

    def acting(self) -> dict[str, bool]:
        """Whether may be acted, by scope of which something is known."""
        return {s: switches.mode_of(self._journal, s).acting for s in switches.scopes_of(self._journal)}

    async def _check(self) -> None:
        try:
            await self._read()
        except Exception as e:  # noqa: BLE001 - whoever acts reads again, and does nothing if that fails
            log.warning("%s could not be read again: %s", CONTROL, e)
        finally:
            self._checking = None

    async def _read(self) -> None:
        """The whole topic, to its end. What was remembered and is not there makes all of it doubtful."""
        before, found = switches.known_places(self._journal, self._log), switches.SwitchReading()
        async for record in self._broker.read([CONTROL]):
            scope, _, _ = self._taken(record)
            found.note(scope, record.partition, record.offset)
        lost = switches.missing(before, found)
        for scope in switches.stop_doubtful(self._journal, self._log, lost, found, self._clock.now_ns()):
            log.error("acting is stopped in %r: %s was made anew, or lost what it held", scope, CONTROL)
            self._changed(scope)

    def _taken(self, record: Record) -> tuple[str, bool, UnreadableEvent | None]:
        """The scope of a record, whether it changed anything, and why it can't be read."""
        place, error = switches.LogPosition(self._log, record.partition, record.offset), None
        try:
            control = decode(Control, record.value)
        except UnreadableEvent as e:
            control, error = switches.unreadable(place, self._clock.now_ns()), e
        changed = switches.record(self._journal, control, place)
        self._followed[record.partition] = max(record.offset + 1, self._followed.get(record.partition, 0))
        if changed:
            self._changed(control.scope)
        return control.scope, changed, error


def initial(now_ns: int) -> Control:
    """What is in force in an installation in which nobody has said anything yet."""
    return Control(
        scope=switches.EVERYWHERE,
        acting=True,
        autonomy=Autonomy.ACT,
        by=OURSELVES,
        time_ns=now_ns,
        reason="the installation began",
        initial=True,
    )


async def begin_on(broker: KafkaBroker, now_ns: int) -> None:
    """Write on Kafka that an installation begins, if nothing ever ran there. (Twice, if two begin at once: that is the same.)"""
    if not any((await broker.ends(_TRACES)).values()):
        await broker.send(CONTROL, encode(initial(now_ns)), key=_INITIAL_KEY)


def begin_in(folder: Path, journal: Journal, now_ns: int, *, fresh: bool) -> None:
    """Let the journal of an embedded log know what is in force before anybody said anything. One that is new (`fresh`) where
    there was another one before has lost what people had said."""
    mark = folder / MARK
    if not switches.begun(journal):
        earlier = fresh and (mark.exists() or (folder / "state.sqlite").exists())
        why = f"the journal in {folder} is new, though there was one before"
        control = switches.doubtful(switches.EVERYWHERE, why, now_ns) if earlier else initial(now_ns)
        switches.begin(journal, control)
        if earlier:
            log.error("acting is stopped: %s", control.reason)
    if not mark.exists():
        partial = folder / f".{MARK}.{os.getpid()}"
        partial.write_text(json.dumps({"began_ns": now_ns}) + "\n")
        partial.chmod(0o600)
        partial.replace(mark)
