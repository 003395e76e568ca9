"""Runs services as local processes and changes them when told to. Every change has a key and happens once per key."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import aiohttp
from aiohttp import web

from connectors.actuators.process.instance import ProcessHost
from connectors.actuators.process.manager_api import build_app
from connectors.actuators.process.messages import DesiredState, ManagedService, Operation, OperationState, Order
from connectors.actuators.process.replicas import Replicas
from connectors.actuators.process.store import OperationStore
from contracts.errors import ActionFailed, Conflict, HomeostatError, TargetNotFound
from contracts.supervision import end, once

__all__ = ["ManagedService", "ProcessManager"]

_LOG = logging.getLogger(__name__)
_START_FACTOR: Final = 4.0
"""At the start all services begin at once and share the processor: each gets this many times its own time."""


class ProcessManager:
    """Started by `start`, which returns when every service serves; `stop` leaves no process behind."""

    def __init__(
        self, services: Sequence[ManagedService], state_file: Path, host: str = "127.0.0.1", port: int = 0
    ) -> None:
        """`state_file` remembers keys and what was last asked for; instances write to `logs/` beside it."""
        self._services, self._file, self._host, self._port = tuple(services), state_file, host, port
        self._replicas: dict[str, Replicas] = {}
        self._tasks: dict[str, asyncio.Task[Operation]] = {}
        self._store: OperationStore | None = None
        self._session: aiohttp.ClientSession | None = None
        self._runner: web.AppRunner | None = None

    @property
    def url(self) -> str:
        """Base of the API, once started."""
        return f"http://{self._host}:{self._port}"

    @property
    def names(self) -> list[str]:
        """The services it runs."""
        return sorted(s.name for s in self._services)

    async def start(self) -> None:
        """Listen, and bring all services up.

        Raises:
            ActionFailed: a service does not become ready, with the last lines it wrote; then nothing runs.
            OSError: the port is taken.
        """
        try:
            await self._start()
        except BaseException:
            await self.stop()
            raise

    async def _start(self) -> None:
        store = self._store = await asyncio.to_thread(OperationStore, self._file)
        life = await asyncio.to_thread(store.begin_life)
        self._session = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0, force_close=True))
        await self._listen()
        place = ProcessHost(self._host, self._file.parent / "logs", self.url)
        for service in self._services:
            wanted = store.wanted(service.name, DesiredState(service.replicas, service.version))
            self._replicas[service.name] = Replicas(service, wanted, place, self._session, life)
        try:
            async with asyncio.TaskGroup() as group:
                for replicas in self._replicas.values():
                    group.create_task(replicas.start(replicas.service.ready_timeout_s * _START_FACTOR))
        except BaseExceptionGroup as e:
            raise e.exceptions[0] from None

    async def stop(self) -> None:
        """End everything. What is under way is cut off, and is `unknown` at the next start. Idempotent."""
        await end(*self._tasks.values())
        await asyncio.gather(*(r.stop() for r in self._replicas.values()))
        self._replicas = {}
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None
        if self._session is not None:
            await self._session.close()
            self._session = None
        if self._store is not None:
            await asyncio.to_thread(self._store.close)
            self._store = None

    def service(self, name: str) -> Mapping[str, Any]:
        """State of a service. Raises TargetNotFound, listing those there are."""
        return self._known(name).document()

    def addresses(self, name: str) -> list[str]:
        """host:port of the instances callers should go to. Raises TargetNotFound, listing the services there are."""
        return self._known(name).addresses()

    async def submit(self, order: Order) -> Operation:
        """Have the effect, or say what became of it when its key was first given. A caller that leaves does not stop it.

        Raises:
            TargetNotFound: no such service.
            Conflict: the key was given for something else.
        """
        self._known(order.service)
        task = self._tasks.get(order.key)
        if task is None:
            task = once("operation", self._perform(order), detail=order.key)
            self._tasks[order.key] = task
            task.add_done_callback(lambda _: self._tasks.pop(order.key, None))
        operation = await asyncio.shield(task)
        if not _same(operation.order, order):
            was = operation.order
            raise Conflict(f"key {order.key} was given for {was.kind} of {was.service} with {dict(was.arguments)}")
        return operation

    async def operation(self, key: str) -> Operation | None:
        """What became of a key; None if it was never seen."""
        return await asyncio.to_thread(self._open_store.find, key)

    async def _perform(self, order: Order) -> Operation:
        store = self._open_store
        known = await asyncio.to_thread(store.find, order.key)
        if known is not None and (known.state is not OperationState.FAILED or not _same(known.order, order)):
            return known
        replicas = self._known(order.service)
        async with replicas.turn:
            await asyncio.to_thread(store.begin, order)
            before = replicas.wanted
            operation = await self._outcome(order, replicas)
            changed = replicas.wanted if replicas.wanted != before else None
            await asyncio.to_thread(store.finish, operation, changed)
        return operation

    async def _outcome(self, order: Order, replicas: Replicas) -> Operation:
        try:
            text = await _do(order, replicas)
        except ActionFailed as e:
            return Operation(order, OperationState.FAILED, str(e), replicas.document())
        except Exception as e:  # noqa: BLE001 - whatever went wrong, the key must not stay `running`
            _LOG.exception("%s of %s", order.kind, order.service)
            return Operation(order, OperationState.UNKNOWN, f"{type(e).__name__}: {e}", replicas.document())
        return Operation(order, OperationState.DONE, text, replicas.document())

    async def _listen(self) -> None:
        self._runner = web.AppRunner(build_app(self), access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, self._host, self._port).start()
        self._port = int(self._runner.addresses[0][1])

    def _known(self, name: str) -> Replicas:
        found = self._replicas.get(name)
        if found is None:
            raise TargetNotFound(f"no service {name!r} here", fix=f"there are: {', '.join(self.names) or 'none'}")
        return found

    @property
    def _open_store(self) -> OperationStore:
        if self._store is None:
            raise HomeostatError("the process manager is not running", reason="not_running")
        return self._store


async def _do(order: Order, replicas: Replicas) -> str:
    given = dict(order.arguments)
    timeout_s = min(given.pop("timeout_s", None) or float("inf"), replicas.service.ready_timeout_s)
    match order.kind:
        case "scale":
            return await replicas.scale(given["replicas"], timeout_s)
        case "restart":
            one = given.get("strategy") == "instance"
            named = given.get("instance", "") or (replicas.weakest() if one else "")
            return await replicas.restart(named, timeout_s, at_once=one)
        case "rollback":
            return await replicas.rollback(given.get("to", "previous"), timeout_s)
        case _:
            return await replicas.deploy(given["version"], timeout_s)


def _same(one: Order, other: Order) -> bool:
    """Whether two orders ask for the same; how long they wait does not count."""
    return _essence(one) == _essence(other)


def _essence(order: Order) -> tuple[str, str, dict[str, Any]]:
    return order.service, order.kind, {k: v for k, v in order.arguments.items() if k != "timeout_s"}
