"""Where the embedded process puts what its receivers took."""

from __future__ import annotations

from typing import Any, cast

from contracts.ports import Broker
from contracts.topics import OTLP_LOGS, OTLP_SPANS
from homeostat.runtime import InTurn


class Log:
    """Notes the partition of what is sent."""

    def __init__(self) -> None:
        self.sent: list[tuple[str, int]] = []

    async def send(self, topic: str, value: bytes, *, partition: int, **_: Any) -> None:
        """Take a message."""
        self.sent.append((topic, partition))


async def test_partitions_take_turns_for_each_topic() -> None:
    log = Log()
    sender = InTurn(cast("Broker", log), {OTLP_SPANS: 3, OTLP_LOGS: 2})
    for _ in range(4):
        await sender.send(OTLP_SPANS, b"x")
        await sender.send(OTLP_LOGS, b"x")
    assert [p for t, p in log.sent if t == OTLP_SPANS] == [0, 1, 2, 0]
    assert [p for t, p in log.sent if t == OTLP_LOGS] == [0, 1, 0, 1]
