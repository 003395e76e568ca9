"""`homeostat replay`: recorded telemetry in, what was found out."""

from __future__ import annotations

import resource
import time
from collections import Counter
from pathlib import Path

import click
from rich.console import Console

from connectors.otlp.recording import read
from contracts.events import Incident, decode
from contracts.ports import Record
from contracts.topics import DEADLETTER, INCIDENTS, TOPICS
from homeostat.cli.app import settings_of
from homeostat.cli.watch import Teller, render
from homeostat.replay import SECOND
from homeostat.replay import replay as feed
from homeostat.wiring import perceive_specs
from streams.memory import MemoryPipeline

PARTITIONS = 4


@click.command()
@click.argument("files", nargs=-1, required=True, type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--speed", type=float, help="Multiple of real time.")
@click.option("--as-fast-as-possible", "fast", is_flag=True, help="Without waiting (the default).")
@click.option("--json", "as_json", is_flag=True, help="Incidents as JSON lines instead of text.")
@click.pass_context
def replay(ctx: click.Context, files: tuple[Path, ...], speed: float | None, fast: bool, as_json: bool) -> None:
    """Feed recorded OTLP JSON lines (FILES, plain or .gz, as the Collector's file exporter writes them) through the
    pipeline, on the recording's own clock, and print what was found. Nothing is acted on."""
    if speed and fast:
        raise click.UsageError("--speed and --as-fast-as-possible exclude each other")
    settings = settings_of(ctx)
    console = Console(highlight=False, emoji=False, soft_wrap=True)
    teller, seen = Teller(), Counter[str]()
    causes: dict[str, str] = {}

    def on_message(record: Record) -> None:
        seen[record.topic] += 1
        if record.topic == INCIDENTS:
            incident = decode(Incident, record.value)
            causes[incident.id] = ", ".join(f"{c.service} {c.probability:.0%}" for c in incident.candidates[:3])
            if as_json:
                click.echo(record.value.decode())
        if not as_json and (line := teller.line(record)):
            console.print(render(line))

    pipeline = MemoryPipeline(perceive_specs(settings, dict.fromkeys(TOPICS, PARTITIONS)), PARTITIONS, on_message)
    began, first, last = time.monotonic(), 0, 0
    for at in feed(read(files), pipeline, settings.ingest.flush_ms * 1_000_000, speed):
        first, last = first or at, at
    if not as_json:
        took, span = time.monotonic() - began, (last - first) / SECOND
        memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        console.print(f"\n{len(causes)} incidents, {seen[DEADLETTER]} dead letters")
        for incident, cause in causes.items():
            console.print(f"  {incident}: {cause}")
        console.print(f"{span:.0f} s of telemetry in {took:.1f} s ({span / took:.0f} x real time), {memory:.0f} MB")
