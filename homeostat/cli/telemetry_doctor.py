"""`homeostat telemetry doctor`: what is missing in the telemetry of each service, and the line of configuration that mends it."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import click

from connectors.otlp.recording import RecordedMessage, read
from contracts.events import TelemetryGaps
from contracts.topics import GAPS, OTLP_LOGS, OTLP_METRICS, OTLP_SPANS
from contracts.units import MILLISECOND
from homeostat.cli.app import settings_of
from homeostat.cli.common import broker_option, connected, document, json_option, run
from homeostat.telemetry_gaps import as_objects, is_whole, judged, lines, newest
from homeostat.terminal import echo, hanging

LAST: Final = 1000


@click.command("doctor")
@click.argument("files", nargs=-1, type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--topics", is_flag=True, help="Judge what lies in the topics of telemetry, not what was told of it.")
@click.option("--last", type=click.IntRange(min=1), help=f"With --topics: messages per partition [default: {LAST}].")
@click.option("--service", help="Of this service only (with or without its namespace).")
@click.option("--environment", help="Of this environment only.")
@json_option
@broker_option
@click.pass_context
def telemetry_doctor(ctx: click.Context, /, files: tuple[Path, ...], **said: Any) -> None:
    """Name what is missing in the telemetry of each service for good judgement, and the line of configuration that mends it: as the
    running Homeostat has judged it, or of recorded FILES, or of what lies in the topics.

    Exit status 0 if nothing is missing (or only what may be so on purpose, which is told as "perhaps"), 1 if something is, if no service
    is known yet, or if it could not be asked."""
    topics, last, broker = said["topics"], said["last"], said["broker"]
    if files and (topics or broker):
        raise click.UsageError("give FILES, or --topics and --broker")
    if last is not None and not topics:
        raise click.UsageError("--last is for --topics")
    wanted = (last or LAST) if topics else 0
    found = judged(read(files), settings_of(ctx)) if files else run(_of_log(ctx, broker, wanted))
    found = [t for t in found if said["environment"] in (None, t.environment) and _is_meant(t, said["service"])]
    if said["as_json"]:
        echo(document(as_objects(found)))
    else:
        for line in lines(found):
            echo(hanging(line))
        if not found:
            echo(
                "nothing is known of the telemetry of any such service yet: it is judged 20 s after it is first heard of"
            )
    if not is_whole(found):
        raise SystemExit(1)


def _is_meant(told: TelemetryGaps, service: str | None) -> bool:
    return service in (None, told.service, told.service.rpartition("/")[2])


async def _of_log(ctx: click.Context, broker: str | None, last: int) -> list[TelemetryGaps]:
    """What a running Homeostat has told; with `last` what the newest messages of telemetry show, in the order in which they came."""
    async with connected(ctx, broker) as (client, settings):
        if not last:
            return newest([r async for r in client.read([GAPS])])
        records = []
        for topic in (OTLP_SPANS, OTLP_METRICS, OTLP_LOGS, *settings.ingest.topics):
            records += [r async for r in client.read([topic], last=last)]
    records.sort(key=lambda r: r.timestamp_ms)
    messages = [RecordedMessage(r.topic, r.value, r.timestamp_ms * MILLISECOND) for r in records]
    return judged(messages, settings)
