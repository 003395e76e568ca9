"""Where the embedded process puts what its receivers took."""

from __future__ import annotations

from typing import Any, cast

from contracts.ports import Broker, ManualClock
from contracts.topics import OTLP_LOGS, OTLP_SPANS
from contracts.units import SECOND
from homeostat.spreading import BYTES_S, Spreading


class Log:
    """Notes the partition of what is sent."""

    def __init__(self) -> None:
        self.sent: list[tuple[str, int]] = []

    async def send(self, topic: str, value: bytes, *, partition: int, **_: Any) -> None:
        """Take a message."""
        self.sent.append((topic, partition))

    def used(self, topic: str) -> list[int]:
        """Partitions that messages of a topic went to since this was asked last."""
        found = [p for t, p in self.sent if t == topic]
        self.sent = [(t, p) for t, p in self.sent if t != topic]
        return found


class Senders:
    """Ten messages a second of some bytes a second, of each of two topics."""

    def __init__(self) -> None:
        self.log, self.clock = Log(), ManualClock(SECOND)
        self._to = Spreading(cast("Broker", self.log), {OTLP_SPANS: 3, OTLP_LOGS: 2}, self.clock)

    async def send(self, seconds: int, spans: int, logs: int) -> None:
        """Go on for so long."""
        for _ in range(10 * seconds):
            self.clock.advance_to(self.clock.now_ns() + SECOND // 10)
            await self._to.send(OTLP_SPANS, bytes(spans // 10))
            await self._to.send(OTLP_LOGS, bytes(logs // 10))


async def test_what_one_partition_holds_goes_into_one() -> None:
    senders = Senders()
    await senders.send(30, BYTES_S - 10, BYTES_S // 10)
    assert set(senders.log.used(OTLP_SPANS)) == set(senders.log.used(OTLP_LOGS)) == {0}


async def test_more_partitions_take_turns_where_more_comes_each_topic_by_itself() -> None:
    senders = Senders()
    await senders.send(5, BYTES_S * 2 - 10, BYTES_S // 10)
    senders.log.used(OTLP_SPANS)
    await senders.send(5, BYTES_S * 2 - 10, BYTES_S // 10)
    spans = senders.log.used(OTLP_SPANS)
    assert spans[:4] in ([0, 1, 0, 1], [1, 0, 1, 0])
    assert set(senders.log.used(OTLP_LOGS)) == {0}
    await senders.send(5, BYTES_S * 9, BYTES_S // 10)
    assert set(senders.log.used(OTLP_SPANS)) == {0, 1, 2}, "and never more than there are"


async def test_they_narrow_after_a_minute_in_which_fewer_were_enough() -> None:
    senders = Senders()
    for _ in range(5):  # it comes and goes: each time they narrow, what is left holds windows up
        await senders.send(6, BYTES_S * 3 - 10, 10)
        await senders.send(20, BYTES_S // 2, 10)
        senders.log.used(OTLP_SPANS)
        await senders.send(2, BYTES_S // 2, 10)
        assert set(senders.log.used(OTLP_SPANS)) == {0, 1, 2}
    await senders.send(20, BYTES_S * 2 - 10, 10)
    await senders.send(30, BYTES_S // 2, 10)
    senders.log.used(OTLP_SPANS)
    await senders.send(10, BYTES_S // 2, 10)
    assert set(senders.log.used(OTLP_SPANS)) == {0, 1}, "as many as the busiest moments of that minute filled"
    await senders.send(60, BYTES_S // 2, 10)
    senders.log.used(OTLP_SPANS)
    await senders.send(10, BYTES_S // 2, 10)
    assert set(senders.log.used(OTLP_SPANS)) == {0}
