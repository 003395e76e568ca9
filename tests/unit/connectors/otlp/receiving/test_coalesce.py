"""Small messages go together; each sender hears of its own, and a broken one harms nobody."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from typing import Any

import pytest

from connectors.otlp.decode import decode
from connectors.otlp.receiving.coalesce import Coalescer
from connectors.otlp.receiving.join import entries, join
from contracts.errors import BrokerUnavailable, UndecodableTelemetry
from contracts.frames import Decoded
from contracts.topics import OTLP_LOGS, OTLP_METRICS, OTLP_SPANS, RAW
from tests.checks.fuzz.garbage import garbage, good
from tests.patience import PATIENCE_S
from tests.unit.connectors.otlp.builders import T0, as_json, traces

WAIT_S = 0.2


def span(name: str) -> Any:
    return traces({"service.name": "cart"}, {"name": name})


class Log:
    """Keeps what is sent, when its gate is open."""

    def __init__(self) -> None:
        self.values: list[tuple[str, bytes]] = []
        self.gate = asyncio.Event()
        self.gate.set()
        self.failure: Exception | None = None

    async def send(self, topic: str, value: bytes) -> None:
        self.values.append((topic, value))
        await self.gate.wait()
        if self.failure is not None:
            raise self.failure

    def names(self) -> list[list[str]]:
        """Names of the spans of each message."""
        found = []
        for topic, value in self.values:
            decoded = decode(topic, value)
            assert decoded.spans is not None
            found.append([decoded.strings[n] for n in decoded.spans.name])
        return found


def coalescer(log: Log, most: int = 1 << 18) -> Coalescer:
    return Coalescer(log.send, wait_s=WAIT_S, most_bytes=most)


async def test_the_first_goes_at_once_and_those_that_follow_together() -> None:
    log = Log()
    together = coalescer(log)
    await together.put(OTLP_SPANS, span("first").SerializeToString(), False)
    assert log.names() == [["first"]]
    await asyncio.gather(*(together.put(OTLP_SPANS, span(f"n{i}").SerializeToString(), False) for i in range(20)))
    assert log.names() == [["first"], [f"n{i}" for i in range(20)]]
    assert together.counters == {"received": 21, "sent": 2}


async def test_encodings_and_signals_do_not_mix() -> None:
    log = Log()
    together = coalescer(log)
    sent = [
        (OTLP_SPANS, span("p").SerializeToString(), False),
        (OTLP_SPANS, as_json(span("j")), True),
        (OTLP_LOGS, good(T0)[OTLP_LOGS][0], False),
    ]
    await asyncio.gather(*(together.put(*s) for s in sent))
    await asyncio.gather(*(together.put(*s) for s in sent * 3))
    assert len(log.values) == 6
    for topic, value in log.values:
        decode(topic, value)


async def test_much_goes_before_the_time_is_over() -> None:
    log = Log()
    one = span("x" * 200).SerializeToString()
    together = Coalescer(log.send, wait_s=60, most_bytes=4 * len(one))
    await together.put(OTLP_SPANS, one, False)
    puts = [asyncio.create_task(together.put(OTLP_SPANS, one, False)) for _ in range(9)]
    await asyncio.sleep(0)
    await asyncio.wait(puts[:8], timeout=PATIENCE_S)
    assert [len(names) for names in log.names()] == [1, 4, 4]
    await together.put(
        OTLP_SPANS, span("y" * 5000).SerializeToString(), False
    )  # large: alone, and it takes what waited along
    assert [len(names) for names in log.names()] == [1, 4, 4, 1, 1]
    await asyncio.gather(*puts)


async def test_nobody_is_answered_before_the_log_has_it() -> None:
    log = Log()
    together = coalescer(log)
    await together.put(OTLP_SPANS, span("first").SerializeToString(), False)
    log.gate.clear()
    puts = [asyncio.create_task(together.put(OTLP_SPANS, span(f"n{i}").SerializeToString(), False)) for i in range(3)]
    async with asyncio.timeout(PATIENCE_S):
        while len(log.values) < 2:
            await asyncio.sleep(0.01)
    assert not any(p.done() for p in puts)
    log.gate.set()
    await asyncio.gather(*puts)


async def test_a_failure_is_told_to_everybody_in_the_message() -> None:
    log = Log()
    together = coalescer(log)
    await together.put(OTLP_SPANS, span("first").SerializeToString(), False)
    log.failure = BrokerUnavailable("away")
    puts = [together.put(OTLP_SPANS, span(f"n{i}").SerializeToString(), False) for i in range(3)]
    found = await asyncio.gather(*puts, return_exceptions=True)
    assert all(isinstance(e, BrokerUnavailable) for e in found)
    assert len(log.values) == 2


async def test_a_sender_that_went_away_is_over_only_when_the_log_is_done() -> None:
    log, over = Log(), []
    together = coalescer(log)
    log.gate.clear()
    put = asyncio.create_task(together.put(OTLP_SPANS, span("a").SerializeToString(), False, lambda: over.append(1)))
    async with asyncio.timeout(PATIENCE_S):
        while not log.values:
            await asyncio.sleep(0)
    put.cancel()
    await asyncio.gather(put, return_exceptions=True)
    assert not over
    log.failure = BrokerUnavailable("away")
    log.gate.set()
    await together.close()
    await asyncio.sleep(0)
    assert over == [1]


async def test_at_the_end_nothing_waits() -> None:
    log = Log()
    together = Coalescer(log.send, wait_s=3600, most_bytes=1 << 18)
    await together.put(OTLP_SPANS, span("a").SerializeToString(), False)
    put = asyncio.create_task(together.put(OTLP_SPANS, span("b").SerializeToString(), False))
    await asyncio.sleep(0)
    await together.close()
    await put
    assert log.names() == [["a"], ["b"]]


async def test_a_broken_message_goes_alone() -> None:
    log = Log()
    together = coalescer(log)
    whole = span("whole").SerializeToString()
    await together.put(OTLP_SPANS, whole, False)
    await asyncio.gather(*(together.put(OTLP_SPANS, m, False) for m in (whole, whole[:-3], whole, b"\n\x03abc")))
    assert sorted(len(v) for _, v in log.values[1:]) == sorted([2 * len(whole), len(whole) - 3, 5])


def outcome(decoded: Decoded) -> tuple[Counter[tuple[Any, ...]], Counter[str]]:
    """What was read, in a form that doesn't depend on how it was numbered."""
    rows: Counter[tuple[Any, ...]] = Counter()
    texts, resources = decoded.strings, decoded.resources
    for kind in ("spans", "points", "histograms", "logs"):
        batch = getattr(decoded, kind)
        for i in range(0 if batch is None else len(batch)):
            row = {
                c: getattr(batch, c)[i]
                for c in ("resource", "name", "peer", "body", "time_ns", "end_ns", "value")
                if hasattr(batch, c)
            }
            named = {
                c: texts[v] if c in ("name", "peer", "body") else resources[v] if c == "resource" else float(v)
                for c, v in row.items()
            }
            rows[kind, *sorted((k, str(v)) for k, v in named.items())] += 1
    return rows, Counter(decoded.skipped)


