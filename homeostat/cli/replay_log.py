"""`homeostat replay --from-kafka`: what the workers decided, had again from the log, and whether it is the same."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import click

from connectors.kafka.client import KafkaBroker
from contracts.ports import Record
from contracts.settings import Settings
from contracts.units import MILLISECOND
from homeostat import terminal
from homeostat.cli.common import time_ns
from homeostat.cli.watch import Teller, render
from homeostat.replay.log import (
    ALWAYS,
    Difference,
    RecordedHandling,
    Replayed,
    ReplayRequest,
    compared,
    neighbours,
    recorded,
    replayed,
    since_offset,
)
from homeostat.terminal import echo
from streams.replay.player import Place

_SHOWN: Final = 20
_PLACE: Final = re.compile(r"(.+)/(\d+)@(\d+)")


@dataclass(frozen=True, slots=True)
class Asked:
    """What the command line says."""

    broker: str
    stage: str = "decide"
    since: str = ""
    until: str = ""
    from_offset: str = ""
    compare: bool = False
    as_json: bool = False


def place(text: str) -> Place:
    """A message's place from TOPIC/PARTITION@OFFSET.

    Raises:
        click.BadParameter: it is none.
    """
    found = _PLACE.fullmatch(text)
    if found is None:
        raise click.BadParameter(f"{text!r} is no place, as telemetry.incidents/3@1200")
    return found[1], int(found[2]), int(found[3])


async def replay_log(settings: Settings, asked: Asked) -> int:
    """Do it and tell; the exit status."""
    client = KafkaBroker(settings.broker.model_copy(update={"url": asked.broker}))
    await client.start()
    try:
        partitions = await client.ensure_topics(settings.broker.partitions, settings.ingest.topics)
        topics, writers = neighbours(settings, partitions, asked.stage)
        stages = writers if asked.compare else (asked.stage,)
        found = await recorded(client, stages, {*settings.decide.recorded} - {asked.stage})
        wanted = await _wanted(client, asked, stages, found)
        again = await replayed(client, settings, found, wanted)
        differences = await compared(client, again, wanted, topics) if asked.compare else []
    finally:
        await client.stop()
    _tell(again, asked)
    if not asked.compare:
        return 0
    return _judge(again, differences, wanted, quiet=asked.as_json)


async def _wanted(client: KafkaBroker, asked: Asked, stages: tuple[str, ...], found: RecordedHandling) -> ReplayRequest:
    since_ns = time_ns(asked.since) if asked.since else found.since_ns
    if asked.from_offset:
        since_ns = max(since_ns, await since_offset(client, found, place(asked.from_offset)))
    return ReplayRequest(stages, since_ns, time_ns(asked.until) if asked.until else ALWAYS[1])


def _tell(again: Replayed, asked: Asked) -> None:
    console, teller = terminal.console(soft_wrap=True), Teller()
    for at_ns, (topic, key, value) in again.events:
        if asked.as_json:
            if value[:1] == b"{":
                echo(value.decode())
            continue
        line = teller.line(Record(topic, 0, 0, key, value, (), at_ns // MILLISECOND))
        if line:
            console.print(render(line))
    for name in again.made_otherwise:
        echo(f"{name}: made with another release, other settings or playbooks than these", err=True)
    for why in again.broken:
        echo(f"not replayed: {why}", err=True)


def _judge(again: Replayed, differences: Sequence[Difference], wanted: ReplayRequest, *, quiet: bool) -> int:
    for d in differences[:_SHOWN]:
        echo(f"{d.topic} {d.key}: {d.where + ': ' if d.where else ''}{d.text}", err=True)
    if len(differences) > _SHOWN:
        echo(f"and {len(differences) - _SHOWN} more", err=True)
    said = f"{len(differences)} differ" if differences else "the same as in the log, byte for byte"
    names = ", ".join(wanted.stages)
    echo(f"{len(again.events)} events of {names}: {said}", err=quiet)
    return 1 if differences or again.broken else 0
