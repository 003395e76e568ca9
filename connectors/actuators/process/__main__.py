"""`python -m connectors.actuators.process SERVICES.yaml --state FILE`: the process manager by itself, until it is interrupted.

SERVICES.yaml is a list of services: name, command (a list), and optionally replicas, version, env, ready_path, ready_timeout_s.
"""

from __future__ import annotations

import asyncio
import signal
import sys
from pathlib import Path
from typing import Any

import click
import msgspec
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from connectors.actuators.process.manager import ManagedService, ProcessManager
from contracts.errors import HomeostatError, InvalidSettings


def read_services(file: Path) -> list[ManagedService]:
    """The services that a file declares.

    Raises:
        InvalidSettings: with the file and what is wrong in it.
    """
    try:
        document: Any = YAML(typ="safe").load(file.read_text("utf-8"))
        return msgspec.convert(document, list[ManagedService])
    except (OSError, UnicodeDecodeError, YAMLError, msgspec.ValidationError) as e:
        raise InvalidSettings(f"{file}: {e}", fix="a list of services with name and command") from e


@click.command()
@click.argument("services", type=click.Path(path_type=Path))
@click.option("--state", type=click.Path(path_type=Path), required=True, help="File that remembers what was done.")
@click.option("--host", default="127.0.0.1", show_default=True, help="Address of the API and of the instances.")
@click.option("--port", default=0, show_default=True, help="Port of the API; 0 picks a free one.")
def main(services: Path, state: Path, host: str, port: int) -> None:
    """Run the services of a YAML file as local processes."""
    try:
        asyncio.run(serve(ProcessManager(read_services(services), state, host, port)))
    except (HomeostatError, OSError) as e:
        click.echo(f"error: {e}", err=True)
        sys.exit(1)


async def serve(manager: ProcessManager) -> None:
    """Run until SIGTERM or SIGINT."""
    asked = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, asked.set)
    await manager.start()
    click.echo(f"process manager: {manager.url}")
    await asked.wait()
    await manager.stop()


if __name__ == "__main__":
    main()
