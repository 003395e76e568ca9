"""Many SDKs that each send small messages straight to the receivers: what a message costs the whole process, in CPU time.

A real `homeostat up` runs beside this process; its CPU time is read from the operating system, so that what else the machine
does counts little. The alternative is the same process with `receivers.coalesce_ms: 0`: each message into the log by itself.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import grpc.aio
import psutil
from opentelemetry.proto.trace.v1.trace_pb2 import TracesData

from contracts.ports import SystemClock
from homeostat.endpoints import Endpoints, running

SENDERS: Final = 23
EVERY_S: Final = 0.2
SPANS: Final = 10
SECONDS: Final = 20.0
_START_S: Final = 120.0
_EXPORT: Final = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"


@dataclass(frozen=True, slots=True)
class Cost:
    """CPU seconds of a process while it took so many messages, and while it took none, over the same time."""

    messages: int
    busy_s: float
    idle_s: float

    @property
    def per_message_ms(self) -> float:
        """What the messages cost, without what an idle process costs."""
        return 1000 * (self.busy_s - self.idle_s) / self.messages


def cost(coalesce_ms: int, *, seconds: float = SECONDS) -> Cost:
    """Of a fresh process with this setting."""
    with tempfile.TemporaryDirectory() as folder, _up(Path(folder), coalesce_ms) as (process, endpoints):
        measured = psutil.Process(process.pid)
        asyncio.run(_send(endpoints.otlp_grpc, min(5.0, seconds)))  # imports, first windows
        idle, began = _cpu_s(measured), time.monotonic()
        time.sleep(seconds)
        idle, lasted = _cpu_s(measured) - idle, time.monotonic() - began
        before, began = _cpu_s(measured), time.monotonic()
        sent = asyncio.run(_send(endpoints.otlp_grpc, seconds))
        time.sleep(2.0)  # what was sent last is still worked on
        busy = _cpu_s(measured) - before
        return Cost(sent, busy, idle * (time.monotonic() - began) / lasted)


@contextmanager
def _up(folder: Path, coalesce_ms: int) -> Iterator[tuple[subprocess.Popen[bytes], Endpoints]]:
    options = ["--data-dir", str(folder), "--set", f"receivers.coalesce_ms={coalesce_ms}"]
    ports = ["--grpc-port", "0", "--http-port", "0", "--api-port", "0"]
    command = [sys.executable, "-m", "homeostat", *options, "up", *ports]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            until = time.monotonic() + _START_S
            while (endpoints := running(folder)) is None:
                if process.poll() is not None or time.monotonic() > until:
                    raise RuntimeError("`homeostat up` did not start")
                time.sleep(0.2)
            yield process, endpoints
        finally:
            process.terminate()


def _cpu_s(process: psutil.Process) -> float:
    found = process.cpu_times()
    return float(found.user + found.system)


async def _send(address: str, seconds: float) -> int:
    """All senders for a time; the number of messages that were taken."""
    return sum(await asyncio.gather(*(_sender(address, n, seconds) for n in range(SENDERS))))


async def _sender(address: str, number: int, seconds: float) -> int:
    options = [("grpc.use_local_subchannel_pool", 1)]  # a connection of its own, as a process has
    async with grpc.aio.insecure_channel(address, options=options) as channel:
        export, sent = channel.unary_unary(_EXPORT), 0
        await asyncio.sleep(EVERY_S * number / SENDERS)
        began = time.monotonic()
        while (now := time.monotonic()) - began < seconds:
            await export(_message(number, sent))
            sent += 1
            await asyncio.sleep(max(0.0, EVERY_S - (time.monotonic() - now)))
        return sent


def _message(sender: int, number: int) -> bytes:
    message = TracesData()
    entry = message.resource_spans.add()
    _attribute(entry.resource, "service.name", f"service-{sender}")
    spans = entry.scope_spans.add().spans
    now = SystemClock().now_ns()
    for i in range(SPANS):
        identity = (sender << 48 | number << 16 | i) + 1
        span = spans.add(trace_id=identity.to_bytes(16, "big"), span_id=identity.to_bytes(8, "big"), kind=2)
        span.name, span.start_time_unix_nano, span.end_time_unix_nano = "GET /orders/{id}", now - 5_000_000 - i, now
        for key, value in (("http.request.method", "GET"), ("http.route", "/orders/{id}"), ("url.scheme", "http")):
            _attribute(span, key, value)
    return message.SerializeToString()


def _attribute(owner: Any, key: str, value: str) -> None:
    owner.attributes.add(key=key).value.string_value = value
