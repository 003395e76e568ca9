"""Prometheus' remote write against the HTTP receiver: what is answered, and what goes into the log."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable

import aiohttp
import pytest

from connectors.otlp.decode import decode
from connectors.otlp.receivers import OtlpReceivers
from contracts.errors import BrokerUnavailable
from contracts.settings import ReceiverSettings
from contracts.topics import OTLP_METRICS
from tests.unit.connectors.encodings.writes import TARGET, first, histogram, second

VERSION_1 = {"Content-Type": "application/x-protobuf", "Content-Encoding": "snappy"}
VERSION_2 = {
    "Content-Type": "application/x-protobuf;proto=io.prometheus.write.v2.Request",
    "Content-Encoding": "snappy",
}
SERIES = [*histogram("http_server_request_duration_seconds", [4, 7, 9, 10]), ("process_cpu_seconds_total", TARGET, 1.0)]


class WriteLog:
    """Keeps what is sent; fails on demand."""

    def __init__(self) -> None:
        self.messages: list[tuple[str, bytes]] = []
        self.failure: Exception | None = None

    async def send(self, topic: str, value: bytes) -> None:
        """Take a message."""
        if self.failure is not None:
            raise self.failure
        self.messages.append((topic, value))


@pytest.fixture
def log() -> WriteLog:
    return WriteLog()


@pytest.fixture
async def receivers(log: WriteLog) -> AsyncIterator[OtlpReceivers]:
    running = OtlpReceivers(ReceiverSettings(grpc_port=0, http_port=0, max_message_bytes=4096), log.send)
    await running.start()
    yield running
    await running.stop()


async def write(receivers: OtlpReceivers, body: bytes, headers: dict[str, str]) -> tuple[int, dict[str, str], str]:
    """Status, headers and text of the answer."""
    url = f"{receivers.http_address}/api/v1/write"
    async with aiohttp.ClientSession() as session, session.post(url, data=body, headers=headers) as answer:
        return answer.status, dict(answer.headers), await answer.text()


@pytest.mark.parametrize(("make", "headers"), [(first, VERSION_1), (second, VERSION_2)])
async def test_a_write_goes_into_the_log_as_otlp(
    receivers: OtlpReceivers, log: WriteLog, make: Callable[..., bytes], headers: dict[str, str]
) -> None:
    status, told, text = await write(receivers, make(SERIES), headers)
    assert (status, text) == (204, "")
    assert told["X-Prometheus-Remote-Write-Samples-Written"] == str(len(SERIES))
    ((topic, value),) = log.messages
    assert topic == OTLP_METRICS
    decoded = decode(topic, value)
    assert decoded.points is not None
    assert decoded.histograms is not None
    assert decoded.resources[0].service == "shop/cart"


async def test_a_large_write_is_cut_into_messages(receivers: OtlpReceivers, log: WriteLog) -> None:
    many = [("process_cpu_seconds_total", {"job": f"s{i}", "instance": f"i{i}"}, 1.0) for i in range(200)]
    status, _, _ = await write(receivers, first(many), VERSION_1)
    assert status == 204
    assert all(len(value) <= 4096 for _, value in log.messages)
    points = [decode(*message).points for message in log.messages]
    assert sum(len(p) for p in points if p is not None) == len(many)


@pytest.mark.parametrize(
    ("body", "headers", "status", "words"),
    [
        (b"text", VERSION_1, 400, "snappy"),
        (first(SERIES)[:40], VERSION_1, 400, "snappy"),
        (b"", VERSION_1, 400, ""),
        (b"\xff\xff\xff\xff\x0f\x00", VERSION_1, 413, "after decompression"),
        (first(SERIES), {**VERSION_1, "Content-Type": "application/json"}, 415, "application/x-protobuf"),
        (
            first(SERIES),
            {**VERSION_1, "Content-Type": "application/x-protobuf;proto=x.Y"},
            415,
            "prometheus.WriteRequest",
        ),
        (first(SERIES), {**VERSION_1, "Content-Encoding": "gzip"}, 415, "snappy"),
    ],
)
async def test_what_is_no_write_is_refused(
    receivers: OtlpReceivers, log: WriteLog, body: bytes, headers: dict[str, str], status: int, words: str
) -> None:
    found, told, text = await write(receivers, body, headers)
    assert found == status
    assert words in text.lower() or words in text
    assert told["X-Prometheus-Remote-Write-Samples-Written"] == "0"
    assert not log.messages
    assert sum(n for name, n in receivers.counters().items() if name.startswith("refused_")) == 1


async def test_while_the_log_is_away_senders_are_told_to_come_again(receivers: OtlpReceivers, log: WriteLog) -> None:
    log.failure = BrokerUnavailable("away")
    status, told, _ = await write(receivers, first(SERIES), VERSION_1)
    assert status == 503
    assert int(told["Retry-After"]) > 0


async def test_what_cannot_be_said_in_otlp_is_counted(receivers: OtlpReceivers) -> None:
    status, _, _ = await write(receivers, first(SERIES[:2]), VERSION_1)
    assert status == 204
    assert receivers.counters()["left_out_split_histogram"] == 2
