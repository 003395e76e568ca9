"""Recordings: files of OTLP JSON, one message per line (as the Collector's file exporter writes them), plain or gzip.

Messages come out in event-time order over all files. Memory is bounded: up to `buffer_bytes` of messages wait for earlier
ones, so the order is exact as long as no message stands further than that behind a later one.
"""

from __future__ import annotations

import gzip
import heapq
import re
import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final

from connectors.otlp.raw import epoch_ns
from contracts.errors import InvalidSettings, UndecodableTelemetry
from contracts.topics import OTLP_LOGS, OTLP_METRICS, OTLP_SPANS, RAW

BUFFER_BYTES: Final = 64 * 1024 * 1024
_TIME: Final = re.compile(rb'[tT]ime(?:UnixN|_unix_n)ano"\s*:\s*"?([1-9]\d{0,18})(?!\d)')
_RAW_TIME: Final = re.compile(rb'"timestamp"\s*:\s*"?([^",}]+)')
_RAW_SERVICE: Final = b'"service"'
_MARKERS: Final = (
    (OTLP_SPANS, (b'"resourceSpans"', b'"resource_spans"')),
    (OTLP_METRICS, (b'"resourceMetrics"', b'"resource_metrics"')),
    (OTLP_LOGS, (b'"resourceLogs"', b'"resource_logs"')),
)
_HEAD: Final = 256
_GZIP_MAGIC: Final = b"\x1f\x8b"


@dataclass(frozen=True, slots=True)
class RecordedMessage:
    """One message: where it belongs, its bytes, and the latest time in it (that of the message before, where it has none)."""

    topic: str
    payload: bytes
    time_ns: int


def read(paths: Iterable[str | Path], *, buffer_bytes: int = BUFFER_BYTES) -> Iterator[RecordedMessage]:
    """The messages of all files in event-time order; equal times in the order of files and lines. Blank lines are passed
    over; a line that is no telemetry comes out on the topic it most resembles, so that it is dead-lettered there.

    Raises:
        InvalidSettings: a file cannot be opened (before the first message).
        UndecodableTelemetry: a compressed file is damaged (after what could be read of it).
    """
    files = [Path(p) for p in paths]
    for file in files:
        _check(file)
    share = buffer_bytes // max(1, len(files))
    yield from heapq.merge(*(_ordered(_messages(f), share) for f in files), key=lambda m: m.time_ns)


def topic_of(line: bytes) -> str:
    """The topic a line belongs to; where nothing says so, that of spans."""
    for part in (line[:_HEAD], line):
        for topic, markers in _MARKERS:
            if any(m in part for m in markers):
                return topic
    return RAW if _RAW_SERVICE in line else OTLP_SPANS


def latest_time_ns(line: bytes) -> int:
    """The latest time in a line; 0 where there is none. Found without parsing, so it also works on a broken line."""
    found: list[bytes] = _TIME.findall(line)
    if found:
        return max(map(int, found))
    raw = _RAW_TIME.search(line)
    return _raw_time_ns(raw[1]) if raw else 0


def _raw_time_ns(text: bytes) -> int:
    try:
        return epoch_ns(text.decode().strip())
    except (UndecodableTelemetry, UnicodeDecodeError):
        return 0


def _check(file: Path) -> None:
    try:
        with file.open("rb"):
            pass
    except OSError as e:
        raise InvalidSettings(f"cannot read the recording {file}: {e.strerror}") from e


def _open(file: Path) -> IO[bytes]:
    with file.open("rb") as start:
        compressed = start.read(2) == _GZIP_MAGIC
    return gzip.open(file, "rb") if compressed else file.open("rb")  # type: ignore[return-value]


def _messages(file: Path) -> Iterator[RecordedMessage]:
    """The messages of a file in the order of its lines."""
    before = 0
    with _open(file) as lines:
        try:
            for line in lines:
                payload = line.strip()
                if payload:
                    before = latest_time_ns(payload) or before
                    yield RecordedMessage(topic_of(payload), payload, before)
        except (EOFError, zlib.error, gzip.BadGzipFile) as e:
            raise UndecodableTelemetry(f"the recording {file} is damaged: {e}", reason="truncated") from e


def _ordered(messages: Iterator[RecordedMessage], buffer_bytes: int) -> Iterator[RecordedMessage]:
    """Messages by time, keeping at most `buffer_bytes` of them back."""
    heap: list[tuple[int, int, RecordedMessage]] = []
    held = 0
    damage: UndecodableTelemetry | None = None
    numbered = enumerate(messages)
    while True:
        try:
            number, message = next(numbered)
        except StopIteration:
            break
        except UndecodableTelemetry as e:
            damage = e
            break
        heapq.heappush(heap, (message.time_ns, number, message))
        held += len(message.payload)
        while held > buffer_bytes and len(heap) > 1:
            ready = heapq.heappop(heap)[2]
            held -= len(ready.payload)
            yield ready
    yield from _drain(heap)
    if damage is not None:
        raise damage


def _drain(heap: Sequence[tuple[int, int, RecordedMessage]]) -> Iterator[RecordedMessage]:
    return (message for _, _, message in sorted(heap, key=lambda row: row[:2]))
