"""The actuator `process`: scale, restart and roll back services that a local process manager runs."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

import aiohttp
from yarl import URL

from connectors import paths
from connectors.actuators.http import CONNECT_S, FAILURES, explain
from connectors.actuators.naming import ensure_meant
from contracts.errors import (
    ActionFailed,
    ActuatorUnavailable,
    Conflict,
    HomeostatError,
    InvalidSettings,
    OutcomeUnknown,
    TargetNotFound,
    suggest,
)
from contracts.ports import Applied, Identity, StepRequest, StepResult, Target, TargetState
from contracts.settings import ActSettings

_LOOK_S: Final = 2.0
"""How long a question, which changes nothing, may take."""
_SLACK_S: Final = 2.0
"""How much longer than its own limit the manager is waited for: it says itself what failed."""
_POLL_S: Final = 0.2
_FIX: Final = "is the process manager running at act.process_manager?"


@dataclass(frozen=True, slots=True)
class _Reply:
    status: int
    body: Mapping[str, Any]


class ProcessActuator:
    """Over the HTTP API of `connectors.actuators.process.manager_api`."""

    name = "process"

    @property
    def actions(self) -> frozenset[str]:
        """What the manager's API has for actions."""
        return frozenset(_BODIES)

    def __init__(self, settings: ActSettings) -> None:
        """`settings.process_manager` is the base URL.

        Raises:
            InvalidSettings: it is empty or no URL.
        """
        self._url = settings.process_manager.rstrip("/")
        if not self._url.startswith(("http://", "https://")):
            raise InvalidSettings(
                f"act.process_manager: {self._url!r} is not a URL", fix="actuator process needs http://host:port"
            )
        address = URL(self._url)
        self._scope = f"{self.name}:{address.host}:{address.port}{address.raw_path.rstrip('/')}"
        self._session: aiohttp.ClientSession | None = None

    async def resolve(self, target: Target) -> Identity:
        """The service of that name, or of the last part of it, that the manager runs."""
        return self._identity(await self._find(target))

    async def describe(self, target: Target) -> TargetState:
        """Its state."""
        service = await self._find(target)
        return replace(_state(service), identity=self._identity(service))

    async def apply(self, request: StepRequest) -> StepResult:
        """Have the effect and wait until the manager says what became of it."""
        body = {"key": request.key, "timeout_s": request.timeout_s, **_body(request)}
        found = await self._find(request.target)
        ensure_meant(request, self._identity(found))
        service = str(found["name"])
        path = paths.path("services", service, request.action)
        reply = await self._call("POST", path, request.timeout_s + _SLACK_S, body)
        if reply.status != 200:
            raise refused(reply.status, reply.body)
        return StepResult(str(reply.body.get("text", "")), _state(reply.body["result"]), {"service": service})

    async def applied(self, request: StepRequest) -> Applied:
        """What the manager remembers of the key; what is still under way is waited for."""
        deadline = time.monotonic() + request.timeout_s
        while True:
            reply = await self._call("GET", paths.path("operations", request.key), _LOOK_S)
            if reply.status == 404:
                return Applied.NO
            state = reply.body.get("state") if reply.status == 200 else None
            if state != "running" or time.monotonic() > deadline:
                return {"done": Applied.YES, "failed": Applied.NO}.get(str(state), Applied.UNKNOWN)
            await asyncio.sleep(_POLL_S)

    async def close(self) -> None:
        """Close connections."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    def _identity(self, service: Mapping[str, Any]) -> Identity:
        return Identity(self._scope, "service", str(service["name"]))

    async def _find(self, target: Target) -> Mapping[str, Any]:
        reply = await self._call("GET", "/services", _LOOK_S)
        if reply.status != 200:
            raise ActuatorUnavailable(f"{self._url}: {_said(reply.status, reply.body)}", fix=_FIX)
        services = {str(s["name"]): s for s in reply.body.get("services", ())}
        for name in (target.service, target.service.rpartition("/")[2]):
            if name in services:
                return dict(services[name])
        close = suggest(target.service, services)
        hint = f"did you mean {close!r}? " if close else ""
        raise TargetNotFound(
            f"the process manager runs no {target.service!r}",
            fix=f"{hint}it runs: {', '.join(sorted(services)) or 'nothing'}",
        )

    async def _call(self, method: str, path: str, timeout_s: float, body: Mapping[str, Any] | None = None) -> _Reply:
        if self._session is None:
            self._session = aiohttp.ClientSession(connector=aiohttp.TCPConnector(force_close=True))
        limit = aiohttp.ClientTimeout(total=timeout_s, sock_connect=CONNECT_S)
        try:
            url = URL(self._url + paths.plain(path), encoded=True)
            async with self._session.request(method, url, json=body, timeout=limit) as reply:
                return _Reply(reply.status, await reply.json())
        except FAILURES as e:
            raise explain(e, self._url, effect=method == "POST", fix=_FIX) from e


def refused(status: int, body: Mapping[str, Any]) -> HomeostatError:
    """The error of the exception tree that an answer to a POST other than 200 stands for."""
    text = _said(status, body)
    if status == 404:
        return TargetNotFound(text)
    if status == 409 and body.get("state") != "unknown":
        return Conflict(text)
    if status in {400, 405, 415, 422}:
        return ActionFailed(text)
    return OutcomeUnknown(text)


def _said(status: int, body: Mapping[str, Any]) -> str:
    return str(body.get("error") or body.get("text") or f"it answered with status {status}")


def _body(request: StepRequest) -> dict[str, Any]:
    """What the API wants for an action.

    Raises:
        ActionFailed: an argument is missing, or the action is none of it.
    """
    if request.action not in _BODIES:
        raise ActionFailed(f"the process actuator can't {request.action}")
    return _BODIES[request.action](request.arguments)


def _scale(given: Mapping[str, Any]) -> dict[str, Any]:
    if "replicas" not in given:
        raise ActionFailed("scale needs a number of replicas")
    return {"replicas": given["replicas"]}


_BODIES: Final[Mapping[str, Callable[[Mapping[str, Any]], dict[str, Any]]]] = {
    "scale": _scale,
    "restart": lambda given: {k: given[k] for k in ("strategy", "instance") if k in given},
    "rollback": lambda given: {"to": given.get("version") or "previous"},
}
"""By action, from its arguments to the body that the API wants."""


def _state(service: Mapping[str, Any]) -> TargetState:
    return TargetState(
        replicas=int(service["replicas"]),
        ready=int(service["ready"]),
        version=str(service["version"]),
        previous_version=str(service["previous_version"]),
        generation=str(service["generation"]),
        instances=tuple(str(i["id"]) for i in service["instances"]),
        detail={str(i["id"]): _told(i) for i in service["instances"]},
    )


def _told(instance: Mapping[str, Any]) -> str:
    state = "ready" if instance["ready"] else "not ready" if instance["alive"] else "ended"
    return f"pid {instance['pid']}, port {instance['port']}, version {instance['version']}, {state}"
