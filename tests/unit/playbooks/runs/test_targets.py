"""What a run touches: found before anybody is asked, and the same until the effect."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import msgspec
import pytest

from contracts.errors import ActionFailed, InvalidTarget, TargetNotFound
from contracts.events import Decision
from contracts.ports import Identity, Target, TargetState
from contracts.settings import ActSettings, BindingSettings
from contracts.verdicts import HeldReason, RunState
from playbooks.guards import Held
from playbooks.language.model import Guards, Step
from playbooks.runs.arguments import resolve, restore
from playbooks.runs.effects import Aim, find_target
from playbooks.runs.plan import RunPlan, Surroundings, plan_of
from tests.unit.playbooks.runs.support import BOUND, RESTART, T0, Process, World, approval, decision, frame

DEPLOYMENT = Identity(
    "kubernetes:c1", "Deployment", "cart", "shop", "u1", {"k8s.namespace.name": "shop", "k8s.deployment.name": "cart"}
)


@pytest.fixture
async def world() -> World:
    world = World(replace(RESTART, guards=Guards(blast_radius=1.0, max_concurrent=9)), settings=_settings())
    world.process.identity = DEPLOYMENT
    return world


def _settings(**more: object) -> ActSettings:
    return ActSettings.model_validate({"audit_ack_s": 0.2, "environments": BOUND, "max_concurrent": 9, **more})


async def test_policy_journal_audit_and_request_speak_of_the_thing(world: World) -> None:
    hostile = '{"k8s.deployment.name":"x/../y"}'
    await world.executor.on_evidence(replace(frame(T0, {"cart": (50.0, 0.0)}), attributes=(hostile,)))
    await world.executor.on_decision(decision())
    await world.executor.idle()
    target = world.policy.asked[0]["target"]
    assert target == {
        "cluster": "kubernetes:c1",
        "namespace": "shop",
        "kind": "Deployment",
        "name": "cart",
        "uid": "u1",
        "service": "cart",
        "attributes": dict(DEPLOYMENT.attributes),
        "replicas": 2,
        "ready": 2,
        "version": "1.1",
        "taken_at_once": 0,
    }
    assert "x/../y" not in str(world.policy.asked)
    assert world.process.requests[0].identity == DEPLOYMENT
    (entry,) = world.journal.entries.values()
    assert entry.steps[0].data["identity"]["uid"] == "u1"
    await world.done()
    (said,) = (r for r in world.actions if r.step and r.type.endswith("intent"))
    assert (said.data["identity"], said.data["uid"]) == ("kubernetes:c1/Deployment/shop/cart", "u1")


@pytest.mark.parametrize("other", [replace(DEPLOYMENT, uid="u2"), replace(DEPLOYMENT, name="coredns")])
async def test_what_became_something_else_meanwhile_is_left_alone(world: World, other: Identity) -> None:
    asked = 0

    async def evaluate(document: object) -> object:
        nonlocal asked
        asked += 1
        world.process.identity = other  # policy has just allowed the one before
        return world.policy.verdict

    world.policy.evaluate = evaluate  # type: ignore[method-assign,assignment]
    await world.executor.on_decision(decision())
    await world.executor.idle()
    assert (world.state(), world.process.requests, asked) == (RunState.REFUSED, [], 1)
    await world.done()
    reason = next(r.data["reason"] for r in world.actions if r.type.endswith("skipped"))
    assert reason == "target_changed"


async def test_a_person_approves_a_thing_and_not_a_name() -> None:
    world = World(replace(RESTART, tier=3))
    world.process.identity = DEPLOYMENT
    await world.executor.on_decision(decision())
    await world.executor.idle()
    world.process.identity = replace(DEPLOYMENT, uid="u2")
    await world.executor.on_approval(approval())
    await world.executor.idle()
    assert (world.state(), world.process.requests) == (RunState.REFUSED, [])
    await world.done()
    asked, refused = world.actions[-2:]
    assert "it acts on Deployment shop/cart in kubernetes:c1" in asked.text
    assert (refused.data["reason"], "(uid u1, now u2)" in refused.text) == ("target_changed", True)


async def test_an_environment_that_is_not_bound_is_not_acted_on() -> None:
    world = World(settings=ActSettings(environments={"elsewhere": BindingSettings()}))
    await world.executor.on_decision(decision())
    await world.executor.idle()
    assert (world.state(), world.process.requests) == (RunState.REFUSED, [])
    await world.done()
    assert world.actions[-1].data["reason"] == "unbound_environment"
    assert "act.environments would need {'test': {}}" in world.actions[-1].text


@pytest.mark.parametrize(
    ("given", "told"),
    [("", "invalid_target"), ("unbound_environment", "unbound_environment"), ("of_its_own", "invalid_target")],
)
async def test_names_that_are_none_are_refused_in_one_word(world: World, given: str, told: str) -> None:
    """The actuator's word where it is one of those that operators know."""
    why = "'x/../y' can't be the name of a namespace"
    world.process.describe_error = InvalidTarget(why, reason=given) if given else InvalidTarget(why)
    await world.executor.on_decision(decision())
    await world.executor.idle()
    assert (world.state(), world.process.requests) == (RunState.REFUSED, [])
    await world.done()
    assert world.actions[-1].data["reason"] == told


