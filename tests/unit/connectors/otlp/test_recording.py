"""Recordings come out in event-time order, whole, and broken lines with them."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest

from connectors.otlp.recording import RecordedMessage, latest_time_ns, read, topic_of
from contracts.errors import InvalidSettings, UndecodableTelemetry
from contracts.topics import OTLP_LOGS, OTLP_METRICS, OTLP_SPANS, RAW


def log_line(time_ns: int, body: str = "x") -> bytes:
    """A line of one log record."""
    record = {"timeUnixNano": str(time_ns), "body": {"stringValue": body}}
    return json.dumps({"resourceLogs": [{"scopeLogs": [{"logRecords": [record]}]}]}).encode()


def times(messages: list[RecordedMessage]) -> list[int]:
    """Times of messages."""
    return [m.time_ns for m in messages]


def test_order_over_plain_and_compressed_files(tmp_path: Path) -> None:
    plain, compressed = tmp_path / "a.jsonl", tmp_path / "b.jsonl.gz"
    plain.write_bytes(b"\n".join([log_line(30), log_line(10), b"", b"  ", log_line(50)]))
    compressed.write_bytes(gzip.compress(b"\r\n".join([log_line(20), log_line(40), log_line(10, "later file")])))
    messages = list(read([plain, compressed]))
    assert times(messages) == [10, 10, 20, 30, 40, 50]
    assert b"later file" in messages[1].payload
    assert {m.topic for m in messages} == {OTLP_LOGS}


def test_the_buffer_is_bounded(tmp_path: Path) -> None:
    file = tmp_path / "a.jsonl"
    file.write_bytes(b"\n".join(log_line(t) for t in [20, 10, 40, 30, 60, 50, 1]))
    size = len(log_line(10))
    assert times(list(read([file], buffer_bytes=2 * size))) == [10, 20, 30, 40, 1, 50, 60]
    assert times(list(read([file]))) == [1, 10, 20, 30, 40, 50, 60]


def test_a_bad_line_keeps_its_place_and_a_guessed_topic(tmp_path: Path) -> None:
    file = tmp_path / "a.jsonl"
    broken = b'{"resourceMetrics":[{"resource":'
    file.write_bytes(b"\n".join([log_line(10), broken, b"garbage", log_line(20)]))
    messages = list(read([file]))
    assert [(m.topic, m.time_ns) for m in messages] == [
        (OTLP_LOGS, 10),
        (OTLP_METRICS, 10),
        (OTLP_SPANS, 10),
        (OTLP_LOGS, 20),
    ]
    assert messages[1].payload == broken


@pytest.mark.parametrize(
    ("line", "topic"),
    [
        (b'{"resourceSpans":[]}', OTLP_SPANS),
        (b'{ "resource_metrics": []}', OTLP_METRICS),
        (b'{"x":"' + b" " * 1000 + b'","resourceLogs":[]}', OTLP_LOGS),
        (b'{"service":"cart","timestamp":5}', RAW),
        (b"\x00\xff", OTLP_SPANS),
    ],
)
def test_topics(line: bytes, topic: str) -> None:
    assert topic_of(line) == topic


@pytest.mark.parametrize(
    ("line", "time_ns"),
    [
        (b'{"startTimeUnixNano":"5","endTimeUnixNano":"7"}', 7),
        (b'{"time_unix_nano" : 9, "timeUnixNano":"x"}', 9),
        (b'{"timeUnixNano":"0","observedTimeUnixNano":"3"}', 3),
        (b'{"service":"a","timestamp":1700000000.5}', 1_700_000_000_500_000_000),
        (b'{"service":"a","timestamp":"2023-11-14T22:13:20Z"}', 1_700_000_000_000_000_000),
        (b'{"service":"a","timestamp":"never"}', 0),
        (b'{"timeUnixNano":"99999999999999999999999"}', 0),
        (b"", 0),
    ],
)
def test_latest_time(line: bytes, time_ns: int) -> None:
    assert latest_time_ns(line) == time_ns


def test_a_missing_file_is_named_before_anything_is_read(tmp_path: Path) -> None:
    file = tmp_path / "a.jsonl"
    file.write_bytes(log_line(10))
    with pytest.raises(InvalidSettings, match=r"none\.jsonl"):
        next(read([file, tmp_path / "none.jsonl"]))


def test_a_damaged_archive_gives_what_can_be_read_then_says_so(tmp_path: Path) -> None:
    file = tmp_path / "a.jsonl.gz"
    whole = gzip.compress(b"\n".join(log_line(t, str(t) * 50) for t in range(1, 3000)))
    file.write_bytes(whole[: len(whole) // 2])
    messages = read([file])
    assert next(messages).time_ns == 1
    with pytest.raises(UndecodableTelemetry) as caught:
        list(messages)
    assert caught.value.reason == "truncated"


@pytest.mark.shared_data
def test_recorded_incidents_are_read_whole(shared_data: Path) -> None:
    files = sorted((shared_data / "recordings").glob("*.gz"))
    assert files
    before, count = 0, 0
    for message in read(files[-1:]):
        assert message.time_ns >= before
        before, count = message.time_ns, count + 1
    with gzip.open(files[-1]) as lines:
        assert count == sum(1 for _ in lines)
