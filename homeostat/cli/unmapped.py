"""`homeostat telemetry`: what is sent, and how it is understood."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import click
import msgspec

from connectors.encodings.sources import OF_METRICS, decode_record, reading_of
from connectors.otlp.conventions import conventions_of
from connectors.otlp.flatten import UnreadMetric
from connectors.otlp.reasons import UNMAPPED_UNIT
from connectors.otlp.recording import read
from connectors.otlp.suggestions import Suggestion, suggest
from contracts.errors import UndecodableTelemetry
from contracts.ports import Record
from contracts.settings import Settings
from contracts.topics import OTLP_METRICS
from homeostat.cli.app import settings_of
from homeostat.cli.common import broker_option, connected, document, json_option, run
from homeostat.cli.telemetry_doctor import telemetry_doctor
from homeostat.cli.whois import whois
from homeostat.terminal import echo


@click.group()
def telemetry() -> None:
    """What is sent, and how it is understood."""


telemetry.add_command(whois)
telemetry.add_command(telemetry_doctor)


@telemetry.command()
@click.argument("files", nargs=-1, type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--last", type=click.IntRange(min=1), default=1000, show_default=True, help="Messages per partition.")
@json_option
@broker_option
@click.pass_context
def unmapped(ctx: click.Context, files: tuple[Path, ...], last: int, as_json: bool, broker: str | None) -> None:
    """Metrics that can't be read (in the log, or in recorded FILES), how many points each has, and a row that would map it.

    Those that are known and feed no feature are not among them."""
    found = _of_files(files, settings_of(ctx)) if files else run(_of_log(ctx, broker, last))
    conventions = conventions_of(settings_of(ctx).conventions)
    listed = [(metric, points, suggest(metric, conventions)) for metric, points in found.most_common()]
    if as_json:
        echo(document([_as_object(*row) for row in listed]))
        return
    if not listed:
        echo("every metric is known")
        return
    for line in lines(listed):
        echo(line)


def lines(listed: list[tuple[UnreadMetric, int, Suggestion]]) -> list[str]:
    """For people: a line per metric, then what to put into the settings."""
    found = []
    for metric, points, s in listed:
        unit = f" in {metric.unit!r}" if metric.unit else " without a unit"
        no_unit = "its unit is not one of what it measures" if metric.unit else "nobody can tell what it is in"
        why = no_unit if metric.reason == UNMAPPED_UNIT else "nobody has told of it"
        like = f"; like {s.like}" if s.like and s.like != metric.name else ""
        found.append(f"{points:>10} points  {metric.name} ({metric.kind}{unit}): {why}{like}")
    rows = [s.row for _, _, s in listed if s.row]
    units = list(dict.fromkeys(m.unit for m, _, s in listed if s.unit_meant))
    if rows or units:
        found += ["", "Put into the settings what is meant so (a ? is yours to fill in):", "", "conventions:"]
    if rows:
        found.append("  metrics:")
        found += [f"    - {msgspec.json.encode(row).decode()}" for row in rows]
    if units:
        found.append("  units:")
        found += [f'    {msgspec.json.encode(unit).decode()}: "?"' for unit in units]
    return found


def _as_object(metric: UnreadMetric, points: int, suggestion: Suggestion) -> dict[str, Any]:
    return {**metric._asdict(), "points": points, "suggestion": msgspec.to_builtins(suggestion)}


def _of_files(files: tuple[Path, ...], settings: Settings) -> Counter[UnreadMetric]:
    found: Counter[UnreadMetric] = Counter()
    for message in read(files):
        _count(Record(message.topic, 0, 0, None, message.payload), settings, found)
    return found


async def _of_log(ctx: click.Context, broker: str | None, last: int) -> Counter[UnreadMetric]:
    found: Counter[UnreadMetric] = Counter()
    async with connected(ctx, broker) as (client, settings):
        own = [name for name, topic in settings.ingest.topics.items() if topic.encoding in OF_METRICS]
        async for record in client.read([OTLP_METRICS, *own], last=last):
            _count(record, settings, found)
    return found


def _count(record: Record, settings: Settings, found: Counter[UnreadMetric]) -> None:
    reading = replace(reading_of(settings, conventions_of(settings.conventions)), unread=found)
    try:
        decode_record(record, settings.ingest.topics, reading)
    except UndecodableTelemetry:  # it is among the dead letters, with its reason
        return
