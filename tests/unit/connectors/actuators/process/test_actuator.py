"""The actuator `process`: the shipped checks on a real manager, and how the API and its failures are read."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Iterator
from typing import Any

import aiohttp
import pytest

from connectors.actuators.process.manager import ProcessManager
from connectors.actuators.process.messages import Order
from connectors.actuators.process.process_actuator import ProcessActuator, refused
from contracts.checks import actuator as checks
from contracts.errors import (
    ActionFailed,
    ActuatorUnavailable,
    Conflict,
    InvalidSettings,
    OutcomeUnknown,
    TargetNotFound,
)
from contracts.ports import Applied, StepRequest, Target
from contracts.settings import ActSettings
from tests.patience import PATIENCE_S

JSON = {"Content-Type": "application/json"}
TARGET = Target("production", "shop/cart")


def step(action: str, key: str = "k", timeout_s: float = PATIENCE_S, **arguments: Any) -> StepRequest:
    return StepRequest(key, "run-1", "step-1", action, TARGET, arguments, None, timeout_s)


@pytest.mark.parametrize("check", checks.CHECKS)
async def test_checks(check: checks.Check, manager: ProcessManager) -> None:
    await check(
        checks.Subject(
            lambda: ProcessActuator(ActSettings(process_manager=manager.url + "/")),
            TARGET,
            lambda: sum(manager.service(name)["generation"] for name in manager.names),
            {"scale": {"replicas": 2}, "restart": {"strategy": "instance"}, "rollback": {"version": "v2"}},
            unlisted="cart, shop/pay",
            marks=False,
        )
    )


async def test_names(manager: ProcessManager, actuator: ProcessActuator) -> None:
    assert (await actuator.describe(Target("e", "cart"))).replicas == 1
    assert (await actuator.describe(Target("e", "shop/cart"))).replicas == 1
    pay = await actuator.describe(Target("e", "shop/pay"))
    assert (pay.replicas, len(pay.instances), len(pay.detail)) == (2, 2, 2)
    with pytest.raises(TargetNotFound, match="it runs: cart, shop/pay"):
        await actuator.describe(Target("e", "pay"))
    with pytest.raises(TargetNotFound, match="did you mean 'shop/pay'"):
        await actuator.describe(Target("e", "shop/pax"))


async def test_failed_without_effect(actuator: ProcessActuator) -> None:
    asked = step("rollback")
    with pytest.raises(ActionFailed, match="no version but v1"):
        await actuator.apply(asked)
    assert await actuator.applied(asked) is Applied.NO


async def test_a_key_given_for_something_else(manager: ProcessManager, actuator: ProcessActuator) -> None:
    await manager.submit(Order("k", "cart", "deploy", {"version": "v2"}))
    with pytest.raises(Conflict, match="given for deploy"):
        await actuator.apply(step("scale", replicas=2))


async def test_asked_while_under_way(manager: ProcessManager, actuator: ProcessActuator) -> None:
    asked = step("rollback", version="v9")
    working = asyncio.create_task(actuator.apply(asked))
    async with asyncio.timeout(PATIENCE_S):
        while manager._open_store.find(asked.key) is None:
            await asyncio.sleep(0.01)
    assert await actuator.applied(asked) is Applied.YES, "it waits for what is under way"
    await working


async def test_interrupted_is_unknown(manager: ProcessManager, actuator: ProcessActuator) -> None:
    store = manager._open_store
    store.begin(Order("k", "cart", "scale", {"replicas": 5, "timeout_s": PATIENCE_S}))
    store.begin_life()
    assert await actuator.applied(step("scale", replicas=5)) is Applied.UNKNOWN
    with pytest.raises(OutcomeUnknown, match="the process manager ended"):
        await actuator.apply(step("scale", replicas=5))


async def test_what_the_api_refuses(manager: ProcessManager) -> None:
    bodies: dict[str, tuple[int, bytes]] = {
        "/services/nope/scale": (404, b'{"key": "k", "replicas": 1}'),
        "/services/cart/levitate": (404, b'{"key": "k"}'),
        "/services/cart/scale": (400, b'{"key": "k", "replicas": -1}'),
        "/services/cart/scale?": (400, b'{"replicas": 1}'),
        "/services/cart/restart": (400, b'{"key": "k", "strategy": "sideways"}'),
        "/services/cart/deploy": (400, b'{"key": "k", "versoin": "v2"}'),
        "/services/cart/rollback": (400, b"\xff"),
    }
    async with aiohttp.ClientSession(manager.url) as session:
        for path, (status, body) in bodies.items():
            async with session.post(path, data=body, headers=JSON) as reply:
                assert reply.status == status, (path, await reply.text())
        async with session.post("/services/cart/restart", data=b'{"key": "k"}') as reply:
            assert reply.status == 415
        assert manager.service("cart")["generation"] == 1
        async with session.get("/operations/never/seen") as reply:
            assert reply.status == 404
        async with session.get("/endpoints/nope") as reply:
            assert (reply.status, (await reply.json())["known"]) == (404, ["cart", "shop/pay"])
        async with session.get("/services") as reply:
            assert [s["name"] for s in (await reply.json())["services"]] == ["cart", "shop/pay"]
        async with session.get("/services/shop%2Fpay") as reply:
            assert (await reply.json())["ready"] == 2


def test_every_status_is_read() -> None:
    known = {
        404: TargetNotFound,
        409: Conflict,
        400: ActionFailed,
        405: ActionFailed,
        415: ActionFailed,
        422: ActionFailed,
    }
    for status in range(201, 600):
        assert type(refused(status, {})) is known.get(status, OutcomeUnknown)
    assert type(refused(409, {"state": "unknown"})) is OutcomeUnknown


# --- a manager that is away, or does not answer


@pytest.fixture
async def away() -> AsyncIterator[ProcessActuator]:
    actuator = ProcessActuator(ActSettings(process_manager="http://127.0.0.1:1"))
    yield actuator
    await actuator.close()


async def test_no_manager(away: ProcessActuator) -> None:
    with pytest.raises(ActuatorUnavailable, match=r"127\.0\.0\.1:1.*is the process manager running"):
        await away.describe(TARGET)
    with pytest.raises(ActuatorUnavailable):
        await away.apply(step("restart"))
    with pytest.raises(ActuatorUnavailable):
        await away.applied(step("restart"))


@pytest.fixture
def silent() -> Iterator[str]:
    """Takes connections and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"http://127.0.0.1:{server.getsockname()[1]}"


async def test_sent_and_not_answered(silent: str, monkeypatch: pytest.MonkeyPatch) -> None:
    actuator = ProcessActuator(ActSettings(process_manager=silent))
    with pytest.raises(OutcomeUnknown, match="sent, and no answer"):
        await actuator._call("POST", "/services/cart/restart", 0.2, {"key": "k"})
    with pytest.raises(ActuatorUnavailable):
        await actuator._call("GET", "/services", 0.2)
    await actuator.close()


def test_needs_a_url() -> None:
    with pytest.raises(InvalidSettings, match="http://host:port"):
        ProcessActuator(ActSettings(process_manager="localhost:1"))
