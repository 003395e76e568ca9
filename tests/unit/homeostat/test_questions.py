"""POST /graph/query: in JSON only, under this machine's names only, in threads of its own, with an end."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest

from contracts.settings import ApiSettings
from homeostat.health import Vitals
from homeostat.metrics import registry
from homeostat.web.server import WebServer
from tests.patience import PATIENCE_S


class Graph:
    """Answers with as many rows as are asked for, when its gate is open."""

    def __init__(self) -> None:
        self.gate = threading.Event()
        self.threads: set[str] = set()

    def migrate(self) -> None:
        """Nothing."""

    def write(self, statement: str, rows: Sequence[Mapping[str, Any]]) -> None:
        """Nothing."""

    def close(self) -> None:
        """Nothing."""

    def query(
        self,
        cypher: str,
        parameters: Mapping[str, Any] | None = None,
        *,
        read_only: bool = True,
        most: int | None = None,
    ) -> list[dict[str, Any]]:
        """Rows."""
        self.threads.add(threading.current_thread().name)
        assert self.gate.wait(PATIENCE_S)
        return [{"i": i} for i in range(min(int(cypher), most or 0))]


@asynccontextmanager
async def serving(graph: Graph, **settings: Any) -> AsyncIterator[str]:
    """The address of the server of a graph."""
    server = WebServer(ApiSettings(port=0, **settings), registry(list), dict, Vitals, lambda: graph)
    await server.start()
    try:
        yield server.address
    finally:
        graph.gate.set()
        await server.stop()


async def ask(address: str, rows: int = 1, **headers: str) -> tuple[int, Any]:
    """Status and body of an answer."""
    body = json.dumps({"cypher": str(rows)}).encode()
    headers = {"Content-Type": "application/json", **headers}
    async with (
        aiohttp.ClientSession() as session,
        session.post(f"{address}/graph/query", data=body, headers=headers) as r,
    ):
        return r.status, json.loads(await r.read()) if r.status != 421 else None


async def test_rows_up_to_the_limit() -> None:
    graph = Graph()
    graph.gate.set()
    async with serving(graph, query_rows=700) as address:
        status, body = await ask(address, 700)
        assert (status, [r["i"] for r in body["rows"]]) == (200, list(range(700)))
        status, body = await ask(address, 701)
        assert (status, body["error"]) == (400, "too_many_rows")
    assert all(name.startswith("graph-query") for name in graph.threads)


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x"])
async def test_what_a_web_page_may_post_without_asking_is_refused(kind: str) -> None:
    graph = Graph()
    async with serving(graph) as address:
        assert (await ask(address, **{"Content-Type": kind}))[0] == 415
    assert not graph.threads


@pytest.mark.parametrize(
    ("host", "allowed", "status"),
    [("localhost:8790", (), 200), ("rebound.example:8790", (), 421), ("rebound.example", ("rebound.example",), 200)],
)
async def test_a_name_that_points_here_is_not_enough(host: str, allowed: tuple[str, ...], status: int) -> None:
    graph = Graph()
    graph.gate.set()
    async with serving(graph, allowed_hosts=allowed) as address:
        assert (await ask(address, Host=host))[0] == status
        async with (
            aiohttp.ClientSession() as session,
            session.get(f"{address}/status", headers={"Host": host}) as answer,
        ):
            assert answer.status == status


async def test_slow_questions_wait_in_line_and_hold_up_nobody_else() -> None:
    graph = Graph()
    async with serving(graph, query_threads=1, query_queue=2) as address:
        asked = [asyncio.create_task(ask(address)) for _ in range(6)]
        async with asyncio.timeout(PATIENCE_S):
            while sum(t.done() for t in asked) < 3:
                await asyncio.sleep(0.01)
            refused = [t.result() for t in asked if t.done()]
            assert [(status, body["error"]) for status, body in refused] == [(429, "overloaded")] * 3
            async with aiohttp.ClientSession() as session, session.get(f"{address}/metrics") as answer:
                assert answer.status == 200
            graph.gate.set()
            assert sorted(status for status, _ in await asyncio.gather(*asked)) == [200] * 3 + [429] * 3
    assert len(graph.threads) == 1
