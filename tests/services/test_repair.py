"""The repair on a real control plane: what breaks, what Homeostat does about it, and that it does nothing else.

Deployments on a real API server, scheduler and controllers; pods that are real local processes; customers that measure. Homeostat has
the rights of the deployed actuator's role in the shop's namespace, and none elsewhere. Each script prints its times: run with `-s`.
"""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import Final

import pytest
import pytest_asyncio

from contracts.events import ActionRecord, Feedback
from contracts.verdicts import Outcome, RunState
from homeostat.demo.clients import Normal, learn, suffering
from homeostat.demo.play import QUIET_S
from homeostat.demo.shop.blueprint import BAD, GOOD
from homeostat.demo.watching import EventsSeen
from tests.services import workloads as w
from tests.services.kubelet import Api, ProcessKubelet
from tests.services.repair.inventory import Thing, acted_on, changed, difference, inventory
from tests.services.repair.running import Story, homeostat, listening
from tests.services.repair.shop import NAMESPACE, Shop
from tests.services.servers.cluster import cluster

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(300), pytest.mark.timed]
WITHIN_S: Final = 90.0
"""How long a script waits for its end. How fast it was is printed, and judged over all of them."""
BAR_S: Final = 30.0


@dataclass
class Stage:
    """The shop as it is usually, and what is heard of Homeostat."""

    shop: Shop
    story: Story
    normal: Normal
    times: dict[str, float] = field(default_factory=dict)

    async def until(self, condition: Callable[[], bool], what: str, heard: EventsSeen) -> None:
        """Wait; if it doesn't come, fail with what was heard instead."""
        deadline = time.monotonic() + WITHIN_S
        while not condition():
            assert time.monotonic() < deadline, f"waited {WITHIN_S:g} s for {what}; heard:\n" + told(heard)
            await asyncio.sleep(0.1)

    async def calm(self, heard: EventsSeen) -> None:
        """Every incident over, customers well: so that the next script begins where this one did."""

        def well() -> bool:
            return heard.over() and not any(self.normal.hurts(s) for s in list(self.shop.seconds)[-3:])

        await self.until(well, "calm after the repair", heard)


def told(heard: EventsSeen) -> str:
    """What was heard, a line each: seconds since the fault, what it is, its words."""
    lines = []
    for at, event in heard.events:
        what = getattr(event, "type", None) or getattr(event, "phase", None) or getattr(event, "verdict", "")
        lines.append(f"  {at - heard.began:+6.1f} s {type(event).__name__} {what}: {getattr(event, 'text', '')[:240]}")
    return "\n".join(lines)


def moments(heard: EventsSeen) -> str:
    """The loop's milestones in seconds since the fault."""
    found = {
        "detected": heard.detected(),
        "decided": heard.decided(),
        "acted": heard.first(ActionRecord, lambda r: r.type == "io.homeostat.step.intent"),
        "settled": heard.first(ActionRecord, lambda r: r.type == "io.homeostat.step.applied"),
        "verified": heard.verified(),
    }
    return ", ".join(f"{name} {at[0]:.1f}" for name, at in found.items() if at is not None)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stage(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stage]:
    folder = tmp_path_factory.mktemp("repair")
    async with AsyncExitStack() as stack:
        control_plane = await stack.enter_async_context(cluster(folder / "cluster"))
        endpoints = await stack.enter_async_context(homeostat(folder, control_plane.kubeconfig("homeostat")))
        api = await stack.enter_async_context(Api(control_plane.kubeconfig("admin")))
        kubelet = await stack.enter_async_context(ProcessKubelet(api, folder / "pods"))
        await w.namespace(api, NAMESPACE)
        await w.let_act(api, NAMESPACE)
        shop = await stack.enter_async_context(Shop(api, kubelet, endpoints.otlp_http))
        story = await stack.enter_async_context(listening(endpoints))
        await asyncio.sleep(QUIET_S)
        yield Stage(shop, story, learn(list(shop.seconds)[4:]))


