"""Where a running `homeostat up` can be reached: a small file in the data folder, so that other commands find it."""

from __future__ import annotations

import os
from pathlib import Path

import msgspec

from contracts.errors import BrokerUnavailable

NAME = "endpoints.json"


class Endpoints(msgspec.Struct, frozen=True, kw_only=True):
    """Addresses of one running process."""

    pid: int
    broker: str
    api: str
    otlp_grpc: str = ""
    otlp_http: str = ""


def publish(data_dir: Path, endpoints: Endpoints) -> None:
    """Write the file, whole or not at all."""
    partial = data_dir / f".{NAME}.{endpoints.pid}"
    partial.touch(mode=0o600)
    partial.write_bytes(msgspec.json.format(msgspec.json.encode(endpoints)))
    partial.replace(data_dir / NAME)


def withdraw(data_dir: Path) -> None:
    """Remove the file if this process wrote it."""
    found = running(data_dir)
    if found is not None and found.pid == os.getpid():
        (data_dir / NAME).unlink(missing_ok=True)


def running(data_dir: Path) -> Endpoints | None:
    """The endpoints of the process that uses `data_dir`, or None if none runs."""
    try:
        found = msgspec.json.decode((data_dir / NAME).read_bytes(), type=Endpoints)
        os.kill(found.pid, 0)
    except (OSError, msgspec.DecodeError):
        return None
    return found


def broker_address(data_dir: Path, given: str | None) -> str:
    """The Kafka address a command should use: the one given, else that of the running process.

    Raises:
        BrokerUnavailable: none was given and nothing runs.
    """
    if given:
        return given
    found = running(data_dir)
    if found is None:
        raise BrokerUnavailable(
            f"no running `homeostat up` uses {data_dir}",
            fix="start it, or say where Kafka is: --broker kafka://host:9092",
        )
    return f"kafka://{found.broker}"