async def test_rival_claims_ask_a_person_who_reads_them(world: World) -> None:
    for signal, name in (("spans", "cart"), ("logs", "coredns")):
        told = f'{{"k8s.deployment.name":"{name}"}}'
        seen = replace(frame(T0, {"cart": (50.0, 0.0)}), signal=signal, attributes=(told,))
        await world.executor.on_evidence(seen)
    await world.executor.on_decision(decision())
    await world.executor.idle()
    assert (world.state(), world.process.requests) == (RunState.AWAITING_APPROVAL, [])
    await world.executor.on_approval(approval())
    await world.executor.idle()
    assert len(world.process.applied_keys) == 1
    await world.done()
    asked = next(r for r in world.actions if r.type.endswith("awaiting_approval"))
    assert "telemetry says different things of what cart is: k8s.deployment.name is" in asked.text
    assert "it acts on Deployment shop/cart" in asked.text


async def test_claims_that_differ_since_the_decision_hold_the_effect(world: World) -> None:
    verdict = world.policy.verdict

    async def evaluate(document: object) -> object:
        for signal, name in (("spans", "cart"), ("logs", "coredns")):
            told = f'{{"k8s.deployment.name":"{name}"}}'
            seen = replace(frame(T0, {"cart": (50.0, 0.0)}), signal=signal, attributes=(told,))
            await world.executor.on_evidence(seen)
        return verdict

    world.policy.evaluate = evaluate  # type: ignore[method-assign,assignment]
    await world.executor.on_decision(decision())
    await world.executor.idle()
    assert (world.state(), world.process.requests) == (RunState.REFUSED, [])
    await world.done()
    assert next(r.data["reason"] for r in world.actions if r.type.endswith("skipped")) == "target_contested"


def _elsewhere(name: str) -> Decision:
    return msgspec.structs.replace(decision(name=name), environment="other", incident="i2")


async def test_two_environments_that_lead_to_one_thing_have_one_of_everything() -> None:
    both = {**BOUND, "other": BindingSettings()}
    world = World(replace(RESTART, guards=Guards(blast_radius=1.0)), settings=_settings(environments=both))
    world.process.identity = DEPLOYMENT
    await asyncio.gather(world.executor.on_decision(decision()), world.executor.on_decision(_elsewhere("d2")))
    await world.executor.idle()
    assert sorted([world.state("d1"), world.state("d2")]) == [RunState.REFUSED, RunState.VERIFYING]
    assert len(world.process.applied_keys) == 1
    await world.done()
    (refused,) = (r for r in world.actions if r.type.endswith("refused"))
    assert refused.data["reason"] in {"concurrency", "cooldown"}


class Bell(Process):
    """Knows what anything is called, and of nothing how it is."""

    async def describe(self, target: Target) -> TargetState:
        raise TargetNotFound(f"no {target.service}")

    async def resolve(self, target: Target) -> Identity:
        return self.identity


def bell(name: str, action: str) -> Bell:
    return Bell(identity=Identity(name, "service", "cart"), name=name, actions=frozenset({action}))


@pytest.mark.parametrize("count", [1, 2, 3])
@pytest.mark.parametrize("action", ["webhook", "command"])
async def test_who_does_what_needs_no_state_says_itself_what_it_is_about(action: str, count: int) -> None:
    bells = [bell(f"bell-{i}", action) for i in range(count)]
    unable = bell("unable", "other")
    found = await find_target(plan(), action, [unable, *bells], _settings())
    assert found == Aim(bells[0], bells[0].identity, None)
    # Who knows how the target is knows what it is about, though somebody else does it.
    knows = replace(unable, name="knows")
    cart = plan_of(decision(), RESTART, now_ns=T0, surroundings=Surroundings())
    known = Process(identity=DEPLOYMENT, actions=frozenset())
    found = await find_target(cart, action, [knows, *bells, known], _settings())
    assert found == Aim(bells[0], DEPLOYMENT, await known.describe(cart.aim))


