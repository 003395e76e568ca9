"""The registry of running processes on autonomous.nodes: what each is, what it owns, how it is, which switches it follows."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable

from connectors.kafka.client import KafkaBroker
from contracts.errors import HomeostatError
from contracts.events import NodeStatus, encode
from contracts.ports import Clock
from contracts.supervision import Supervised
from contracts.topics import NODES
from homeostat.acting import Acting
from homeostat.health import Vitals
from homeostat.release import software
from streams.worker import Worker

log = logging.getLogger(__name__)
INTERVAL_S = 10.0
_BUSY_S = 0.5
"""While something passes that others wait for: an effect under way, partitions whose state is being read."""


class Heartbeat:
    """Publishes this process's status every ten seconds, at its start and end, and when a switch was turned: whoever turned it
    waits for that."""

    def __init__(
        self, node: str, broker: KafkaBroker, worker: Worker, acting: Acting, vitals: Callable[[], Vitals], clock: Clock
    ) -> None:
        self._node, self._broker, self._worker, self._acting = node, broker, worker, acting
        self._clock, self._vitals = clock, vitals
        self._task = Supervised("node-status", self._run, clock=clock)

    async def start(self) -> None:
        """Begin reporting."""
        self._task.start()

    async def stop(self) -> None:
        """Report the end."""
        if self._task.running:
            await self._task.stop()
            await self._report("stopping")

    async def _run(self) -> None:
        while True:
            self._acting.news.clear()
            await self._report("running")
            with contextlib.suppress(TimeoutError):
                passing = bool(self._acting.executor.effects) or not self._vitals().ready
                async with asyncio.timeout(_BUSY_S if passing else INTERVAL_S):
                    await self._acting.news.wait()

    async def _report(self, lifecycle: str) -> None:
        host, vitals = self._worker.host, self._vitals()
        status = NodeStatus(
            node=self._node,
            stage=",".join(s.name for s in host.specs),
            lifecycle=lifecycle,
            healthy=vitals.healthy,
            time_ns=self._clock.now_ns(),
            consumes=host.topics,
            produces=tuple(sorted({t for s in host.specs for t in s.produces})),
            partitions=tuple(sorted({p for _, p in self._worker.assigned})),
            software=software(),
            condition=vitals.condition.value,
            lacks=tuple(f"{x.what}: {x.text}" for x in vitals.lacks),
            behind_s=round(self._worker.behind_s, 1),
            lag={topic: n for topic, n in sorted(self._worker.lag.items()) if n},
            controls=self._acting.switchboard.followed(),
            stopped=self._acting.switchboard.stopped(),
            effects=self._acting.executor.effects,
        )
        try:
            await self._broker.send(NODES, encode(status), key=self._node.encode())
        except HomeostatError as e:
            log.warning("node status not published: %s", e)
