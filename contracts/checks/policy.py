"""What every policy engine must do, loaded with the built-in policy (`connectors/policy/default.rego`).

await policy.run_all(lambda: MyEngine(...))         # or
@pytest.mark.parametrize("check", policy.CHECKS)
async def test_my_engine(check): await check(lambda: MyEngine(...))
"""

from __future__ import annotations

import asyncio
import copy
from collections.abc import Awaitable, Callable
from typing import Any, Final

from contracts.checks.running import awaited_on_same
from contracts.ports import PolicyEngine, PolicyVerdict

Factory = Callable[[], PolicyEngine]
Check = Callable[[Factory], Awaitable[None]]

#: A question that is to be allowed.
QUESTION: Final[dict[str, Any]] = {
    "environment": "production",
    "incident": "i1",
    "decision": "d1",
    "run": "r1",
    "action": {"kind": "scale", "arguments": {"replicas": 3}, "touches": "target"},
    "actions": ["command", "restart", "rollback", "scale", "webhook"],
    "target": {
        "cluster": "kubernetes:0c6e5f6e-1111-4a52-8a3d-2f3b9d1c7a10",
        "namespace": "shop",
        "kind": "Deployment",
        "name": "cart",
        "uid": "6f0c2f9e-4d0e-4c58-9f0a-1f6f6f6f6f01",
        "service": "cart",
        "attributes": {"k8s.namespace.name": "shop", "k8s.deployment.name": "cart"},
        "replicas": 2,
        "ready": 2,
        "version": "1.4",
    },
    "playbook": {"name": "scale-out", "version": "1", "tier": 1, "labels": {}},
    "cause": {"kind": "saturation", "service": "shop/cart", "probability": 0.9},
    "autonomy": "act",
    "blast_radius": ["shop/cart"],
    "approved_by": "",
}


def question(**changes: dict[str, Any] | list[str] | str | None) -> dict[str, Any]:
    """QUESTION, changed: mappings are merged, None removes."""
    asked = copy.deepcopy(QUESTION)
    for name, change in changes.items():
        if change is None:
            del asked[name]
        elif isinstance(change, dict):
            asked[name] |= change
        else:
            asked[name] = change
    return asked


async def ask(factory: Factory, **changes: dict[str, Any] | list[str] | str | None) -> PolicyVerdict:
    """The verdict on a changed QUESTION."""
    engine = factory()
    try:
        return await engine.evaluate(question(**changes))
    finally:
        await engine.close()


def _denied(verdict: PolicyVerdict, word: str) -> None:
    assert not verdict.allowed, f"allowed, where {word!r} forbids it"
    assert any(word in reason for reason in verdict.denials), f"no reason speaks of {word!r}: {verdict.denials}"


async def check_allows(factory: Factory) -> None:
    """What nothing speaks against is allowed, without an approval."""
    for action, arguments in (("scale", {"replicas": 3}), ("restart", {"strategy": "rolling"}), ("rollback", {})):
        verdict = await ask(factory, action={"kind": action, "arguments": arguments})
        assert verdict == PolicyVerdict(True), f"{action}: {verdict}"
    verdict = await ask(
        factory, action={"kind": "levitate", "arguments": {"high": True}}, actions=["levitate", "scale"]
    )
    assert verdict == PolicyVerdict(True), f"the action of a plugin: {verdict}"


async def check_denies(factory: Factory) -> None:
    """What the policy forbids is denied, with the reason."""
    _denied(await ask(factory, environment=""), "environment")
    _denied(await ask(factory, action={"kind": "levitate"}), "levitate")
    for protected in ("kube-system", "kube-public", "kube-node-lease"):
        _denied(await ask(factory, target={"namespace": protected}), protected)
    _denied(await ask(factory, action={"kind": "scale", "arguments": {"replicas": 101}}), "101")
    _denied(await ask(factory, playbook={"guards": {"max_replicas": 2}}), "replicas")
    _denied(await ask(factory, action={"kind": "scale", "arguments": {}}), "replicas")
    _denied(await ask(factory, action={"kind": "scale", "arguments": {"replicas": "3"}}), "replicas")


async def check_incomplete(factory: Factory) -> None:
    """A question that lacks something gets a no, never a guess."""
    for missing in ("environment", "action", "actions", "target", "playbook", "approved_by"):
        _denied(await ask(factory, **{missing: None}), "incomplete")
    for part in ("cluster", "namespace", "kind", "name"):
        _denied(await ask(factory, target={part: None}), "incomplete")
    engine = factory()
    _denied(await engine.evaluate({}), "incomplete")
    await engine.close()


async def check_approval(factory: Factory) -> None:
    """Tier 3 wants an approval, and is allowed with one; what is denied stays so, approved or not."""
    tier = {"tier": 3}
    verdict = await ask(factory, playbook=tier)
    assert verdict == PolicyVerdict(False, (), needs_approval=True), f"tier 3: {verdict}"
    verdict = await ask(factory, playbook=tier, approved_by="ada")
    assert verdict == PolicyVerdict(True), f"tier 3, approved: {verdict}"
    _denied(await ask(factory, playbook=tier, approved_by="ada", environment=""), "environment")


async def check_steady(factory: Factory) -> None:
    """Questions at the same time don't disturb each other; the same question gets the same answer, reasons in order."""
    engine = factory()
    bad = question(environment="", action={"kind": "levitate"}, target={"namespace": "kube-system"})
    given = copy.deepcopy(bad)
    verdicts = await asyncio.gather(*(engine.evaluate(q) for q in [bad, question()] * 4))
    await engine.close()
    assert bad == given, "the question was changed"
    assert set(verdicts[1::2]) == {PolicyVerdict(True)}, f"allowed questions among denied ones: {verdicts[1::2]}"
    assert len(set(verdicts[::2])) == 1, f"one question, several answers: {set(verdicts[::2])}"
    assert list(verdicts[0].denials) == sorted(verdicts[0].denials), "reasons are not in order"
    assert len(verdicts[0].denials) == 3, f"not all reasons are given: {verdicts[0].denials}"


async def check_close(factory: Factory) -> None:
    """Closing twice is closing once."""
    engine = factory()
    await engine.evaluate(question())
    await engine.close()
    await engine.close()


CHECKS: Final[tuple[Check, ...]] = (
    check_allows,
    check_denies,
    check_incomplete,
    check_approval,
    check_steady,
    check_close,
)

run_all: Final = awaited_on_same(CHECKS)
"""Runs all checks, one after the other; AssertionError with the first thing that is wrong."""
