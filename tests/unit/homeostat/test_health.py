"""The verdicts behind /healthz and /readyz, and that they are served from the first moment to the last."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from contracts.errors import BrokerUnavailable, GraphUnavailable, PolicyUnavailable
from contracts.ports import ManualClock
from contracts.settings import ApiSettings, load
from contracts.supervision import Supervised
from homeostat import checkup, data_folder
from homeostat.checkup import Checkup, Lack, Lacks, Rising
from homeostat.health import STUCK_S, ProcessState, Vitals
from homeostat.metrics import registry
from homeostat.runtime import Runtime
from homeostat.web.server import WebServer
from tests.patience import PATIENCE_S

AT_WORK = {"member": True, "partitions": 4}


@pytest.mark.parametrize(
    ("vitals", "condition", "live", "ready", "reason"),
    [
        (Vitals(waiting_for="broker"), ProcessState.STARTING, True, False, "waiting for the broker"),
        (Vitals(), ProcessState.JOINING, True, False, "has not assigned partitions yet"),
        (Vitals(**AT_WORK, recovering=3), ProcessState.RECOVERING, True, False, "state of 3 stages is being read"),
        (Vitals(**AT_WORK), ProcessState.WORKING, True, True, "4 topic partitions assigned, state recovered"),
        (Vitals(member=True), ProcessState.STANDING_BY, True, True, "more workers than partitions"),
        (Vitals(**AT_WORK, loop_age_s=STUCK_S), ProcessState.WORKING, True, True, "state recovered"),
        (Vitals(**AT_WORK, loop_age_s=STUCK_S + 1), ProcessState.STUCK, False, False, "no progress for 31 s"),
        (Vitals(loop_age_s=STUCK_S + 1), ProcessState.STUCK, False, False, "no progress for 31 s"),
        (Vitals(**AT_WORK, crashed=True), ProcessState.STUCK, False, False, "the consumer gave up"),
        (Vitals(**AT_WORK, stopping=True), ProcessState.STOPPING, True, False, "finishing what is under way"),
        (Vitals(waiting_for="graph", stopping=True), ProcessState.STOPPING, True, False, "finishing what is under way"),
    ],
)
def test_verdicts(vitals: Vitals, condition: ProcessState, live: bool, ready: bool, reason: str) -> None:
    assert (vitals.condition, vitals.live, vitals.ready) == (condition, live, ready)
    assert reason in vitals.report()["reason"]


async def _get(url: str) -> tuple[int, dict[str, Any]]:
    async with aiohttp.ClientSession() as session, session.get(url) as response:
        return response.status, json.loads(await response.text())


LACKS = (Lack("graph", "away", 1_700_000_000_000_000_000),)


@pytest.mark.parametrize(
    ("vitals", "livez", "healthz", "readyz"),
    [
        (Vitals(**AT_WORK), 200, 200, 200),
        (Vitals(member=True), 200, 200, 200),
        (Vitals(**AT_WORK, recovering=1), 200, 503, 503),
        (Vitals(**AT_WORK, lacks=LACKS), 200, 503, 200),
        (Vitals(waiting_for="graph"), 200, 503, 503),
        (Vitals(**AT_WORK, loop_age_s=99), 503, 503, 503),
    ],
)
async def test_what_is_served(vitals: Vitals, livez: int, healthz: int, readyz: int) -> None:
    server = WebServer(ApiSettings(port=0), registry(list), dict, lambda: vitals, lambda: None)
    await server.start()
    try:
        found = {path: await _get(f"{server.address}/{path}") for path in ("livez", "healthz", "readyz")}
        async with aiohttp.ClientSession() as session, session.post(f"{server.address}/graph/query", json={}) as r:
            assert (r.status, (await r.json())["error"]) == (503, "graph_unavailable")
    finally:
        await server.stop()
    assert [status for status, _ in found.values()] == [livez, healthz, readyz]
    assert [found["livez"][1]["live"], found["healthz"][1]["healthy"], found["readyz"][1]["ready"]] == [
        status == 200 for status in (livez, healthz, readyz)
    ]
    assert {body["condition"] for _, body in found.values()} == {vitals.condition.value}
    assert all(body["reason"] for _, body in found.values())
    assert [x["what"] for x in found["healthz"][1]["lacks"]] == [x.what for x in vitals.lacks]


def _closed_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return int(s.getsockname()[1])


async def test_who_waits_for_the_broker_says_so(tmp_path: Path) -> None:
    broker = {"url": f"kafka://127.0.0.1:{_closed_port()}", "retry_s": PATIENCE_S}
    runtime = Runtime(load({"data_dir": tmp_path, "broker": broker, "api": {"port": 0}}))
    starting = asyncio.create_task(runtime.start())
    try:
        async with asyncio.timeout(PATIENCE_S):
            while not getattr(getattr(runtime, "api", None), "address", ""):
                await asyncio.sleep(0.01)
        address = runtime.api.address
        status, body = await _get(f"{address}/readyz")
        assert (status, body["condition"], body["reason"]) == (503, "starting", "waiting for the broker")
        assert (await _get(f"{address}/livez"))[0] == 200
        assert (await _get(f"{address}/healthz"))[0] == 503
        assert (await _get(f"{address}/status"))[1]["condition"] == "starting"
        async with aiohttp.ClientSession() as session, session.get(f"{address}/metrics") as response:
            text = await response.text()
        assert "homeostat_ready 0.0" in text
        assert "homeostat_live 1.0" in text
    finally:
        starting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await starting


# --- what is lacking ---------------------------------------------------------------------------------------------------


def test_since_when_something_is_lacking() -> None:
    lacks = Lacks()
    assert lacks.of({"graph": "", "log": "away"}, 5) == (Lack("log", "away", 5),)
    assert lacks.of({"graph": "slow", "log": "still away"}, 7) == (
        Lack("graph", "slow", 7),
        Lack("log", "still away", 5),
    )
    assert lacks.of({"log": ""}, 8) == ()
    assert lacks.of({"log": "away"}, 9) == (Lack("log", "away", 9),)


def test_what_is_lacking_names_no_password() -> None:
    (lack,) = Lacks().of({"policy": "http://user:" + "hunter2@opa:8181/v1 answered 500"}, 1)
    assert lack.text == "http://<secret>@opa:8181/v1 answered 500"


def test_errors_of_the_last_minute_count_and_older_ones_do_not() -> None:
    rising, second = Rising(), 10**9
    assert rising.rising({"detect tick_errors": 4}, 0) == [], "from before the first look"
    assert rising.rising({"detect tick_errors": 5, "edges unsendable": 1}, second) == [
        "detect tick_errors",
        "edges unsendable",
    ]
    assert rising.rising({"detect tick_errors": 5, "edges unsendable": 2}, 61 * second) == ["edges unsendable"]
    assert rising.rising({"detect tick_errors": 5, "edges unsendable": 2}, 130 * second) == []


async def test_a_probe_that_hangs_or_breaks_is_lacking_and_holds_up_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkup, "PATIENCE_S", 0.02)
    gate, asked = asyncio.Event(), 0

    async def hangs() -> str:
        nonlocal asked
        asked += 1
        await gate.wait()
        return ""

    async def breaks() -> str:
        raise KeyError("x")

    async def well() -> str:
        return ""

    found = Checkup({"hangs": hangs, "breaks": breaks, "well": well}, ManualClock(1))
    await found.ask()
    await found.ask()
    assert found.found == {"hangs": "does not answer within 0 s", "breaks": "'x'", "well": ""}
    assert asked == 1, "who hasn't answered isn't asked again"
    gate.set()
    await asyncio.sleep(0)
    await found.ask()
    assert found.found["hangs"] == ""
    await found.stop()


@pytest.fixture
async def running(tmp_path: Path) -> AsyncIterator[Runtime]:
    settings = {"data_dir": tmp_path, "api": {"port": 0}, "receivers": {"grpc_port": 0, "http_port": 0}}
    runtime = Runtime(load(settings, environ={}))
    await runtime.start()
    yield runtime
    await runtime.stop()


async def _until_healthz(runtime: Runtime, status: int, what: str = "") -> dict[str, Any]:
    async with asyncio.timeout(PATIENCE_S):
        while True:
            await runtime._checkup.ask()
            found, body = await _get(f"{runtime.api.address}/healthz")
            if found == status and (not what or what in {x["what"] for x in body["lacks"]}):
                return body
            await asyncio.sleep(0.05)


def _raise(error: Exception) -> Any:
    raise error


async def _araise(error: Exception) -> Any:
    raise error


async def test_no_kind_of_trouble_looks_well(running: Runtime, monkeypatch: pytest.MonkeyPatch) -> None:
    body = await _until_healthz(running, 200)
    assert (body["healthy"], body["lacks"]) == (True, [])
    worker = type(running.worker)

    def behind(m: pytest.MonkeyPatch) -> None:
        m.setattr(worker, "behind_s", property(lambda _: 240.0))

    def disk_full(m: pytest.MonkeyPatch) -> None:
        m.setattr(data_folder, "free_bytes", lambda _: 1_000_000)

    def read_only(m: pytest.MonkeyPatch) -> None:
        m.setattr(data_folder, "unwritable", lambda _: "read-only file system")

    def graph_away(m: pytest.MonkeyPatch) -> None:
        m.setattr(running.store, "query", lambda *_, **__: _raise(GraphUnavailable("gone")))

    def log_away(m: pytest.MonkeyPatch) -> None:
        m.setattr(running.broker, "ends", lambda _: _araise(BrokerUnavailable("gone")))

    def policy_away(m: pytest.MonkeyPatch) -> None:
        m.setattr(running.acting._policy, "evaluate", lambda _: _araise(PolicyUnavailable("gone")))

    def plug_in(m: pytest.MonkeyPatch) -> None:
        m.setattr(running.acting.targets, "troubles", {"mine": "cannot describe cart: KeyError: 'x'"})

    def stage(_: pytest.MonkeyPatch) -> None:
        running.worker.host.counters["detect", "tick_errors"] += 1

    cases = {
        "pace": (behind, "240 s behind"),
        "data": (disk_full, "1 MB are left"),
        "data ": (read_only, "read-only"),
        "graph": (graph_away, "gone"),
        "log": (log_away, "gone"),
        "policy": (policy_away, "gone"),
        "actuator mine": (plug_in, "KeyError"),
        "stages": (stage, "detect tick_errors"),
    }
    for what, (break_it, text) in cases.items():
        with monkeypatch.context() as m:
            break_it(m)
            body = await _until_healthz(running, 503, what.strip())
            assert text in next(x["text"] for x in body["lacks"] if x["what"] == what.strip())
            assert (await _get(f"{running.api.address}/livez"))[0] == 200, "a restart mends nothing of it"
            assert (await _get(f"{running.api.address}/status"))[1]["healthy"] is False
        if what != "stages":
            await _until_healthz(running, 200)


async def test_a_task_that_keeps_failing_shows(running: Runtime) -> None:
    async def breaks() -> None:
        raise OSError("every time")

    task = Supervised("test-breaks", breaks).start()
    body = await _until_healthz(running, 503, "background")
    assert "test-breaks (OSError: every time)" in body["lacks"][0]["text"]
    await task.stop()
    await _until_healthz(running, 200)
