"""A system of a drill as one object: its processes, its guests, and the ways to break it and to put it right again."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import aiohttp
import msgspec

from connectors.actuators.process.manager import ManagedService, ProcessManager
from homeostat.drills.ailments import LastingAilment, read_lasting, write_lasting
from homeostat.drills.guests import Guests
from homeostat.drills.system_plan import GOOD, ServiceDesign
from homeostat.drills.systems import system_named

_SERVICE: Final = "homeostat.drills.drill_service"
READY_S: Final = 60.0
"""How long a process may take until it serves."""
PUT_BACK_TIMES: Final = 3
ORDER_S: Final = 200.0
"""For an order that waits for several processes."""


class RunningSystem:
    """`async with RunningSystem("hotel", otlp_http_address, folder) as system:` all serve and guests ask inside the block."""

    def __init__(self, name: str, otlp: str, folder: Path, manager_port: int = 0) -> None:
        self.plan = system_named(name)
        self._folder = folder.resolve()
        self._lasting = self._folder / "lasting.json"
        services = [self._managed(n, s, name, otlp) for n, s in self.plan.services.items()]
        self.manager = ProcessManager(services, folder / "manager.sqlite", port=manager_port)
        self._session: aiohttp.ClientSession | None = None
        self._guests: Guests | None = None
        self._orders = 0
        self._ill: dict[str, set[str]] = {}

    @property
    def guests(self) -> Guests:
        """Whoever uses it."""
        assert self._guests is not None
        return self._guests

    async def __aenter__(self) -> Self:
        await self.manager.start()
        self._session = aiohttp.ClientSession()
        self._guests = Guests(self.plan, self.manager.url)
        self._guests.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._guests is not None:
            await self._guests.stop()
        if self._session is not None:
            await self._session.close()
        await self.manager.stop()

    # --- ways to break it

    async def ail(self, service: str, kind: str, size: float = 1.0, callee: str = "", instances: int = 0) -> None:
        """Make so many instances of a service ill (0: all of them); whoever restarts them heals them."""
        service, callee = self.plan.called(service), self.plan.called(callee)
        for address in self._some(self.manager.addresses(service), instances):
            await self._post(f"http://{address}/admin/ail", {"kind": kind, "size": size, "callee": callee})
        self._note(service)

    def signal(self, service: str, number: signal.Signals, instances: int = 0) -> None:
        """Send a signal to so many instances of a service (0: all of them)."""
        service = self.plan.called(service)
        living = [i for i in self.manager.service(service)["instances"] if i["alive"]]
        for instance in self._some(living, instances):
            os.killpg(int(instance["pid"]), number)
        self._note(service)

    def last(self, ailment: LastingAilment) -> None:
        """Begin something that no restart ends."""
        names = {"service": self.plan.called(ailment.service), "callee": self.plan.called(ailment.callee)}
        ailment = msgspec.structs.replace(ailment, **names)
        write_lasting(self._lasting, [*read_lasting(self._lasting), ailment])

    async def flush(self, cache: str) -> None:
        """Empty a cache."""
        for address in self.manager.addresses(self.plan.called(cache)):
            await self._get(f"http://{address}/flush")

    async def deploy(self, service: str, version: str) -> None:
        """Roll out a version, as a delivery pipeline would."""
        await self._order(self.plan.called(service), "deploy", {"version": version})

    # --- and to put it right

    async def relieve(self, *, demand: bool = True) -> None:
        """End what lasts, and put back versions, replicas, demand, and whatever is still ill."""
        write_lasting(self._lasting, [])
        if demand:
            for entry in self.plan.entries:
                self.guests.demand(entry, 1.0)
        for name, plan in self.plan.services.items():
            state = self.manager.service(name)
            ill = self._ill.pop(name, set()) & {str(i["id"]) for i in state["instances"]}
            if state["version"] != GOOD:
                await self._put_back(name, "deploy", {"version": GOOD})
            elif ill or state["ready"] < state["replicas"]:
                await self._put_back(name, "restart", {})
            if state["replicas"] != plan.replicas:
                await self._put_back(name, "scale", {"replicas": plan.replicas})

    def instances(self, service: str) -> set[str]:
        """The ids of a service's instances."""
        return {str(i["id"]) for i in self.manager.service(service)["instances"]}

    def _note(self, service: str) -> None:
        self._ill.setdefault(service, set()).update(self.instances(service))

    @staticmethod
    def _some(all_of_them: list[Any], instances: int) -> list[Any]:
        return all_of_them[-instances:] if instances else all_of_them

    def _managed(self, name: str, plan: ServiceDesign, system: str, otlp: str) -> ManagedService:
        command = (sys.executable, "-m", _SERVICE, name, "--system", system, "--folder", str(self._folder))
        rest = ("--port", "{port}", "--version", "{version}", "--instance", "{instance}", "--manager", "{manager}")
        env = {"OTEL_EXPORTER_OTLP_ENDPOINT": otlp, "OTEL_PYTHON_LOG_LEVEL": "error"} if plan.telling.any else {}
        return ManagedService(name, (*command, *rest), plan.replicas, GOOD, env, ready_timeout_s=READY_S)

    async def _put_back(self, service: str, kind: str, body: Mapping[str, Any]) -> None:
        """An order that is given again if it failed: on a busy machine a process may be too slow to begin with."""
        for _ in range(PUT_BACK_TIMES - 1):
            with contextlib.suppress(aiohttp.ClientResponseError):
                await self._order(service, kind, body)
                return
        await self._order(service, kind, body)

    async def _order(self, service: str, kind: str, body: Mapping[str, Any]) -> None:
        self._orders += 1
        key = f"drill-{kind}-{service}-{self._orders}-{int(time.time())}"
        await self._post(f"{self.manager.url}/services/{service}/{kind}", {**body, "key": key})

    async def _get(self, url: str) -> None:
        assert self._session is not None
        async with self._session.get(url) as reply:
            reply.raise_for_status()

    async def _post(self, url: str, body: Mapping[str, Any]) -> None:
        assert self._session is not None
        limit = aiohttp.ClientTimeout(total=ORDER_S)
        async with self._session.post(url, json=body, timeout=limit) as reply:
            if reply.status != 200:
                raise aiohttp.ClientResponseError(
                    reply.request_info, (), status=reply.status, message=await reply.text()
                )
