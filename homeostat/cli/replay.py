"""`homeostat replay`: recorded telemetry in, what was found out."""

from __future__ import annotations

import resource
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import click

from connectors.otlp.recording import read
from contracts.events import Incident, decode
from contracts.ports import Record
from contracts.settings import Settings
from contracts.topics import DEADLETTER, INCIDENTS, TOPICS
from contracts.units import MILLISECOND, SECOND
from homeostat import terminal
from homeostat.cli.app import settings_of
from homeostat.cli.common import run
from homeostat.cli.replay_log import Asked, replay_log
from homeostat.cli.watch import Teller, render
from homeostat.replay.recording import replay as feed
from homeostat.terminal import echo
from homeostat.wiring import perceive_specs
from streams.in_memory import MemoryPipeline

PARTITIONS = 4


@click.command()
@click.argument("files", nargs=-1, type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--speed", type=float, help="Multiple of real time.")
@click.option("--as-fast-as-possible", "fast", is_flag=True, help="Without waiting (the default).")
@click.option("--json", "as_json", is_flag=True, help="Incidents (decisions) as JSON lines instead of text.")
@click.option("--from-kafka", "broker", metavar="URL", help="Replay what is in a log: kafka://host:9092.")
@click.option("--stage", default="decide", show_default=True, help="With --from-kafka: the recorded stage to replay.")
@click.option(
    "--since", default="", metavar="TIME", help="With --from-kafka: what was emitted from then on (ISO 8601)."
)
@click.option("--until", default="", metavar="TIME", help="With --from-kafka: what was emitted until then.")
@click.option(
    "--from-offset",
    default="",
    metavar="TOPIC/PARTITION@OFFSET",
    help="With --from-kafka: from when the stage took this message (or, of autonomous.decisions, took this decision).",
)
@click.option(
    "--compare", is_flag=True, help="With --from-kafka: compare with what is in the log; status 1 if it differs."
)
@click.pass_context
def replay(ctx: click.Context, /, files: tuple[Path, ...], broker: str | None, **options: Any) -> None:
    """Feed recorded OTLP JSON lines (FILES, plain or .gz, as the Collector's file exporter writes them) through the
    pipeline, on the recording's own clock, and print what was found. Nothing is acted on.

    With --from-kafka: have a recorded stage emit again, from what it took in and was told then, and print that."""
    if bool(files) == bool(broker):
        raise click.UsageError("give FILES, or --from-kafka")
    if broker:
        if options["speed"] or options["fast"]:
            raise click.UsageError("--speed and --as-fast-as-possible are for FILES")
        said = {name: options[name] for name in ("stage", "since", "until", "from_offset", "compare", "as_json")}
        sys.exit(run(replay_log(settings_of(ctx), Asked(broker, **said))))
    if options["speed"] and options["fast"]:
        raise click.UsageError("--speed and --as-fast-as-possible exclude each other")
    _replay_files(settings_of(ctx), files, options["speed"], options["as_json"])


def _replay_files(settings: Settings, files: tuple[Path, ...], speed: float | None, as_json: bool) -> None:
    console = terminal.console(soft_wrap=True)
    teller, seen = Teller(), Counter[str]()
    causes: dict[str, str] = {}

    def on_message(record: Record) -> None:
        seen[record.topic] += 1
        if record.topic == INCIDENTS:
            incident = decode(Incident, record.value)
            causes[incident.id] = ", ".join(f"{c.service} {c.probability:.0%}" for c in incident.candidates[:3])
            if as_json:
                echo(record.value.decode())
        if not as_json and (line := teller.line(record)):
            console.print(render(line))

    pipeline = MemoryPipeline(perceive_specs(settings, dict.fromkeys(TOPICS, PARTITIONS)), PARTITIONS, on_message)
    began, first, last = time.monotonic(), 0, 0
    for at in feed(read(files), pipeline, settings.ingest.flush_ms * MILLISECOND, speed):
        first, last = first or at, at
    if not as_json:
        took, span = time.monotonic() - began, (last - first) / SECOND
        memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        console.print(f"\n{len(causes)} incidents, {seen[DEADLETTER]} dead letters")
        for incident, cause in causes.items():
            console.print(f"  {incident}: {cause}")
        console.print(f"{span:.0f} s of telemetry in {took:.1f} s ({span / took:.0f} x real time), {memory:.0f} MB")
