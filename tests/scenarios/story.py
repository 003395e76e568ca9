"""What a scenario listens to, and the few verbs it is written in."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, TypeVar

from connectors.kafka.client import KafkaBroker
from contracts.events import ActionRecord, Anomaly, DeadLetter, Decision, Event, Feedback, Incident, decode
from contracts.features import Signal
from contracts.frames import EvidenceFrame, unpack
from contracts.ports import Record
from contracts.settings import BrokerSettings
from contracts.topics import ACTIONS, ANOMALIES, DEADLETTER, DECISIONS, EVIDENCE, FEEDBACK, INCIDENTS
from tests.patience import PATIENCE_S

E = TypeVar("E", bound=Event)
KINDS: dict[str, type[Event]] = {
    ANOMALIES: Anomaly,
    INCIDENTS: Incident,
    DECISIONS: Decision,
    ACTIONS: ActionRecord,
    FEEDBACK: Feedback,
    DEADLETTER: DeadLetter,
}


class Story:
    """Every event on the topics, in the order heard, as any other Kafka client hears it."""

    def __init__(self) -> None:
        self.records: list[Record] = []
        self.events: list[Event] = []
        self.states: dict[str, list[str]] = {}
        """What detection says of each service, window by window."""
        self._news = asyncio.Condition()

    async def follow(self, bootstrap: str) -> None:
        """Listen for ever."""
        broker = KafkaBroker(BrokerSettings(url=f"kafka://{bootstrap}"))
        async for record in broker.read([*KINDS, EVIDENCE], follow=True):
            async with self._news:
                self._take(record)
                self._news.notify_all()

    def _take(self, record: Record) -> None:
        if record.topic != EVIDENCE:
            self.records.append(record)
            self.events.append(decode(KINDS[record.topic], record.value))
            return
        frame = unpack(EvidenceFrame, record.value)
        if frame.signal == Signal.SPANS:
            for service, state in zip(frame.services, frame.state, strict=True):
                self.states.setdefault(service, []).append(state)

    def all(self, kind: type[E], wanted: Callable[[E], bool] = lambda _: True, since: int = 0) -> list[E]:
        """Events of a kind that are wanted, from the `since`th event on."""
        return [e for e in self.events[since:] if isinstance(e, kind) and wanted(e)]

    async def want(self, kind: type[E], wanted: Callable[[E], bool] = lambda _: True, since: int = 0) -> E:
        """Wait for the first event of a kind that is wanted."""
        try:
            async with asyncio.timeout(PATIENCE_S), self._news:
                await self._news.wait_for(lambda: self.all(kind, wanted, since))
        except TimeoutError:
            heard = "\n".join(f"{type(e).__name__}: {getattr(e, 'text', '')}" for e in self.events[since:])
            raise AssertionError(f"no {kind.__name__} as wanted; heard:\n{heard}") from None
        return self.all(kind, wanted, since)[0]


@asynccontextmanager
async def listening(bootstrap: str) -> AsyncIterator[Story]:
    """A story that is listened to while the block runs."""
    story = Story()
    following = asyncio.create_task(story.follow(bootstrap), name="story")
    try:
        yield story
        assert not following.done(), following.exception()
    finally:
        following.cancel()
        await asyncio.gather(following, return_exceptions=True)


async def homeostat(data: Path, *arguments: str) -> str:
    """Run the command line as a person would beside the running process; what it printed. Fails if it fails."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "homeostat", "--data-dir", str(data), *arguments),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={**os.environ, "COLUMNS": "200"},
    )
    out, err = await asyncio.wait_for(process.communicate(), PATIENCE_S)
    assert process.returncode == 0, f"homeostat {' '.join(arguments)}: {err.decode()}{out.decode()}"
    return out.decode()


async def until(condition: Callable[[], Any], seconds: float = PATIENCE_S) -> None:
    """Wait until something holds."""
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.05)
