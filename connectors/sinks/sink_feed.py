"""What gives a sink its events: in order, at least once, beside the pipeline and never in its way.

A feed reads the topics by itself, as a consumer group of its own, so that a slow or broken sink holds up nothing but itself. What the
sink took is committed; after a failure the same events are tried again with growing pauses, for at most `retry_s`, then they are
given up, which is counted and logged, so that one event that can't be delivered doesn't keep back all after it for ever.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import Counter
from collections.abc import Sequence
from typing import Final

from connectors.kafka.group_reader import GroupReader
from contracts.errors import HomeostatError, Permanent, UnreadableEvent
from contracts.ports import Published, Record, Sink
from contracts.retry import Pauses, retrying, within
from contracts.settings import SinkSettings
from contracts.supervision import Supervised

log = logging.getLogger(__name__)
GRACE_S: Final = 2.0
"""What is under way when it is stopped may end for so long."""
PAUSES: Final = Pauses(first_s=0.5, longest_s=30.0)


class SinkFeed:
    """Feeds one sink from `reader` until stopped."""

    def __init__(self, sink: Sink, reader: GroupReader, settings: SinkSettings) -> None:
        self._sink, self._reader, self._settings = sink, reader, settings
        self._task = Supervised("sink", self._run, detail=sink.name)
        self._idle, self._free, self._stopping = asyncio.Event(), asyncio.Event(), False
        self._free.set()
        self.counters: Counter[str] = Counter()
        """Events `delivered`, `retried`, `refused` by the sink, `given_up` after `retry_s`, and `unreadable`."""
        self.trouble = ""
        """Why nothing is delivered now, in words; empty where all is well."""

    @property
    def name(self) -> str:
        """The sink's name."""
        return self._sink.name

    def start(self) -> None:
        """Begin."""
        self._task.start()

    async def stop(self, drain_s: float = 0.0) -> None:
        """End; where the log ends with this process, after what is there was delivered, but for no longer than `drain_s`."""
        if drain_s and self._task.running and not self.trouble:
            try:
                async with asyncio.timeout(drain_s):
                    await self._drained()
            except TimeoutError:
                log.warning("sink %s has not got all events", self.name)
        self._stopping = True
        # What a sink took, and the group doesn't know of, would be given to it again.
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(GRACE_S):
                await self._free.wait()
        await self._task.stop()
        await self._reader.stop()
        await self._sink.close()

    async def _drained(self) -> None:
        while True:
            self._idle.clear()
            await self._idle.wait()
            if not await self._reader.behind() and self._free.is_set():
                return

    async def _run(self) -> None:
        try:
            await self._reader.start()
            self.trouble = ""
            while True:
                records = await self._reader.take(self._settings.batch)
                if not records:
                    self._idle.set()
                    continue
                if self._stopping:
                    return
                self._free.clear()
                await self._deliver(self._readable(records))
                await self._reader.done(records)
                self._free.set()
        except Exception as e:
            self.trouble = str(e) or type(e).__name__
            raise
        finally:
            self._free.set()
            await self._reader.stop()

    def _readable(self, records: Sequence[Record]) -> list[Published]:
        events: list[Published] = []
        for record in records:
            try:
                events.append(Published.of(record))
            except UnreadableEvent as e:
                self.counters["unreadable"] += 1
                log.warning("%s/%d/%d is not given to sinks: %s", record.topic, record.partition, record.offset, e)
        return events

    async def _deliver(self, events: Sequence[Published]) -> None:
        """Deliver events in order, as often as it takes within `retry_s`."""
        if not events:
            return
        patience = within(self._settings.retry_s)

        async def delivered() -> None:
            async with asyncio.timeout(self._settings.timeout_s):
                await self._sink.deliver(events)

        def told(error: Exception, _pause_s: float) -> None:
            self.counters["retried"] += len(events)
            self._fail(error, len(events))

        def until(error: Exception, pause_s: float) -> bool:
            return isinstance(error, Permanent) or patience(error, pause_s)

        try:
            await retrying(delivered, until, pauses=PAUSES, on=Exception, told=told)
        except Permanent as e:
            if len(events) > 1:  # which one is it?
                for event in events:
                    await self._deliver([event])
            else:
                self._pass_over(events, "refused", e)
        except Exception as e:  # noqa: BLE001 - whatever a sink raises
            self._pass_over(events, "given_up", e)
        else:
            self.counters["delivered"] += len(events)
            self.trouble = ""

    def _fail(self, error: Exception, count: int) -> None:
        why = (
            "it takes too long"
            if isinstance(error, TimeoutError) and not str(error)
            else str(error) or type(error).__name__
        )
        if not self.trouble:  # once, not at each attempt
            known = isinstance(error, HomeostatError | TimeoutError)
            log.warning(
                "sink %s does not take events, trying again: %s", self.name, why, exc_info=None if known else error
            )
        self.trouble = f"{count} events wait: {why}"

    def _pass_over(self, events: Sequence[Published], what: str, error: Exception) -> None:
        self.counters[what] += len(events)
        log.error(
            "sink %s: %d events are %s, the first is %s %s: %s",
            self.name,
            len(events),
            what,
            events[0].topic,
            events[0].key,
            error,
        )
