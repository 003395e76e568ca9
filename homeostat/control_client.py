"""Turning switches from outside, and finding out who follows them: what `homeostat stop-acting` and `resume` do."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec

from connectors.journal.sqlite import SqliteJournal
from connectors.kafka.client import KafkaBroker
from contracts.errors import BrokerUnavailable, Permanent, UnknownName, UnreadableEvent
from contracts.events import Control, NodeStatus, decode, encode
from contracts.ports import Record
from contracts.settings import Settings
from contracts.topics import CONTROL, NODES
from homeostat.switchboard import begin_in, begin_on
from homeostat.times import said
from playbooks.runs import switches

_ENDED: Final = frozenset({"stopping", "stopped"})


@dataclass(frozen=True, slots=True)
class Followed:
    """Who follows a switch, and by process why not. Who has ended without a word is among the latter until a person says so
    (`ended`): that it was not heard of for long could be its clock, or ours."""

    confirmed: tuple[str, ...]
    waiting: Mapping[str, str]


async def turn(client: KafkaBroker, control: Control) -> dict[str, int]:
    """Write a switch; by partition, the offset that who follows it has passed.

    A stop goes to the partition of its scope. Going on goes to all, as it ends whatever stop is in any of them.

    Raises:
        BrokerUnavailable: it could not be written, or is not in the log afterwards.
    """
    await begin_on(client, control.time_ns)
    value, key = encode(control), control.scope.encode()
    partitions = sorted(partition for _, partition in await client.ends([CONTROL]))
    for partition in partitions if control.acting else (None,):
        await client.send(CONTROL, value, key=key, partition=partition)
    found = {r.partition: r.offset + 1 async for r in client.read([CONTROL]) if r.value == value}
    if not found or (control.acting and len(found) < len(partitions)):
        raise BrokerUnavailable(f"{CONTROL} does not hold what was written to it", fix="is it being made anew?")
    return {str(partition): offset for partition, offset in found.items()}


async def followed(client: KafkaBroker, wanted: Mapping[str, int], control: Control, patience_s: float) -> Followed:
    """Wait until every process that runs says that it follows the switch, or patience ends."""
    reports: dict[str, NodeStatus] = {}

    async def heard(*, follow: bool) -> Followed:
        async for record in client.read([NODES], follow=follow):
            status = _read(record)
            reports[status.node] = status
            if follow and not (found := judged(reports, wanted, control)).waiting:
                return found
        return judged(reports, wanted, control)

    found = await heard(follow=False)
    if not found.waiting:
        return found
    try:
        async with asyncio.timeout(patience_s):
            return await heard(follow=True)
    except TimeoutError:
        return judged(reports, wanted, control)


def judged(reports: Mapping[str, NodeStatus], wanted: Mapping[str, int], control: Control) -> Followed:
    """Who follows a switch, by the last report of each process."""
    running = {node: s for node, s in sorted(reports.items()) if s.lifecycle not in _ENDED}
    reasons = {node: _reason(s, wanted, control) for node, s in running.items()}
    return Followed(
        confirmed=tuple(node for node, why in reasons.items() if not why),
        waiting={node: why for node, why in reasons.items() if why},
    )


async def ended(client: KafkaBroker, nodes: Iterable[str], by: str, now_ns: int) -> None:
    """Write down that processes have ended which did not say so themselves. One that lives says the contrary soon.

    Raises:
        UnknownName: there is no such process.
    """
    reports = {s.node: s async for r in client.read([NODES]) for s in [_read(r)]}
    for node in nodes:
        if node not in reports:
            raise UnknownName("process", node, reports)
        last = msgspec.structs.replace(reports[node], lifecycle="stopped", time_ns=now_ns, text=f"ended, says {by}")
        await client.send(NODES, encode(last), key=node.encode())


def _reason(status: NodeStatus, wanted: Mapping[str, int], control: Control) -> str:
    """Why a process does not follow a switch, as far as it says; empty if it does."""
    if any(status.controls.get(partition, 0) < offset for partition, offset in wanted.items()):
        return f"has not said that it follows it; it last said something at {_utc(status.time_ns)}"
    if control.acting:
        return f"still stopped {status.stopped[control.scope]}" if control.scope in status.stopped else ""
    if control.scope not in status.stopped:
        return "was told to go on since"
    return f"still has an effect under way: {', '.join(status.effects)}" if status.effects else ""


def _read(record: Record) -> NodeStatus:
    """A report; one that can't be read is of a process of which nothing else is known."""
    try:
        return decode(NodeStatus, record.value)
    except UnreadableEvent:
        name = (record.key or b"nameless").decode(errors="replace")
        return NodeStatus(node=name, stage="", lifecycle="unreadable", healthy=False, time_ns=0)


def _utc(time_ns: int) -> str:
    return f"{said(time_ns)} (its clock)"


def journal_file(settings: Settings) -> Path | None:
    """The journal in which a switch can be armed; None where switches are on Kafka alone."""
    embedded = settings.broker.url.startswith("embedded") and settings.act.journal != "kafka"
    return settings.data_dir / "journal.sqlite" if embedded else None


def arm(settings: Settings, control: Control) -> None:
    """Say it to the journal's file: it holds from the next start on, and a stop at once for whoever has the file open.

    Raises:
        Permanent: there is no such file here.
    """
    file = journal_file(settings)
    if file is None:
        raise Permanent("there is no journal here that it could be written to", reason="no_journal")
    journal = SqliteJournal(file)
    try:
        begin_in(settings.data_dir, journal, control.time_ns, fresh=journal.fresh)
        switches.arm(journal, control)
    finally:
        journal.close()


def disarm(settings: Settings, scope: str) -> None:
    """Take back what was armed for who runs now: it was told to go on."""
    file = journal_file(settings)
    if file is not None and file.exists():
        journal = SqliteJournal(file)
        try:
            switches.disarm(journal, scope)
        finally:
            journal.close()
