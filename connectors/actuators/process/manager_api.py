"""The process manager over HTTP, JSON both ways.

    GET  /services                    {"services": [service, …]}
    GET  /services/{name}             name, replicas, ready, version, previous_version, generation,
                                      instances [{id, pid, port, version, ready, alive, started}]
    POST /services/{name}/scale       {replicas, key}
    POST /services/{name}/restart     {key, instance?, strategy?: rolling | instance}
    POST /services/{name}/rollback    {key, to?: previous | a version}
    POST /services/{name}/deploy      {version, key}
    GET  /operations/{key}            {key, service, kind, state: running | done | failed | unknown, text, result}
    GET  /endpoints/{name}            {"addresses": ["127.0.0.1:41001", …]}

A POST answers when the change has settled: 200 done, 422 failed without effect, 409 unknown or the key means something else,
400 not understood, 415 not sent as application/json. `timeout_s` in a POST bounds the wait for new instances. What is not there is 404 {"error", "known"}.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Annotated, Any, Final, Literal, Protocol

import msgspec
from aiohttp import web

from connectors.actuators.process.messages import Operation, OperationState, Order
from contracts.errors import Conflict, HomeostatError, TargetNotFound

Key = Annotated[str, msgspec.Meta(min_length=1, max_length=500)]
Version = Annotated[str, msgspec.Meta(min_length=1, max_length=200)]
Seconds = Annotated[float, msgspec.Meta(gt=0)]


class _Body(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True, kw_only=True):
    key: Key
    timeout_s: Seconds | None = None


class _Scale(_Body):
    replicas: Annotated[int, msgspec.Meta(ge=0, le=1000)]


class _Restart(_Body):
    instance: str = ""
    strategy: Literal["rolling", "instance"] = "rolling"


class _Rollback(_Body):
    to: Version = "previous"


class _Deploy(_Body):
    version: Version


_ORDERS: Final[Mapping[str, type[_Body]]] = {
    "scale": _Scale,
    "restart": _Restart,
    "rollback": _Rollback,
    "deploy": _Deploy,
}
_STATUS: Final = {OperationState.DONE: 200, OperationState.FAILED: 422, OperationState.UNKNOWN: 409}


class Manager(Protocol):
    """What the API speaks for."""

    @property
    def names(self) -> list[str]:
        """The services it runs."""
        ...

    def service(self, name: str) -> Mapping[str, Any]:
        """State of a service."""
        ...

    def addresses(self, name: str) -> list[str]:
        """Where callers should go."""
        ...

    async def submit(self, order: Order) -> Operation:
        """Have an effect."""
        ...

    async def operation(self, key: str) -> Operation | None:
        """What became of a key."""
        ...


def build_app(manager: Manager) -> web.Application:
    """The API of one manager."""

    async def services(_: web.Request) -> web.Response:
        return web.json_response({"services": [manager.service(name) for name in manager.names]})

    async def service(request: web.Request) -> web.Response:
        return web.json_response(manager.service(request.match_info["name"]))

    async def endpoints(request: web.Request) -> web.Response:
        return web.json_response({"addresses": manager.addresses(request.match_info["name"])})

    async def operation(request: web.Request) -> web.Response:
        key = request.match_info["key"]
        found = await manager.operation(key)
        if found is None:
            return web.json_response({"error": f"no operation {key!r}"}, status=404)
        return web.json_response(document(found))

    async def order(request: web.Request) -> web.Response:
        name, kind = request.match_info["name"], request.match_info["kind"]
        if request.content_type != "application/json":
            # A web page may send forms and plain text to this address without asking; JSON it may not.
            return web.json_response({"error": "Content-Type must be application/json"}, status=415)
        body = msgspec.json.decode(await request.read(), type=_ORDERS[kind])
        arguments = {k: v for k, v in msgspec.to_builtins(body).items() if k != "key"}
        done = await manager.submit(Order(body.key, name, kind, arguments))
        return web.json_response(document(done), status=_STATUS[done.state])

    app = web.Application(middlewares=[_errors(manager)])
    app.add_routes(
        [
            web.get("/services", services),
            web.get("/services/{name}", service),
            web.post("/services/{name}/{kind:" + "|".join(_ORDERS) + "}", order),
            web.get("/operations/{key:.+}", operation),
            web.get("/endpoints/{name}", endpoints),
        ]
    )
    return app


def document(operation: Operation) -> dict[str, Any]:
    """An operation as the API says it."""
    order = operation.order
    return {
        "key": order.key,
        "service": order.service,
        "kind": order.kind,
        "state": operation.state.value,
        "text": operation.text,
        "result": dict(operation.result),
    }


Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def _errors(manager: Manager) -> Any:
    @web.middleware
    async def answer(request: web.Request, handler: Handler) -> web.StreamResponse:
        try:
            return await handler(request)
        except TargetNotFound as e:
            return web.json_response({"error": str(e), "known": manager.names}, status=404)
        except (msgspec.DecodeError, UnicodeDecodeError) as e:
            return web.json_response({"error": str(e)}, status=400)
        except Conflict as e:
            return web.json_response({"error": str(e)}, status=409)
        except HomeostatError as e:
            return web.json_response({"error": str(e)}, status=503)

    return answer
