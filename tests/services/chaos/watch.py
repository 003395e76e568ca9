"""How long features stay away after an event."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field

from connectors.kafka.client import KafkaBroker
from contracts.errors import HomeostatError
from contracts.frames import FeatureFrame, unpack
from contracts.topics import FEATURES
from tests.services.chaos.traffic import SERVICES


@dataclass
class FeatureWatch:
    """Knows the newest window of each service."""

    broker: KafkaBroker
    newest: dict[str, int] = field(default_factory=dict)
    _task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to look."""
        self._task = asyncio.create_task(self._run(), name="feature-watch")

    async def stop(self) -> None:
        """End looking."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _run(self) -> None:
        while True:
            try:
                async for record in self.broker.read([FEATURES], from_beginning=False, follow=True):
                    frame = unpack(FeatureFrame, record.value)
                    if frame.signal == "spans" and frame.environment == "prod":
                        for service, n in zip(frame.services, frame.counts, strict=True):
                            if n:
                                self.newest[service] = max(frame.window_ns, self.newest.get(service, 0))
            except HomeostatError:
                await asyncio.sleep(0.1)

    async def resumed(self, since_ns: int, within_s: float) -> float:
        """Seconds until there is, of every service, a window that began after `since_ns`; `within_s` if there is none."""
        began = time.monotonic()
        while time.monotonic() - began < within_s:
            if all(self.newest.get(s, 0) > since_ns for s in SERVICES):
                break
            await asyncio.sleep(0.05)
        return time.monotonic() - began
