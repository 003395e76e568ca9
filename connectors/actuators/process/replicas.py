"""The instances of one service, and the changes between what they are and what they should be."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Final

import aiohttp

from connectors.actuators.process.instance import ProcessHost, ProcessInstance, launch
from connectors.actuators.process.messages import DesiredState, ManagedService
from contracts.errors import ActionFailed

DRAIN_S: Final = 0.3
"""From an instance's leaving the endpoints to its being stopped: callers know an address that much longer."""


class Replicas:
    """One service. Its changes are made one at a time; each either happens or leaves everything as it was."""

    def __init__(
        self,
        service: ManagedService,
        wanted: DesiredState,
        place: ProcessHost,
        session: aiohttp.ClientSession,
        life: int,
    ) -> None:
        self.service, self.wanted, self.turn = service, wanted, asyncio.Lock()
        self._place, self._session, self._life = place, session, life
        self._instances: list[ProcessInstance] = []
        self._leaving: list[ProcessInstance] = []
        self._numbered = 0

    def document(self) -> dict[str, Any]:
        """What the API says of the service."""
        return {
            "name": self.service.name,
            "replicas": self.wanted.replicas,
            "ready": len(self.addresses()),
            "version": self.wanted.version,
            "previous_version": self.wanted.previous_version,
            "generation": self.wanted.generation,
            "instances": [i.document() for i in self._instances],
        }

    def addresses(self) -> list[str]:
        """host:port of every instance that callers are sent to."""
        return [i.address for i in self._instances if i.serving]

    def weakest(self) -> str:
        """The instance to replace where none is named: one that callers are not sent to, else the oldest; "" where there is none."""
        weakest = min(self._instances, key=lambda i: (i.serving, i.started, i.id), default=None)
        return "" if weakest is None else weakest.id

    async def start(self, timeout_s: float) -> None:
        """Bring the service up as it should be. Raises ActionFailed, and then nothing of it runs."""
        self._instances = await self._started(self.wanted.replicas, self.wanted.version, timeout_s)

    async def scale(self, replicas: int, timeout_s: float) -> str:
        """Have this many live instances: new ones are added, the newest leave. What is dead is swept out."""
        live = [i for i in self._instances if i.alive]
        added = await self._started(max(0, replicas - len(live)), self.wanted.version, timeout_s)
        leaving = live[replicas:]
        self._instances = [*live[:replicas], *added]
        before = self.wanted.replicas
        self._become(replicas=replicas)
        await self._retire(leaving)
        return f"{self.service.name} has {replicas} replicas (was {before})"

    async def restart(self, instance: str, timeout_s: float, *, at_once: bool) -> str:
        """Replace all instances, or the named one.

        Raises:
            ActionFailed: no such instance, or the new ones do not become ready.
        """
        old = [i for i in self._instances if instance in {"", i.id}]
        if instance and not old:
            known = ", ".join(i.id for i in self._instances) or "none"
            raise ActionFailed(f"{self.service.name} has no instance {instance}", fix=f"it has: {known}")
        count = 1 if instance else self.wanted.replicas
        await self._replace(old, count, self.wanted.version, timeout_s, at_once=at_once)
        return f"{self.service.name}: {count} of {self.wanted.replicas} instances replaced"

    async def deploy(self, version: str, timeout_s: float) -> str:
        """Run another version. Going to the present one changes nothing."""
        before = self.wanted.version
        if version == before:
            return f"{self.service.name} already runs version {version}"
        await self._replace(list(self._instances), self.wanted.replicas, version, timeout_s, at_once=False)
        return f"{self.service.name} runs version {version} (was {before})"

    async def rollback(self, to: str, timeout_s: float) -> str:
        """Run `to`, or the version before the present one.

        Raises:
            ActionFailed: there was no version before.
        """
        version = self.wanted.previous_version if to in {"", "previous"} else to
        if not version:
            raise ActionFailed(f"{self.service.name} has run no version but {self.wanted.version}")
        return await self.deploy(version, timeout_s)

    async def stop(self) -> None:
        """End all instances."""
        await asyncio.gather(*(i.stop() for i in (*self._instances, *self._leaving)))

    async def _retire(self, old: Sequence[ProcessInstance]) -> None:
        """Send nobody to them any more, and end them. Cut off in the middle, `stop` ends them."""
        self._leaving = list(old)
        draining = any(i.serving for i in old)
        _list(old, listed=False)
        if draining:
            await asyncio.sleep(DRAIN_S)
        await asyncio.gather(*(i.stop() for i in old))
        self._leaving = []

    async def _replace(
        self, old: Sequence[ProcessInstance], count: int, version: str, timeout_s: float, *, at_once: bool
    ) -> None:
        """Start new, wait until they are ready, and only then end the old. `at_once`: no caller is sent to the old meanwhile."""
        listed = [i for i in old if i.listed]
        if at_once:
            _list(listed, listed=False)
        try:
            new = await self._started(count, version, timeout_s)
        except BaseException:
            _list(listed, listed=True)
            raise
        self._instances = [*(i for i in self._instances if i not in old), *new]
        if version != self.wanted.version:
            self._become(version=version, previous_version=self.wanted.version)
        else:
            self._become()
        await self._retire(old)

    async def _started(self, count: int, version: str, timeout_s: float) -> list[ProcessInstance]:
        """So many ready, listed instances. Raises ActionFailed, and then none of them is left."""
        instances: list[ProcessInstance] = []
        try:
            while len(instances) < count:
                instances.append(await launch(self.service, self._next_id(), version, self._place))
            async with asyncio.TaskGroup() as group:
                for instance in instances:
                    group.create_task(instance.wait_ready(self._session, self.service.ready_path, timeout_s))
        except BaseException as e:
            await asyncio.gather(*(i.stop() for i in instances))
            if isinstance(e, BaseExceptionGroup):
                raise e.exceptions[0] from None
            raise
        _list(instances, listed=True)
        return instances

    def _next_id(self) -> str:
        self._numbered += 1
        return f"{self.service.name}-{self._life}-{self._numbered}"

    def _become(self, **changes: Any) -> None:
        self.wanted = replace(self.wanted, generation=self.wanted.generation + 1, **changes)


def _list(instances: Sequence[ProcessInstance], *, listed: bool) -> None:
    for instance in instances:
        instance.listed = listed