# --- arguments


def plan(**attributes: str) -> RunPlan:
    told = {f"k8s.{k}.name": v for k, v in attributes.items()}
    return plan_of(decision(target="shop/-rf"), RESTART, now_ns=T0, surroundings=Surroundings(told))


def command(*args: object) -> Step:
    return Step("flush", "command", {"name": "flush", "args": list(args)})


@pytest.mark.parametrize("written", ["${{ service.attributes['k8s.deployment.name'] }}", " ${{ service.version }}"])
@pytest.mark.parametrize("value", ["-rf", "--all", "-"])
def test_telemetry_writes_no_options(written: str, value: str) -> None:
    state = TargetState(1, 1, version=value)
    with pytest.raises(ActionFailed, match="argument 2 would be an option"):
        resolve(plan(deployment=value), command("--all", written), state)


def test_the_author_may_write_options_and_telemetry_values_of_them() -> None:
    args = ("--all", "-v", -1, "--service=${{ service.name }}", "${{ service.name }}")
    assert resolve(plan(), command(*args), None)["args"] == ["--all", "-v", -1, "--service=shop/-rf", "shop/-rf"]


def test_a_rollback_goes_back_to_what_was_or_to_what_is_written() -> None:
    now, before = TargetState(5, 5), TargetState(3, 3)
    back, fixed = (Step("back", "scale", {"replicas": written}) for written in ("before", 4))
    assert restore(plan(), back, now, before)["replicas"] == 3
    assert restore(plan(), fixed, now, before)["replicas"] == 4
    with pytest.raises(ActionFailed):
        restore(plan(), back, now, None)


def test_what_can_not_be_printed_is_no_argument() -> None:
    with pytest.raises(ActionFailed, match="argument 1 is not printable"):
        resolve(plan(deployment="a\nb"), command("--x=${{ service.attributes['k8s.deployment.name'] }}"), None)


def test_arguments_get_what_the_target_is_and_not_what_is_claimed() -> None:
    state = TargetState(1, 1, identity=DEPLOYMENT)
    args = [f"${{{{ service.attributes['k8s.{k}.name'] }}}}" for k in ("namespace", "deployment")]
    found = resolve(plan(namespace="kube-system", deployment="coredns"), command(*args), state)
    assert found["args"] == ["shop", "cart"]


@pytest.mark.parametrize(("namespace", "allowed"), [("shop", True), ("other", False), ("", False)])
async def test_what_a_plugins_actuator_finds_is_held_to_the_namespaces_of_the_environment(
    namespace: str, allowed: bool
) -> None:
    """Another process acts for the environment that the rest belongs to, and neither knows what the other does."""
    bound = {name: {"namespaces": ["shop"]} for name in BOUND}
    world = World(replace(RESTART, guards=Guards(blast_radius=1.0)), settings=_settings(environments=bound))
    world.process.name = "mine"
    world.process.identity = replace(DEPLOYMENT, namespace=namespace)
    await world.executor.on_evidence(frame(T0, {"cart": (50.0, 0.9)}, ill=["cart"]))
    await world.executor.on_decision(decision())
    await world.executor.idle()
    assert bool(world.process.requests) is allowed
    if not allowed:
        assert world.state() is RunState.REFUSED
        await world.done()
        (refused,) = (r for r in world.actions if r.state is RunState.REFUSED)
        assert refused.data["reason"] == HeldReason.UNBOUND_ENVIRONMENT
        assert "has shop" in refused.text
    await world.done()


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (InvalidTarget("not a name"), HeldReason.INVALID_TARGET),
        (ActionFailed("no answer"), None),
        (TargetNotFound("nothing"), None),
    ],
)
async def test_a_command_is_held_where_what_it_is_about_can_not_be_told_and_a_webhook_tells_somebody(
    error: Exception, reason: HeldReason | None
) -> None:
    knows = Process(identity=DEPLOYMENT, actions=frozenset(), describe_error=error)
    for action in ("webhook", "command"):
        rings = bell("bell", action)
        found = await find_target(plan(), action, [knows, rings], _settings())
        if reason is None or action == "webhook":
            assert found == Aim(rings, rings.identity, None), action
        else:
            assert isinstance(found, Held)
            assert found.reason is reason
