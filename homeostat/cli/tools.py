"""Small commands: send-raw, topics, settings."""

from __future__ import annotations

import sys
import time
from typing import Any

import click
import msgspec

from contracts.errors import UndecodableTelemetry
from contracts.events import RawMeasurement, RawResponse
from contracts.settings import shown
from contracts.topics import RAW, TOPICS
from homeostat.cli.app import settings_of
from homeostat.cli.common import broker_option, connected, document, json_option, run
from homeostat.reference import settings_reference
from homeostat.terminal import echo


@click.command("send-raw")
@click.argument("service", required=False)
@click.option("--latency-ms", "latencies", type=float, multiple=True, help="One request's latency (repeatable).")
@click.option("--status", "statuses", type=int, multiple=True, help="One response's status (repeatable).")
@click.option("--cpu-percent", type=float, help="CPU used, percent of the limit.")
@click.option("--memory-mb", type=float, help="Memory used, MB.")
@click.option("--stdin", is_flag=True, help="Read measurements from standard input, one JSON object per line.")
@broker_option
@click.pass_context
def send_raw(ctx: click.Context, /, service: str | None, stdin: bool, broker: str | None, **measured: Any) -> None:
    """Put a measurement of SERVICE on telemetry.raw, with the present time, or a stream of them from standard input.

    \b
    homeostat send-raw checkout --latency-ms 12.5 --status 200 --cpu-percent 31
    tail -f measurements.jsonl | homeostat send-raw --stdin
    """
    if bool(service) == stdin:
        raise click.UsageError("give a SERVICE, or --stdin")
    if service:
        run(_send(ctx, broker, [_measurement(service, **measured)]))
    else:
        run(_send(ctx, broker, (line.encode() for line in sys.stdin if line.strip())))


def _measurement(
    service: str,
    latencies: tuple[float, ...],
    statuses: tuple[int, ...],
    cpu_percent: float | None,
    memory_mb: float | None,
) -> bytes:
    return msgspec.json.encode(
        RawMeasurement(
            service=service,
            timestamp=time.time(),
            latencies_ms=list(latencies),
            responses=[RawResponse(s) for s in statuses],
            cpu_percent=cpu_percent,
            memory_mb=memory_mb,
        )
    )


async def _send(ctx: click.Context, broker: str | None, messages: Any) -> None:
    sent = 0
    async with connected(ctx, broker) as (client, _):
        for number, message in enumerate(messages, 1):
            try:
                measured = msgspec.json.decode(message, type=RawMeasurement)
            except msgspec.DecodeError as e:
                raise UndecodableTelemetry(f"measurement {number}: {e}", fix="see docs/topics.md, telemetry.raw") from e
            await client.send(RAW, message, key=measured.service.encode())
            sent += 1
    echo(f"{sent} measurement{'s' if sent != 1 else ''} sent")


@click.group()
def topics() -> None:
    """Create or list the topics."""


@topics.command("create")
@click.option("--partitions", type=int, help="Partitions of topics that are missing.")
@json_option
@broker_option
@click.pass_context
def topics_create(ctx: click.Context, partitions: int | None, as_json: bool, broker: str | None) -> None:
    """Create the topics that are missing. Safe to repeat."""

    async def work() -> None:
        async with connected(ctx, broker) as (client, settings):
            made = await client.ensure_topics(partitions or settings.broker.partitions, settings.ingest.topics)
            found = dict(sorted(made.items()))
            if as_json:
                echo(document(found))
                return
            for name, count in found.items():
                echo(f"{name}: {count} partitions")

    run(work())


@topics.command("list")
@json_option
def topics_list(as_json: bool) -> None:
    """The table of topics: key, value, who writes and who reads."""
    if as_json:
        echo(document(list(TOPICS.values())))
        return
    for t in TOPICS.values():
        echo(f"{t.name:24} key: {t.key:22} value: {t.value:30} {t.writers} -> {t.readers}")


@click.command()
@click.option("--reference", is_flag=True, help="Print the reference page (docs/settings.md) instead.")
@click.option("--json", "as_json", is_flag=True, help="As JSON, which is how they are shown anyway.")
@click.pass_context
def settings(ctx: click.Context, reference: bool, as_json: bool) -> None:
    """Show the settings in force as JSON, secrets masked."""
    if reference:
        echo(settings_reference(), nl=False)
    else:
        echo(document(shown(settings_of(ctx))))
