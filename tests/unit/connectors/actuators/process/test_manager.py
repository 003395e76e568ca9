"""The process manager: what becomes of services, through crashes of theirs and of its own."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import aiohttp
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connectors.actuators.process.__main__ import read_services
from connectors.actuators.process.instance import free_port
from connectors.actuators.process.manager import ManagedService, ProcessManager
from connectors.actuators.process.messages import DesiredState, Operation, OperationState, Order
from connectors.actuators.process.process_actuator import ProcessActuator
from connectors.actuators.process.store import OperationStore
from contracts.errors import ActionFailed, Conflict, InvalidSettings, TargetNotFound
from contracts.ports import Applied, StepRequest, Target
from contracts.settings import ActSettings
from tests.patience import PATIENCE_S

SignalAll = Callable[[ProcessManager, str, int], None]
ROOT = Path(__file__).resolve().parents[5]
COMMAND = (sys.executable, "-S", str(Path(__file__).with_name("service.py")), "{port}", "{version}", "{instance}")


def order(kind: str, key: str = "k", service: str = "cart", **arguments: object) -> Order:
    return Order(key, service, kind, arguments)


async def until(what: Callable[[], bool], seconds: float = PATIENCE_S) -> None:
    deadline = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < deadline, "it never came about"
        await asyncio.sleep(0.02)


def ids(manager: ProcessManager, service: str = "cart") -> list[str]:
    return [i["id"] for i in manager.service(service)["instances"]]


async def test_everything_serves_after_start(manager: ProcessManager) -> None:
    assert manager.names == ["cart", "shop/pay"]
    pay = manager.service("shop/pay")
    assert (pay["replicas"], pay["ready"], pay["version"], pay["previous_version"]) == (2, 2, "v1", "")
    for address in manager.addresses("shop/pay"):
        said = await asyncio.to_thread(lambda a=address: urllib.request.urlopen(f"http://{a}/").read())
        assert said.decode().startswith("v1 shop/pay-")
    with pytest.raises(TargetNotFound, match="there are: cart, shop/pay"):
        manager.service("nope")


async def test_scale_up_and_down(manager: ProcessManager) -> None:
    (first,) = manager.addresses("cart")
    done = await manager.submit(order("scale", "up", replicas=3))
    assert (done.state, done.result["ready"]) == (OperationState.DONE, 3)
    assert len(set(manager.addresses("cart"))) == 3
    await manager.submit(order("scale", "down", replicas=1))
    assert manager.addresses("cart") == [first], "the newest leave, the oldest stay"
    await manager.submit(order("scale", "none", replicas=0))
    assert manager.addresses("cart") == []


async def test_callers_always_have_somewhere_to_go(manager: ProcessManager) -> None:
    working = asyncio.create_task(manager.submit(order("restart", service="shop/pay")))
    old = set(manager.addresses("shop/pay"))
    while not working.done():
        assert manager.addresses("shop/pay"), "nobody served during a restart"
        await asyncio.sleep(0.01)
    assert (await working).state is OperationState.DONE
    assert not old & set(manager.addresses("shop/pay"))


async def test_a_crash_is_seen_and_left_to_others(manager: ProcessManager, signal_all: SignalAll) -> None:
    signal_all(manager, "cart", signal.SIGKILL)
    await until(lambda: manager.addresses("cart") == [])
    await asyncio.sleep(0.2)
    cart = manager.service("cart")
    assert (cart["replicas"], cart["ready"], cart["instances"][0]["alive"]) == (1, 0, False)
    await manager.submit(order("restart", strategy="rolling"))
    assert manager.service("cart")["ready"] == 1
    assert len(manager.service("cart")["instances"]) == 1


async def test_scaling_counts_only_the_living(manager: ProcessManager, signal_all: SignalAll) -> None:
    signal_all(manager, "cart", signal.SIGKILL)
    await until(lambda: manager.addresses("cart") == [])
    await manager.submit(order("scale", replicas=2))
    assert (manager.service("cart")["ready"], len(ids(manager))) == (2, 2)


async def test_a_hung_instance_stays_listed_until_it_is_replaced(
    manager: ProcessManager, signal_all: SignalAll
) -> None:
    signal_all(manager, "shop/pay", signal.SIGSTOP)
    oldest, other = manager.addresses("shop/pay")
    pids = [i["pid"] for i in manager.service("shop/pay")["instances"]]
    task = asyncio.create_task(manager.submit(order("restart", service="shop/pay", strategy="instance")))
    while oldest in manager.addresses("shop/pay"):
        await asyncio.sleep(0)  # so that no turn of the loop is missed
    assert manager.addresses("shop/pay") == [other], "taken out at once, before the new one is ready; one alone"
    assert (await task).state is OperationState.DONE
    assert manager.service("shop/pay")["ready"] == 2
    assert [p for p in pids if _runs(p)] == pids[1:], "SIGKILL ends what is frozen"


async def test_of_several_instances_the_one_that_is_not_ready_is_replaced(manager: ProcessManager) -> None:
    first, second = manager.service("shop/pay")["instances"]
    os.kill(second["pid"], signal.SIGKILL)
    await until(lambda: len(manager.addresses("shop/pay")) == 1)
    await manager.submit(order("restart", service="shop/pay", strategy="instance"))
    assert manager.service("shop/pay")["ready"] == 2
    assert first["id"] in ids(manager, "shop/pay")
    assert second["id"] not in ids(manager, "shop/pay")


async def test_restart_one_instance(manager: ProcessManager) -> None:
    first, second = ids(manager, "shop/pay")
    await manager.submit(order("restart", service="shop/pay", instance=first))
    assert second in ids(manager, "shop/pay")
    assert first not in ids(manager, "shop/pay")
    failed = await manager.submit(order("restart", "k2", service="shop/pay", instance="nobody"))
    assert failed.state is OperationState.FAILED
    assert second in failed.text


async def test_a_version_that_does_not_start_changes_nothing(manager: ProcessManager) -> None:
    before = manager.service("cart")
    crashed = await manager.submit(order("deploy", version="crashes"))
    assert crashed.state is OperationState.FAILED
    assert "this version can't start" in crashed.text
    deaf = await manager.submit(order("rollback", "k2", to="deaf", timeout_s=0.5))
    assert deaf.state is OperationState.FAILED
    assert "did not answer /healthz within 0.5 s" in deaf.text
    assert manager.service("cart") == before


async def test_a_restart_that_fails_gives_the_old_back(manager: ProcessManager) -> None:
    cart, before = manager._replicas["cart"], manager.addresses("cart")
    cart.wanted = replace(cart.wanted, version="crashes")
    assert (await manager.submit(order("restart", strategy="instance"))).state is OperationState.FAILED
    assert manager.addresses("cart") == before


async def test_versions(manager: ProcessManager) -> None:
    nowhere = await manager.submit(order("rollback", "0"))
    assert (nowhere.state, nowhere.text) == (OperationState.FAILED, "cart has run no version but v1")
    await manager.submit(order("deploy", "1", version="v2"))
    await manager.submit(order("rollback", "2"))
    cart = manager.service("cart")
    assert (cart["version"], cart["previous_version"], cart["generation"]) == ("v1", "v2", 3)
    await manager.submit(order("rollback", "3", to="v7"))
    same = await manager.submit(order("deploy", "4", version="v7"))
    assert same.text == "cart already runs version v7"
    assert manager.service("cart")["generation"] == 4


async def test_a_key_means_one_thing(manager: ProcessManager) -> None:
    both = await asyncio.gather(*(manager.submit(order("scale", replicas=2)) for _ in range(3)))
    assert {o.state for o in both} == {OperationState.DONE}
    assert manager.service("cart")["generation"] == 2
    with pytest.raises(Conflict, match="was given for scale of cart"):
        await manager.submit(order("scale", replicas=3))
    with pytest.raises(Conflict):
        await manager.submit(order("restart", service="shop/pay"))


async def test_a_key_that_failed_may_be_tried_again(manager: ProcessManager, signal_all: SignalAll) -> None:
    tried = order("rollback")
    assert (await manager.submit(tried)).state is OperationState.FAILED
    await manager.submit(order("deploy", "ci", version="v2"))
    assert (await manager.submit(tried)).state is OperationState.DONE


async def test_it_remembers(tmp_path: Path) -> None:
    services = [ManagedService("cart", COMMAND, 1, "v1")]
    for life in (1, 2):
        manager = ProcessManager(services, tmp_path / "m.sqlite")
        await manager.start()
        try:
            await manager.submit(order("scale", "a", replicas=2))
            await manager.submit(order("deploy", "b", version="v2"))
            cart = manager.service("cart")
            assert (cart["replicas"], cart["ready"], cart["version"], cart["previous_version"]) == (2, 2, "v2", "v1")
            assert cart["generation"] == 3, "the second life repeats nothing"
            assert all(i.startswith(f"cart-{life}-") for i in ids(manager))
        finally:
            await manager.stop()


async def test_cut_off_is_unknown(tmp_path: Path) -> None:
    manager = ProcessManager([ManagedService("cart", COMMAND, 1, "v1")], tmp_path / "m.sqlite")
    await manager.start()
    task = asyncio.create_task(manager.submit(order("deploy", version="deaf")))
    await until((tmp_path / "logs" / "cart-1-2.log").exists)
    await manager.stop()
    with pytest.raises(asyncio.CancelledError):
        await task
    await manager.start()
    try:
        again = await manager.submit(order("deploy", version="deaf"))
        assert (again.state, manager.service("cart")["version"]) == (OperationState.UNKNOWN, "v1")
    finally:
        await manager.stop()


async def test_a_service_that_can_not_start(tmp_path: Path) -> None:
    services = [ManagedService("cart", COMMAND, 1, "v1"), ManagedService("bad", ("/no/such/program",))]
    manager = ProcessManager(services, tmp_path / "m.sqlite")
    with pytest.raises(ActionFailed, match=r"bad-1-1 ended.*can't run /no/such/program"):
        await manager.start()
    await manager.stop()


def test_store_keeps_failed_keys_open(tmp_path: Path) -> None:
    store = OperationStore(tmp_path / "m.sqlite")
    store.begin(order("scale", "a", replicas=1))
    found = store.find("a")
    assert found is not None
    assert found.state is OperationState.RUNNING
    assert store.begin_life() == 1
    found = store.find("a")
    assert found is not None
    assert (found.state, found.order) == (OperationState.UNKNOWN, order("scale", "a", replicas=1))
    assert store.find("b") is None
    store.close()


KEYS = st.sampled_from(["a", "b"])
STEPS = st.lists(
    st.tuples(st.just("begin"), KEYS) | st.tuples(st.sampled_from(["done", "failed"]), KEYS) | st.just(("restart", "")),
    max_size=12,
)


@settings(max_examples=25)  # each writes to the disk many times
@given(STEPS)
def test_store_tells_what_became_of_every_key(steps: list[tuple[str, str]]) -> None:
    """Against the plainest model there is, the file closed and opened anew at every start."""
    model: dict[str, OperationState] = {}
    replicas = 1
    with tempfile.TemporaryDirectory() as folder:
        store = OperationStore(Path(folder) / "m.sqlite")
        for number, (what, key) in enumerate(steps, 2):
            if what == "restart":
                store.close()
                store = OperationStore(Path(folder) / "m.sqlite")
                store.begin_life()
                running = [k for k, s in model.items() if s is OperationState.RUNNING]
                model |= dict.fromkeys(running, OperationState.UNKNOWN)
            elif what == "begin":
                store.begin(order("scale", key))
                model[key] = OperationState.RUNNING
            elif model.get(key) is OperationState.RUNNING:
                model[key] = OperationState(what)
                replicas = number if what == "done" else replicas
                wanted = DesiredState(number, "v1") if what == "done" else None
                store.finish(Operation(order("scale", key), model[key]), wanted)
        for key in ("a", "b"):
            found = store.find(key)
            assert (found.state if found else None) == model.get(key)
        assert store.wanted("cart", DesiredState(1, "v1")).replicas == replicas
        store.close()


# --- as a program


def test_services_file(tmp_path: Path) -> None:
    file = tmp_path / "services.yaml"
    file.write_text(
        "- {name: a, command: [x, '{port}'], env: {A: b}}\n- {name: b, command: [y], replicas: 3, version: '2'}"
    )
    assert read_services(file) == [
        ManagedService("a", ("x", "{port}"), env={"A": "b"}),
        ManagedService("b", ("y",), 3, "2"),
    ]
    for text in ("a: b", "- {name: a}", "- [", "- {name: a, command: x}"):
        file.write_text(text)
        with pytest.raises(InvalidSettings, match=r"services\.yaml"):
            read_services(file)


async def program(folder: Path, port: int) -> asyncio.subprocess.Process:
    """The manager as a program, once it is ready."""
    started = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "connectors.actuators.process", str(folder / "services.json")),
        *("--state", str(folder / "m.sqlite"), "--port", str(port)),
        stdout=asyncio.subprocess.PIPE,
        cwd=ROOT,
    )
    assert started.stdout is not None
    line = await asyncio.wait_for(started.stdout.readline(), PATIENCE_S)
    assert line.decode().strip() == f"process manager: http://127.0.0.1:{port}"
    return started


async def test_kill_9_in_the_middle(tmp_path: Path) -> None:
    (tmp_path / "services.json").write_text(json.dumps([{"name": "cart", "command": COMMAND, "version": "v1"}]))
    port = free_port("127.0.0.1")
    url = f"http://127.0.0.1:{port}"
    manager = await program(tmp_path, port)
    async with aiohttp.ClientSession(url) as session:
        await session.post("/services/cart/scale", json={"key": "done", "replicas": 2})
        pids = [i["pid"] for i in (await (await session.get("/services/cart")).json())["instances"]]
        assert all(_runs(p) for p in pids)
        cut = asyncio.create_task(session.post("/services/cart/deploy", json={"key": "cut", "version": "deaf"}))
        await until((tmp_path / "logs" / "cart-1-3.log").exists)
        os.kill(manager.pid, signal.SIGKILL)
        await manager.wait()
        with pytest.raises(aiohttp.ClientError):
            await cut
    await until(lambda: not [p for p in pids if _runs(p)])  # they do not outlive it

    manager = await program(tmp_path, port)
    actuator = ProcessActuator(ActSettings(process_manager=url))
    target = Target("e", "cart")
    done = StepRequest("done", "r", "s", "scale", target, {"replicas": 2}, None, PATIENCE_S)
    assert await actuator.applied(done) is Applied.YES
    assert await actuator.applied(replace(done, key="cut")) is Applied.UNKNOWN
    assert await actuator.applied(replace(done, key="never")) is Applied.NO
    state = await actuator.describe(target)
    assert (state.replicas, state.ready, state.version) == (2, 2, "v1")
    await actuator.close()
    manager.terminate()
    assert await manager.wait() == 0


def _runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False
