"""Rego on an OPA server: its protocol, and every way it can be away. The answers are those of OPA 1.11."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from connectors.policy import open_policy
from connectors.policy.opa import OpaPolicy
from connectors.policy.rego import RegoPolicy, built_in
from contracts.checks import policy
from contracts.errors import PolicyUnavailable

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass
class Opa:
    """A server that answers as OPA does, with the built-in policy; `handler` replaces the answer."""

    url: str = ""
    handler: Handler | None = None
    asked: list[Any] = field(default_factory=list)
    rego: RegoPolicy = field(default_factory=built_in)

    async def answer(self, request: web.Request) -> web.StreamResponse:
        self.asked.append(await request.json())
        if self.handler is not None:
            return await self.handler(request)
        return web.json_response({"result": await asyncio.to_thread(self.rego._ask, self.asked[-1]["input"])})


@pytest.fixture
async def opa() -> AsyncIterator[Opa]:
    opa = Opa()
    app = web.Application()
    app.add_routes([web.post("/v1/data/homeostat", opa.answer)])
    server = TestServer(app)
    await server.start_server()
    opa.url = str(server.make_url("/v1/data/homeostat"))
    yield opa
    await server.close()


@pytest.mark.parametrize("check", policy.CHECKS)
async def test_checks(check: policy.Check, opa: Opa) -> None:
    await check(lambda: open_policy(opa.url))


async def test_the_question_is_the_input(opa: Opa) -> None:
    await policy.ask(lambda: open_policy(opa.url))
    assert opa.asked == [{"input": policy.QUESTION}]


async def test_undefined_is_denied(opa: Opa) -> None:
    async def undefined(_: web.Request) -> web.StreamResponse:
        return web.json_response({})

    opa.handler = undefined
    verdict = await policy.ask(lambda: open_policy(opa.url))
    assert (verdict.allowed, verdict.denials) == (False, ("policy made no decision: homeostat.allow is undefined",))


async def _error(_: web.Request) -> web.StreamResponse:
    body = {
        "code": "internal_error",
        "message": "eval_conflict_error: complete rules must not produce multiple outputs",
    }
    return web.json_response(body, status=500)


async def _slow(_: web.Request) -> web.StreamResponse:
    await asyncio.sleep(1)
    return web.json_response({"result": {"allow": True}})


async def _page(_: web.Request) -> web.StreamResponse:
    return web.Response(text="<html>not OPA</html>")


async def _list(_: web.Request) -> web.StreamResponse:
    return web.json_response([True])


async def _cut(request: web.Request) -> web.StreamResponse:
    assert request.transport is not None
    request.transport.close()
    return web.Response()


@pytest.mark.parametrize("handler", [_error, _slow, _page, _list, _cut])
async def test_no_decision(handler: Handler, opa: Opa) -> None:
    opa.handler = handler
    with pytest.raises(PolicyUnavailable):
        await policy.ask(lambda: OpaPolicy(opa.url, timeout_s=0.3))


async def test_no_server() -> None:
    with pytest.raises(PolicyUnavailable, match=r"127\.0\.0\.1:1"):
        await policy.ask(lambda: open_policy("http://127.0.0.1:1/v1/data/homeostat"))
