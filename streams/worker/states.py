"""States of the stages, read for a partition that was taken over: before its first message, and before it is called ready."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from functools import partial

from contracts.errors import HomeostatError
from contracts.ports import StateStore
from contracts.retry import every, retrying
from contracts.supervision import Supervised
from streams.host import StageHost
from streams.worker.assignment import Assignment, Place

log = logging.getLogger(__name__)
AGAIN_S = 1.0


class States:
    """Fills `loaded`, from which the host makes its instances, by key; None where nothing was saved."""

    def __init__(
        self, host: StageHost, loaded: dict[str, bytes | None], store: StateStore, assignment: Assignment
    ) -> None:
        self._host, self._loaded, self._store, self._assignment = host, loaded, store, assignment
        self._recovery: Supervised | None = None
        self.waiting = 0
        """States of assigned partitions that are still to be read."""

    def keys(self, topic: str, partition: int) -> list[str]:
        """Keys of the states that messages of a partition change."""
        return [spec.instance_key(topic, partition) for spec in self._host.by_topic.get(topic, ())]

    async def load(self, topic: str, partition: int) -> None:
        """Read the states of a partition, unless they were."""
        for key in self.keys(topic, partition):
            await self._load(key)

    async def _load(self, key: str) -> None:
        if key not in self._host.instances and key not in self._loaded:
            epoch = self._assignment.epoch
            found = await self._assignment.retrying(partial(self._store.load, key))
            if epoch == self._assignment.epoch:  # else it may have had another owner, who changed it
                self._loaded[key] = found

    def recover(self) -> None:
        """Read the states of all partitions assigned, in the background: until then the worker is not ready."""
        self.cancel()
        self.waiting = len(self._of_assigned())
        self._recovery = Supervised("worker-recovery", self._recover, first_s=0.1, longest_s=AGAIN_S).start()

    async def _recover(self) -> None:
        keys = sorted(self._of_assigned())
        self.waiting = len(keys)
        for key in keys:
            # Rights may be missing for a while.
            await retrying(partial(self._load, key), pauses=every(AGAIN_S), on=HomeostatError, told=partial(_told, key))
            self.waiting -= 1

    def _of_assigned(self) -> set[str]:
        return {key for place in self._assignment.places for key in self.keys(*place)}

    def forget(self, places: Iterable[Place]) -> None:
        """These partitions have another owner: what was read of them, needed or not, will be changed by that one."""
        for topic, partition in places:
            for key in self.keys(topic, partition):
                self._loaded.pop(key, None)

    def cancel(self) -> None:
        """Read no more, without waiting for the end."""
        if self._recovery is not None:
            self._recovery.cancel()
        self._recovery, self.waiting = None, 0

    async def stop(self) -> None:
        """Read no more. Idempotent."""
        recovery, self._recovery = self._recovery, None
        if recovery is not None:
            await recovery.stop()


def _told(key: str, error: Exception, _pause_s: float) -> None:
    log.warning("the state of %s cannot be read; trying again: %s", key, error)
