"""`homeostat up`, `worker` and `demo`: processes that run until told to stop."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
import threading
from pathlib import Path

import click

from contracts.errors import InvalidSettings
from contracts.settings import Settings
from contracts.supervision import end, once
from homeostat.cli.app import settings_of
from homeostat.logs import configure
from homeostat.terminal import echo

PATIENCE_S = 3.0
"""How long a task that was cancelled at the end may take."""


@click.command()
@click.option("--grpc-port", type=int, help="OTLP/gRPC port (default 4317; 0 picks a free one).")
@click.option("--http-port", type=int, help="OTLP/HTTP port (default 4318; 0 picks a free one).")
@click.option("--api-port", type=int, help="Status and metrics port (default 8790; 0 picks a free one).")
@click.pass_context
def up(ctx: click.Context, grpc_port: int | None, http_port: int | None, api_port: int | None) -> None:
    """Run everything in one process on embedded parts: an in-memory Kafka broker, an embedded graph, files for what must
    last. Point any OpenTelemetry SDK at the OTLP endpoints it prints. Ctrl-C stops it gracefully."""
    settings = settings_of(ctx, receivers={"grpc_port": grpc_port, "http_port": http_port}, api={"port": api_port})
    _run(settings)


@click.command()
@click.option("--broker", metavar="URL", help="Kafka address, kafka://host:9092[,host:9092].")
@click.option("--group", help="Consumer group shared by all workers of one installation.")
@click.option(
    "--receive/--no-receive",
    default=None,
    help="Whether to listen for OTLP, too (settings: receivers.enabled). Default: no, Collectors write to Kafka.",
)
@click.option("--api-port", type=int, help="Status and metrics port (default 8790; 0 picks a free one).")
@click.pass_context
def worker(
    ctx: click.Context, broker: str | None, group: str | None, receive: bool | None, api_port: int | None
) -> None:
    """Run the pipeline against Kafka. Start as many as you like: they share the partitions of one consumer group."""
    settings = settings_of(
        ctx,
        under={"receivers": {"enabled": False}},
        broker={"url": broker, "group": group},
        receivers={"enabled": receive},
        api={"port": api_port},
    )
    if not settings.broker.url.startswith("kafka://"):
        raise InvalidSettings("a worker needs Kafka", fix="--broker kafka://host:9092, or use `homeostat up`")
    _run(settings)


@click.command()
@click.option("--keep", type=click.Path(file_okay=False, path_type=Path), help="Keep data and logs in this folder.")
@click.option("--only", multiple=True, help="Only these scenes, by name (repeatable).")
@click.option(
    "--json", "report", type=click.Path(dir_okay=False, path_type=Path), help="Write the measured figures here."
)
def demo(keep: Path | None, only: tuple[str, ...], report: Path | None) -> None:
    """Break a small real shop and watch it being repaired: six instrumented services as local processes, customers, and
    one fault after another. Exit status 0 only if every fault ended as it should."""
    from homeostat.demo.play import play

    raise SystemExit(asyncio.run(play(keep, only, report)))


def _run(settings: Settings) -> None:
    configure(settings.log)
    loop = asyncio.new_event_loop()
    try:
        loop.run_until_complete(_serve(settings))
    finally:
        stuck = _cancel_all(loop)
        if not stuck:
            loop.run_until_complete(loop.shutdown_default_executor())
            loop.close()
    logging.shutdown()
    if stuck or threading.active_count() > 1:  # what still waits for a broker must not keep a stopped process alive
        sys.stdout.flush()
        os._exit(0)


def _cancel_all(loop: asyncio.AbstractEventLoop) -> bool:
    """Cancel what is left on the loop; whether something would not end. (asyncio.run would wait for it for ever.)"""
    left = asyncio.all_tasks(loop)
    for task in left:
        task.cancel()
    return bool(left) and bool(loop.run_until_complete(asyncio.wait(left, timeout=PATIENCE_S))[1])


async def _serve(settings: Settings) -> None:
    from homeostat.release import age_s
    from homeostat.runtime import Runtime

    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stopped.set)
    runtime = Runtime(settings)
    starting, waiting = once("start", runtime.start(), awaited=True), once("until-stopped", stopped.wait())
    await asyncio.wait({starting, waiting}, return_when=asyncio.FIRST_COMPLETED)
    if not starting.done():
        await end(starting)
        return
    try:
        await starting
        e = runtime.endpoints
        echo(f"homeostat is ready after {age_s():.1f} s")
        for name, address in (
            ("OTLP/gRPC", e.otlp_grpc),
            ("OTLP/HTTP", e.otlp_http),
            ("Kafka", e.broker),
            ("status", f"{e.api}/status"),
            ("metrics", f"{e.api}/metrics"),
            ("data", str(settings.data_dir)),
        ):
            echo(f"  {name:10} {address or 'off'}")
        await waiting
        echo("stopping: finishing what is under way")
    finally:
        waiting.cancel()
        await runtime.stop()
