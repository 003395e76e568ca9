"""Sources bring telemetry by the way of the receivers: in order, counted, and none of it lost without a word."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import aclosing
from pathlib import Path

import pytest

from connectors.sources import file_source, open_sources, source_intake
from connectors.sources.source_intake import SourceIntake
from contracts.checks import source as suite
from contracts.checks.source import SourceSubject
from contracts.errors import ActionFailed, BrokerUnavailable, InvalidSettings, UnknownName
from contracts.ports import Source, Telemetry
from contracts.retry import Pauses
from contracts.settings import ReceiverSettings, SourceSettings
from contracts.topics import OTLP_LOGS, OTLP_METRICS, OTLP_SPANS, RAW
from tests.patience import PATIENCE_S

SPANS = b'{"resourceSpans":[]}'
METRICS = b'{"resourceMetrics":[]}'
RAW_LINE = b'{"service":"cart","timestamp":1}'


def test_unknown_names_and_missing_settings_are_said() -> None:
    assert open_sources(SourceSettings()) == []
    with pytest.raises(UnknownName, match=r"unknown source 'fil' \(did you mean 'file'\? valid: file\)"):
        open_sources(SourceSettings(use=("fil",)))
    with pytest.raises(InvalidSettings, match=r"set sources\.files"):
        open_sources(SourceSettings(use=("file",)))


@pytest.mark.parametrize("check", suite.CHECKS, ids=lambda c: c.__name__)
async def test_file(check: Callable[[SourceSubject], Awaitable[None]], tmp_path: Path) -> None:
    one, two = tmp_path / "one.jsonl", tmp_path / "two.jsonl"
    one.write_bytes(SPANS + b"\n\n" + METRICS + b"\r\n")
    two.write_bytes(RAW_LINE + b"\n")
    settings = SourceSettings(use=("file",), files=(one, two), from_beginning=True)
    messages = [Telemetry(OTLP_SPANS, SPANS), Telemetry(OTLP_METRICS, METRICS), Telemetry(RAW, RAW_LINE)]
    await check(SourceSubject(lambda: open_sources(settings)[0], messages))


async def test_a_file_is_followed_through_growth_rotation_and_half_lines(tmp_path: Path) -> None:
    file = tmp_path / "grows.jsonl"
    file.write_bytes(b"what was there before\n")
    (source,) = open_sources(SourceSettings(use=("file",), files=(file,)))
    messages = source.messages()

    async def after(write: Callable[[], object]) -> bytes:
        waiting = asyncio.ensure_future(anext(messages))
        await asyncio.sleep(2 * file_source.LOOK_S)  # it has looked, and found nothing
        assert not waiting.done()
        write()
        return (await waiting).payload

    def append(text: bytes) -> None:
        with file.open("ab") as f:
            f.write(text)

    def rotate() -> None:
        file.rename(tmp_path / "old.jsonl")
        file.write_bytes(METRICS + b"\n")

    async with asyncio.timeout(PATIENCE_S):
        assert await after(lambda: append(SPANS + b'\n{"resource')) == SPANS
        assert await after(lambda: append(b'Logs":[]}\n')) == b'{"resourceLogs":[]}'
        assert await after(rotate) == METRICS
    await messages.aclose()
    await source.close()


class Script:
    """A source that brings what it is told to, then ends."""

    name = "script"

    def __init__(self, messages: Sequence[Telemetry | Exception]) -> None:
        self.script = list(messages)
        self.asked = 0
        self.closed = False

    async def messages(self) -> AsyncGenerator[Telemetry]:
        while self.script:
            self.asked += 1
            message = self.script.pop(0)
            if isinstance(message, Exception):
                raise message
            yield message

    async def close(self) -> None:
        self.closed = True


class Log:
    """Takes messages, unless it is away."""

    def __init__(self) -> None:
        self.taken: list[tuple[str, bytes]] = []
        self.away = 0

    async def send(self, topic: str, value: bytes) -> None:
        if self.away:
            self.away -= 1
            raise BrokerUnavailable("the log is away")
        self.taken.append((topic, value))


async def take_in(source: Source, log: Log, until: Callable[[SourceIntake], bool], **settings: int) -> SourceIntake:
    intake = SourceIntake(source, ReceiverSettings.model_validate({"coalesce_ms": 0, **settings}), log.send)
    intake.start()
    async with asyncio.timeout(PATIENCE_S):
        while not until(intake):
            await asyncio.sleep(0.01)
    await intake.stop()
    return intake


def otlp(*, size: int = 1) -> bytes:
    log = {"timeUnixNano": "1700000000000000000", "body": {"stringValue": "x" * 100}}
    return json.dumps({"resourceLogs": [{"scopeLogs": [{"logRecords": [log]}]}] * size}).encode()


async def test_messages_are_counted_as_those_of_receivers() -> None:
    script, log = Script([Telemetry(OTLP_LOGS, otlp()), Telemetry(RAW, RAW_LINE)]), Log()
    intake = await take_in(script, log, lambda _: len(log.taken) == 2)
    assert log.taken == [(OTLP_LOGS, otlp()), (RAW, RAW_LINE)]
    assert intake.counters() == {"received": 2, "sent": 2}
    assert script.closed


async def test_large_messages_are_split() -> None:
    log = Log()
    await take_in(
        Script([Telemetry(OTLP_LOGS, otlp(size=50))]),
        log,
        lambda _: len(log.taken) > 5,
        max_message_bytes=1024,
        coalesce_bytes=1024,
    )
    records = [r for _, value in log.taken for r in json.loads(value)["resourceLogs"]]
    assert len(records) == 50
    assert max(len(value) for _, value in log.taken) <= 1024


async def test_what_is_no_telemetry_goes_in_to_be_dead_lettered() -> None:
    log = Log()
    intake = await take_in(
        Script([Telemetry(OTLP_SPANS, b"nonsense"), Telemetry(OTLP_LOGS, otlp())]), log, lambda _: len(log.taken) == 2
    )
    assert log.taken[0] == (OTLP_SPANS, b"nonsense")
    assert intake.counters() == {"received": 2, "sent": 2, "refused_not_otlp": 1}


async def test_while_the_log_is_away_nothing_is_lost_and_no_more_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(source_intake, "PAUSES", Pauses(0.01, 10.0))
    log, script = Log(), Script([Telemetry(OTLP_LOGS, otlp()), Telemetry(OTLP_METRICS, METRICS)])
    log.away = 3
    seen: list[tuple[int, str]] = []

    def done(intake: SourceIntake) -> bool:
        if log.away:
            seen.append((script.asked, intake.trouble))
        return len(log.taken) == 2

    intake = await take_in(script, log, done)
    assert {asked for asked, _ in seen} <= {0, 1}
    assert "the log is away" in {trouble for _, trouble in seen}
    assert intake.trouble == ""
    assert intake.counters()["retried"] == 3


async def test_what_the_log_refuses_is_counted_and_left_out_alone() -> None:
    class Narrow(Log):
        async def send(self, topic: str, value: bytes) -> None:
            if topic == RAW:
                raise ActionFailed("too large", reason="too_large")
            await super().send(topic, value)

    log = Narrow()
    intake = await take_in(
        Script([Telemetry(RAW, RAW_LINE), Telemetry(OTLP_LOGS, otlp())]), log, lambda _: len(log.taken) == 1
    )
    assert intake.counters()["refused_too_large"] == 1


async def test_a_file_forgets_no_line_that_the_log_does_not_have(tmp_path: Path) -> None:
    """Whatever ends the asking, the next one begins with the line that was not taken."""
    file = tmp_path / "three.jsonl"
    file.write_bytes(SPANS + b"\n" + METRICS + b"\n" + RAW_LINE + b"\n")
    (source,) = open_sources(SourceSettings(use=("file",), files=(file,), from_beginning=True))
    async with aclosing(source.messages()) as messages:
        assert [(await anext(messages)).payload for _ in range(2)] == [SPANS, METRICS]
    async with aclosing(source.messages()) as messages:
        assert [(await anext(messages)).payload for _ in range(2)] == [METRICS, RAW_LINE]
    await source.close()


async def test_one_that_fails_is_asked_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    log = Log()
    script = Script([Telemetry(OTLP_LOGS, otlp()), ConnectionError("reset"), Telemetry(OTLP_METRICS, METRICS)])
    await take_in(script, log, lambda _: len(log.taken) == 2)
    assert [topic for topic, _ in log.taken] == [OTLP_LOGS, OTLP_METRICS]
