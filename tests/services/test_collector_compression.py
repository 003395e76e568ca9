"""The Collector's OTLP exporter with each of its compressions, against the receivers: what arrives, and how it is told what does not."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any, Final

import pytest
import yaml
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter

from connectors.otlp.receivers import OtlpReceivers
from contracts.settings import ReceiverSettings
from contracts.topics import OTLP_SPANS
from tests.services.servers.collector import CollectorServer, collector
from tests.services.servers.process import PATIENCE_S, free_port
from tests.unit.connectors.otlp.test_receivers import Log, export_a_span, the_span

REFUSED: Final = "Error parsing 'grpc-encoding' metadata"
pytestmark = pytest.mark.timeout(600)


@pytest.fixture
async def log() -> AsyncIterator[tuple[Log, OtlpReceivers]]:
    """Receivers on ports of their own, and what they were sent."""
    found = Log()
    running = OtlpReceivers(ReceiverSettings(grpc_port=0, http_port=0), found.send)
    await running.start()
    yield found, running
    await running.stop()


def _config(port: int, endpoint: str, compression: str) -> str:
    exporter: dict[str, Any] = {"endpoint": endpoint, "tls": {"insecure": True}, "compression": compression}
    pipeline = {"receivers": ["otlp"], "exporters": ["otlp"]}
    text: str = yaml.safe_dump(
        {
            "receivers": {"otlp": {"protocols": {"grpc": {"endpoint": f"127.0.0.1:{port}"}}}},
            "exporters": {"otlp": exporter},
            "service": {"pipelines": {"traces": pipeline}, "telemetry": {"metrics": {"level": "none"}}},
        }
    )
    return text


async def _until(condition: Callable[[], object], what: Callable[[], str]) -> None:
    end = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < end, f"not in {PATIENCE_S} s: {what()}"
        await asyncio.sleep(0.05)


async def _send(server: CollectorServer, port: int) -> None:
    exporter = OTLPSpanExporter(endpoint=f"127.0.0.1:{port}", insecure=True)
    await asyncio.to_thread(export_a_span, exporter)
    assert server.process.text()


@pytest.mark.parametrize("compression", ["none", "gzip"])
async def test_what_the_collector_sends_arrives(log: Any, compression: str, tmp_path: Path) -> None:
    found, running = log
    port = free_port()
    async with collector(tmp_path, _config(port, running.grpc_address, compression)) as server:
        await _send(server, port)
        await _until(lambda: found.messages, server.process.text)
    assert found.messages[0][0] == OTLP_SPANS
    assert the_span(found) == "checkout GET /orders"


@pytest.mark.parametrize("compression", ["zstd", "snappy"])
async def test_what_grpc_does_not_know_is_refused_and_the_collector_says_why(
    log: Any, compression: str, tmp_path: Path
) -> None:
    """As docs/telemetry.md has it. Should the library learn them one day, this fails, and what it says there is to be taken back."""
    found, running = log
    port = free_port()
    async with collector(tmp_path, _config(port, running.grpc_address, compression)) as server:
        await _send(server, port)
        await _until(lambda: REFUSED in server.process.text(), server.process.text)
        text = server.process.text()
    assert "Internal" in text
    assert "Dropping data" in text
    assert found.messages == []
