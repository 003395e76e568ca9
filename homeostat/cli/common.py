"""What several commands share: options, running asyncio, talking to the broker of a running process."""

from __future__ import annotations

import asyncio
import datetime as dt
import getpass
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, TypeVar

import click
import msgspec

from connectors.kafka.client import KafkaBroker
from contracts.settings import Settings
from homeostat.cli.app import settings_of
from homeostat.endpoints import broker_address

T = TypeVar("T")
F = TypeVar("F", bound=Callable[..., Any])


def broker_option(command: F) -> F:
    """`--broker`, for commands that talk to Kafka."""
    text = "Kafka address, kafka://host:9092. Default: that of the running `homeostat up`."
    return click.option("--broker", metavar="URL", help=text)(command)


def local_option(command: F) -> F:
    """`--local`, for commands that show times."""
    return click.option(
        "--local", is_flag=True, help="Times of this machine's zone, with their offset, instead of UTC."
    )(command)


def json_option(command: F) -> F:
    """`--json`, for commands that list or show something."""
    return click.option("--json", "as_json", is_flag=True, help="As JSON.")(command)


def document(value: object) -> str:
    """A value as one JSON document."""
    return msgspec.json.format(msgspec.json.encode(value, enc_hook=str), indent=2).decode()


def time_ns(text: str) -> int:
    """Nanoseconds of an ISO 8601 time, UTC where it names no zone.

    Raises:
        click.BadParameter: it is none.
    """
    try:
        at = dt.datetime.fromisoformat(text)
    except ValueError as e:
        raise click.BadParameter(f"{text!r} is no ISO 8601 time, as 2026-01-31T12:00:00Z") from e
    at = at if at.tzinfo else at.replace(tzinfo=dt.UTC)
    return int((at - dt.datetime(1970, 1, 1, tzinfo=dt.UTC)) / dt.timedelta(microseconds=1)) * 1000


def who() -> str:
    """The person at the keyboard, as put on approvals and controls."""
    return getpass.getuser()


def run(work: Awaitable[T]) -> T:
    """Run a coroutine to its end."""

    async def main() -> T:
        return await work

    return asyncio.run(main())


@asynccontextmanager
async def connected(ctx: click.Context, broker: str | None) -> AsyncIterator[tuple[KafkaBroker, Settings]]:
    """A started client of the broker that is meant, and the settings."""
    settings = settings_of(ctx)
    url = settings.broker.url if broker is None and settings.broker.url.startswith("kafka://") else None
    address = url or broker_address(settings.data_dir, broker)
    # What its client can't do it raises, and is told once; what it logs meanwhile would stand between the lines of a command.
    logging.getLogger("aiokafka").addHandler(logging.NullHandler())
    client = KafkaBroker(settings.broker.model_copy(update={"url": address}))
    await client.start()
    try:
        yield client, settings
    finally:
        await client.stop()