async def _repaired(stage: Stage, name: str, target: str, action: str, heard: EventsSeen) -> None:
    """The script's end: one verified run, of this action on this target alone."""
    await stage.until(lambda: heard.verified() is not None, "a verified repair", heard)
    runs = heard.all(ActionRecord, lambda r: r.type == "io.homeostat.run.succeeded")
    done = heard.all(ActionRecord, lambda r: r.type == "io.homeostat.step.intent")
    assert {(r.target, r.state) for r in runs} == {(f"{NAMESPACE}/{target}", RunState.SUCCEEDED)}
    assert {(r.target, r.data["action"], r.data["actuator"]) for r in done} == {
        (f"{NAMESPACE}/{target}", action, "kubernetes")
    }
    assert {f.outcome for f in heard.all(Feedback)} == {Outcome.BETTER}
    await stage.until(lambda: _well(stage, heard) is not None, "customers to be well again", heard)
    well = _well(stage, heard)
    assert well is not None
    stage.times[name] = well
    print(f"\n{name}, seconds after the fault: {moments(heard)}, customers well {well:.1f}")


def _well(stage: Stage, heard: EventsSeen) -> float | None:
    return suffering(list(stage.shop.seconds), stage.normal, heard.began).well_s


def _of(target: str, things: set[Thing]) -> set[Thing]:
    """Those that belong to a Deployment: itself, its ReplicaSets and pods are called after it."""
    mine = f"{NAMESPACE}/{target}"
    return {(k, n) for k, n in things if n == mine or (k in {"pods", "replicasets"} and n.startswith(f"{mine}-"))}


async def test_a_load_surge_scales_the_deployment(stage: Stage) -> None:
    before, heard = await inventory(stage.shop.api), stage.story.begin()
    async with stage.shop.surge("/browse", 4.0):
        await _repaired(stage, "surge", "catalog", "scale", heard)
        catalog = await stage.shop.deployment("catalog")
        assert (catalog["spec"]["replicas"], catalog["status"]["readyReplicas"]) == (2, 2)
        assert len(await stage.shop.pods("catalog")) == 2
        await _nothing_else(stage, "catalog", before)
    await stage.calm(heard)


async def test_a_bad_release_is_undone(stage: Stage) -> None:
    before, heard = await inventory(stage.shop.api), stage.story.begin()
    await stage.shop.release("cart", BAD)
    heard.began = time.time()  # rolling out takes a while; from here on the fault is in full effect
    await _repaired(stage, "release", "cart", "rollback", heard)
    await w.rolled_out(stage.shop.api, f"{w.APPS}/namespaces/{NAMESPACE}/deployments/cart")
    cart = await stage.shop.deployment("cart")
    assert cart["spec"]["template"]["spec"]["containers"][0]["image"] == f"shop/cart:{GOOD}"
    assert w.marks_of(cart)["deployment.kubernetes.io/revision"] == "3", "1, the bad 2, and 1 again as 3"
    await _nothing_else(stage, "cart", before)
    await stage.calm(heard)


async def test_a_hung_pod_is_replaced_and_no_other(stage: Stage) -> None:
    before, heard = await inventory(stage.shop.api), stage.story.begin()
    (name,) = await stage.shop.pods("pricing")
    wanted = (await stage.shop.deployment("pricing"))["spec"]
    await stage.shop.hang(name)
    await _repaired(stage, "hang", "pricing", "restart", heard)
    (instead,) = await stage.shop.pods("pricing")
    assert instead != name
    assert (await stage.shop.deployment("pricing"))["spec"] == wanted, "a pod was replaced, and nothing rolled out"
    await _nothing_else(stage, "pricing", before)
    await stage.calm(heard)


async def test_customers_were_well_again_in_time(stage: Stage) -> None:
    """The bar, over the scripts above."""
    assert set(stage.times) == {"surge", "release", "hang"}
    median = statistics.median(stage.times.values())
    print(f"\nfrom fault to customers well: median {median:.1f} s of {stage.times}")
    assert median < BAR_S


async def _nothing_else(stage: Stage, target: str, before: dict[Thing, str]) -> None:
    """Only the target and what its controllers make of it has changed, and only the target bears our name."""
    after = await inventory(stage.shop.api)
    differ = changed(before, after)
    others = {thing: difference(before, after, thing) for thing in differ - _of(target, differ)}
    assert others == {}
    print(stage.shop.ended())
    assert ("deployments", f"{NAMESPACE}/{target}") in await acted_on(stage.shop.api)
    ours = {n for k, n in await acted_on(stage.shop.api) if k != "deployments"}
    assert ours == set(), "no pod, autoscaler or other object is written to"