@pytest.mark.parametrize("seed", range(2))
def test_joined_messages_are_read_as_each_alone(seed: int) -> None:
    rng = random.Random(seed)
    groups: dict[tuple[str, bool], list[bytes]] = {}
    joinable = 0
    for topic, payload in garbage(seed, 1500, T0):
        is_json = payload.lstrip()[:1] == b"{"
        if topic == RAW:
            continue
        part = entries(topic, payload, is_json)
        if part is not None:
            decode(topic, payload)  # never one that would have been refused alone
            joinable += payload not in good(T0)[topic]
            groups.setdefault((topic, is_json), []).append(payload)
    assert joinable > 20, "some damaged messages still can be read, and only those are joined"
    for (topic, is_json), payloads in groups.items():
        for _ in range(25):
            some = rng.choices(payloads, k=rng.randint(1, 8))
            rows, skipped = Counter[Any](), Counter[str]()
            for payload in some:
                one = outcome(decode(topic, payload))
                rows, skipped = rows + one[0], skipped + one[1]
            parts = [e for p in some if (e := entries(topic, p, is_json)) is not None]
            try:
                assert outcome(decode(topic, join(topic, parts, is_json))) == (rows, skipped)
            except UndecodableTelemetry:
                assert not rows


def test_what_goes_alone() -> None:
    spans, metrics, logs = (good(T0)[t] for t in (OTLP_SPANS, OTLP_METRICS, OTLP_LOGS))
    assert entries(OTLP_SPANS, spans[0], False) == spans[0]
    assert entries(OTLP_SPANS, spans[2], True) is not None
    assert entries(OTLP_SPANS, logs[0], False) is None, "of another signal"
    assert entries(OTLP_METRICS, spans[2], True) is None
    assert entries(OTLP_METRICS, metrics[3], True) is None, "snake_case"
    assert entries(OTLP_SPANS, b"\n\x00", False) is None, "nothing in it"
    assert entries(OTLP_SPANS, b'{"resourceSpans":[]}', True) is None
    assert entries(OTLP_SPANS, spans[2][:-1] + b',"other":[1]}', True) is None, "something else in it"
