"""`homeostat status`: services with their state, and what Homeostat itself lacks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import click

from contracts.errors import BrokerUnavailable, HomeostatError
from contracts.ports import SystemClock
from contracts.settings import Settings
from homeostat.cli.app import settings_of
from homeostat.cli.common import broker_option, connected, document, json_option, local_option, run
from homeostat.endpoints import running
from homeostat.status import Overview, Process, of_log, of_process
from homeostat.strictness_told import document as document_of
from homeostat.strictness_told import line as told
from homeostat.terminal import echo
from homeostat.times import ago, lasting, said, utc

_ORDER = ("anomalous", "stale", "warming", "healthy")


@click.command()
@json_option
@local_option
@broker_option
@click.pass_context
def status(ctx: click.Context, as_json: bool, local: bool, broker: str | None) -> None:
    """Show how it is: what Homeostat itself lacks, how far it is behind, each service with its state (anomalous, stale, warming,
    healthy), since when and why, and by environment how many false incidents are accepted, and what came of those of the last week. Exit status 1 if something is lacking."""
    found = run(overview(ctx, settings_of(ctx), broker))
    echo(_document(found) if as_json else "\n".join(lines(found, local)))
    if not found.healthy:
        raise SystemExit(1)


async def overview(ctx: click.Context, settings: Settings, broker: str | None) -> Overview:
    """From the log where one is named, else from the process on this machine.

    Raises:
        BrokerUnavailable: there is neither.
    """
    now_ns = SystemClock().now_ns()
    local = running(settings.data_dir)
    if broker is None and local is not None and not settings.broker.url.startswith("kafka://"):
        return await of_process(local, now_ns)
    try:
        async with connected(ctx, broker) as (client, _):
            return await of_log(client, settings, now_ns)
    except BrokerUnavailable:
        if local is None or broker is not None:
            raise
        return await of_process(local, now_ns)


def lines(found: Overview, local: bool) -> Iterator[str]:
    """All of it, as text."""
    if not found.processes:
        yield f"no process of Homeostat is heard of at {found.source}: nothing is seen and nothing is done"
    for process in found.processes:
        yield from _of_process(process)
    if not found.services:
        yield "no services yet: no telemetry was judged so far"
    for environment in sorted({row["environment"] for row in found.services}):
        rows = [row for row in found.services if row["environment"] == environment]
        yield f"{environment}: {summary(found.counts[environment])}"
        yield from (f"  {told(word)}" for word in found.strictness if word.environment == environment)
        yield from _table(sorted(rows, key=lambda r: (_ORDER.index(r["state"]), r["service"])), found.time_ns, local)


def summary(counts: Mapping[str, int]) -> str:
    """`12 healthy, 1 anomalous`."""
    return ", ".join(f"{counts[state]} {state}" for state in _ORDER if counts.get(state)) or "no services"


def _of_process(process: Process) -> Iterator[str]:
    well = "well" if process.healthy else "NOT WELL"
    up = f", up {lasting(process.uptime_s)}" if process.uptime_s else ""
    waiting = sum(process.lag.values())
    yield f"{process.node}: {process.condition}, {well}{up}; {process.behind_s:.1f} s behind, {waiting} messages wait"
    if process.reason and not process.healthy:
        yield f"  {process.reason}"
    for lack in process.lacks:
        yield f"  lacks {lack}"
    if process.stopped:
        yield f"  acting is stopped in {', '.join('all environments' if s == '*' else s for s in process.stopped)}"


def _table(rows: Sequence[Mapping[str, Any]], now_ns: int, local: bool) -> Iterator[str]:
    width = max(len(row["service"]) for row in rows)
    for row in rows:
        since = f"{said(row['since_ns'], local)} ({ago(row['since_ns'], now_ns)})"
        yield f"  {row['state']:9} {row['service']:{width}}  since {since:33} delay {row['delay_s']:.1f} s  {row['why']}"


def _document(found: Overview) -> str:
    body = {
        "source": found.source,
        "time": utc(found.time_ns),
        "healthy": found.healthy,
        "processes": found.processes,
        "strictness": [document_of(word) for word in found.strictness],
        "services": [{**row, "since": utc(row["since_ns"])} for row in found.services],
    }
    return document(body)


async def in_a_line(ctx: click.Context, settings: Settings, broker: str | None) -> str:
    """How it is, in one line: for those who watch."""
    try:
        return line(await overview(ctx, settings, broker))
    except HomeostatError as e:
        return str(e)


def line(found: Overview) -> str:
    """An overview in one line."""
    services = "; ".join(f"{e}: {summary(n)}" for e, n in sorted(found.counts.items())) or "no services yet"
    behind = max((p.behind_s for p in found.processes), default=0.0)
    lacks = "; ".join(lack for p in found.processes for lack in p.lacks)
    processes = "" if found.processes else "; no process of Homeostat is heard of"
    return f"{services}; {behind:.1f} s behind; {f'lacks {lacks}' if lacks else 'nothing lacking'}{processes}"
