"""The verdicts behind /healthz and /readyz, and that they are served from the first moment to the last."""

from __future__ import annotations

import asyncio
import json
import socket
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from contracts.errors import HomeostatError
from contracts.settings import ApiSettings, load
from homeostat.health import STUCK_S, Condition, Vitals
from homeostat.metrics import registry
from homeostat.runtime import Runtime
from homeostat.web.server import ApiServer

AT_WORK = {"member": True, "partitions": 4}


@pytest.mark.parametrize(
    ("vitals", "condition", "live", "ready", "reason"),
    [
        (Vitals(waiting_for="broker"), Condition.STARTING, True, False, "waiting for the broker"),
        (Vitals(), Condition.JOINING, True, False, "has not assigned partitions yet"),
        (Vitals(**AT_WORK, recovering=3), Condition.RECOVERING, True, False, "state of 3 stages is being read"),
        (Vitals(**AT_WORK), Condition.WORKING, True, True, "4 topic partitions assigned, state recovered"),
        (Vitals(member=True), Condition.STANDING_BY, True, True, "more workers than partitions"),
        (Vitals(**AT_WORK, loop_age_s=STUCK_S), Condition.WORKING, True, True, "state recovered"),
        (Vitals(**AT_WORK, loop_age_s=STUCK_S + 1), Condition.STUCK, False, False, "no progress for 31 s"),
        (Vitals(loop_age_s=STUCK_S + 1), Condition.STUCK, False, False, "no progress for 31 s"),
        (Vitals(**AT_WORK, crashed=True), Condition.STUCK, False, False, "the consumer gave up"),
        (Vitals(**AT_WORK, stopping=True), Condition.STOPPING, True, False, "finishing what is under way"),
        (Vitals(waiting_for="graph", stopping=True), Condition.STOPPING, True, False, "finishing what is under way"),
    ],
)
def test_verdicts(vitals: Vitals, condition: Condition, live: bool, ready: bool, reason: str) -> None:
    assert (vitals.condition, vitals.live, vitals.ready) == (condition, live, ready)
    assert reason in vitals.report()["reason"]


async def _get(url: str) -> tuple[int, dict[str, Any]]:
    async with aiohttp.ClientSession() as session, session.get(url) as response:
        return response.status, json.loads(await response.text())


@pytest.mark.parametrize(
    ("vitals", "healthz", "readyz"),
    [
        (Vitals(**AT_WORK), 200, 200),
        (Vitals(member=True), 200, 200),
        (Vitals(**AT_WORK, recovering=1), 200, 503),
        (Vitals(**AT_WORK, loop_age_s=99), 503, 503),
    ],
)
async def test_what_is_served(vitals: Vitals, healthz: int, readyz: int) -> None:
    server = ApiServer(ApiSettings(port=0), registry(list), dict, lambda: vitals, lambda: None)
    await server.start()
    try:
        live_status, live = await _get(f"{server.address}/healthz")
        ready_status, ready = await _get(f"{server.address}/readyz")
        async with aiohttp.ClientSession() as session, session.post(f"{server.address}/graph/query", data=b"{}") as r:
            assert (r.status, (await r.json())["error"]) == (503, "graph_unavailable")
    finally:
        await server.stop()
    assert (live_status, live["live"], ready_status, ready["ready"]) == (healthz, healthz == 200, readyz, readyz == 200)
    assert live["condition"] == ready["condition"] == vitals.condition.value
    assert live["reason"]


def _closed_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return int(s.getsockname()[1])


async def test_who_waits_for_the_broker_says_so(tmp_path: Path) -> None:
    broker = {"url": f"kafka://127.0.0.1:{_closed_port()}", "retry_s": 4}
    runtime = Runtime(load({"data_dir": tmp_path, "broker": broker, "api": {"port": 0}}))
    starting = asyncio.create_task(runtime.start())
    try:
        async with asyncio.timeout(30):
            while not getattr(getattr(runtime, "api", None), "address", ""):
                await asyncio.sleep(0.01)
        address = runtime.api.address
        status, body = await _get(f"{address}/readyz")
        assert (status, body["condition"], body["reason"]) == (503, "starting", "waiting for the broker")
        assert (await _get(f"{address}/healthz"))[0] == 200
        assert (await _get(f"{address}/status"))[1]["condition"] == "starting"
        async with aiohttp.ClientSession() as session, session.get(f"{address}/metrics") as response:
            text = await response.text()
        assert "homeostat_ready 0.0" in text
        assert "homeostat_live 1.0" in text
    finally:
        with pytest.raises(HomeostatError):
            await starting
