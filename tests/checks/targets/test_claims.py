"""Whatever telemetry calls things, no effect leaves for an object that policy did not see by its canonical identity.

Ten claims an example: 100 examples (1,000 claims) by default, 10,000 claims with TEST_CLAIMS=10000.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contracts.checks.actuator import HOSTILE
from contracts.claims import TARGET_KEYS
from contracts.ports import PolicyVerdict
from contracts.settings import ActSettings
from playbooks.language.model import Guards
from tests.checks.targets.cluster import KINDS, UID, Objects, actuator_on
from tests.patience import LONG_S
from tests.unit.playbooks.runs.support import RESTART, T0, World, decision, frame

PER_EXAMPLE = 10
EXAMPLES = int(os.environ.get("TEST_CLAIMS", "1000")) // PER_EXAMPLE
NAMESPACES = ("shop", "pay", "default", "kube-system")
NAMES = ("cart", "queue", "db", "coredns")
PROTECTED = frozenset({"kube-system"})
ENVIRONMENTS: Mapping[str, Any] = {
    "production": {"namespaces": ["shop", "default", "kube-system"]},
    "staging": {"namespaces": ["pay"]},
}
CANONICAL = re.compile(r"/apis/apps/v1/namespaces/[a-z-]+/(deployments|statefulsets|daemonsets)/[a-z]+")

hostile = st.sampled_from(
    (*HOSTILE, "x/../../kube-system", "shop/deployments/../../kube-system", "../kube-system/deployments/coredns")
) | st.text(max_size=12)
mixed = st.builds(
    lambda a, b, c: a + b + c,
    st.sampled_from(NAMES),
    st.sampled_from(("/", "/../", "%2f", ".", "-", "")),
    st.sampled_from((*NAMES, *NAMESPACES)),
)
namespace = st.sampled_from(NAMESPACES) | hostile | mixed
name = st.sampled_from(NAMES) | hostile | mixed
said = st.fixed_dictionaries(
    {},
    optional={
        "k8s.namespace.name": namespace,
        "k8s.deployment.name": name,
        "k8s.statefulset.name": name,
        "k8s.daemonset.name": name,
        "k8s.cluster.name": st.sampled_from(("a", "b")),
    },
)
claim = st.fixed_dictionaries(
    {
        "environment": st.sampled_from(("production", "production", "staging", "unbound", "../production")),
        "service": name | st.builds(lambda a, b: f"{a}/{b}", namespace, name),
        "spans": said,
        "logs": st.just({}) | st.just({}) | said,
        "anew": st.booleans(),
    }
)


class Watching:
    """A policy that protects one namespace, remembers what it allowed, and while which objects are made anew."""

    def __init__(self, objects: Objects) -> None:
        self.objects, self.anew = objects, False
        self.allowed: dict[tuple[str, str, str, str, str], int] = {}

    async def evaluate(self, document: Mapping[str, Any]) -> PolicyVerdict:
        """By the canonical target and nothing else."""
        target = document["target"]
        for key in TARGET_KEYS[1:]:
            assert target["attributes"].get(key, target["namespace"]) in {target["namespace"], target["name"]}
        if target["namespace"] in PROTECTED:
            return PolicyVerdict(False, ("protected",))
        seen = tuple(target[k] for k in ("cluster", "namespace", "kind", "name", "uid"))
        self.allowed[seen] = len(self.objects.seen)  # type: ignore[index]
        if self.anew:
            kind = f"{target['kind'].lower()}s"
            self.objects.add(target["namespace"], kind, target["name"])
        return PolicyVerdict(True)

    async def close(self) -> None:
        """Nothing to release."""


def cluster() -> Objects:
    """Every name in every namespace once; `cart` of `default` twice, so that it is ambiguous."""
    objects = Objects()
    for i, where in enumerate(NAMESPACES):
        for j, what in enumerate(NAMES):
            objects.add(where, list(KINDS)[(i + j) % 3], what)
    objects.add("default", "daemonsets", "cart")
    objects.add("default", "deployments", "cart")
    return objects


async def play(claims: list[Mapping[str, Any]]) -> tuple[Objects, Watching]:
    """One restart decided for each claim, within one cooldown."""
    objects = cluster()
    playbook = replace(RESTART, guards=Guards(blast_radius=1.0, max_concurrent=100))
    world = World(playbook, settings=ActSettings.model_validate({"environments": ENVIRONMENTS, "max_concurrent": 100}))
    watching = Watching(objects)
    kubernetes = actuator_on(objects, ENVIRONMENTS)
    world.process, world.policy = kubernetes, watching  # type: ignore[assignment]
    executor = world.born()
    for i, one in enumerate(claims):
        watching.anew = one["anew"]
        environment, service = one["environment"], one["service"]
        for signal in ("spans", "logs"):
            told = json.dumps(one[signal]) if one[signal] else ""
            heard = frame(T0, {service: (50.0, 0.0)}, environment=environment)
            await executor.on_evidence(replace(heard, signal=signal, attributes=(told,)))
        decided = decision(name=f"d{i}", target=service)
        await executor.on_decision(msgspec.structs.replace(decided, environment=environment, incident=f"i{i}"))
        await executor.idle()
    await executor.stop()
    await kubernetes.close()
    return objects, watching


@pytest.mark.timeout(LONG_S)
@settings(max_examples=EXAMPLES)
@given(st.lists(claim, min_size=PER_EXAMPLE, max_size=PER_EXAMPLE))
def test_policy_has_seen_whatever_is_touched(claims: list[Mapping[str, Any]]) -> None:
    objects, watching = asyncio.run(play(claims))
    effects: Counter[str] = Counter()
    for method, path, body in objects.seen:
        if method == "GET":
            continue
        assert CANONICAL.fullmatch(path), path
        _, _, _, _, _, where, kind, what = path.split("/")
        uid = json.loads(str(body))["metadata"]["uid"]
        seen = (f"kubernetes:{UID}", where, KINDS[kind], what, uid)
        assert seen in watching.allowed, f"{method} {path} of {uid}: policy was not asked about it"
        assert where not in PROTECTED
        effects[path] += 1
    assert all(n == 1 for n in effects.values()), f"an object was touched twice within its cooldown: {effects}"
    for method, path, _ in objects.seen:
        assert not {".", "..", ""} & set(path[1:].split("/")), f"{method} {path}"
        assert "%" not in path, f"{method} {path}"


def told(service: str, environment: str = "production", logs: Mapping[str, str] | None = None, **spans: str) -> Any:
    """One claim; names of attributes are those of Kubernetes."""
    attributes = {f"k8s.{key}.name": value for key, value in spans.items()}
    return {"environment": environment, "service": service, "spans": attributes, "logs": logs or {}, "anew": False}


def touched(*claims: Any) -> list[str]:
    """Paths of the effects."""
    objects, _ = asyncio.run(play(list(claims)))
    return [path for method, path, _ in objects.seen if method != "GET"]


CART = "/apis/apps/v1/namespaces/shop/deployments/cart"


def test_what_is_claimed_well_is_touched() -> None:
    queue = "/apis/apps/v1/namespaces/pay/daemonsets/queue"
    assert touched(
        told("shop/cart", namespace="shop", deployment="cart"),
        told("queue", "staging", namespace="pay", daemonset="queue"),
    ) == [CART, queue]


def test_two_services_of_one_workload_share_its_cooldown() -> None:
    assert touched(
        told("cart", namespace="shop", deployment="cart"),
        told("basket", namespace="shop", deployment="cart"),
        told("shop/other", namespace="shop", deployment="cart"),
    ) == [CART]


def test_names_that_are_none_lead_nowhere() -> None:
    for where in ("x/../kube-system", "..", "shop/deployments/cart/../../../kube-system", "shop%2f..%2fkube-system"):
        assert touched(told("coredns", namespace=where, deployment="coredns")) == []
        assert touched(told("cart", namespace="shop", deployment=f"{where}/deployments/coredns")) == []
    assert touched(told("../../kube-system/deployments/coredns")) == []


def test_what_is_not_the_environments_is_not_touched() -> None:
    assert touched(told("cart", "unbound", namespace="shop", deployment="cart")) == []
    assert touched(told("cart", "staging", namespace="shop", deployment="cart")) == []
    assert touched(told("queue", namespace="pay", daemonset="queue")) == []


def test_what_is_contested_or_ambiguous_is_not_touched() -> None:
    other = {"k8s.namespace.name": "shop", "k8s.deployment.name": "coredns"}
    assert touched(told("cart", logs=other, namespace="shop", deployment="cart")) == []
    assert touched(told("cart")) == [], "two kinds of workloads in namespace default have that name"
    assert touched(told("cart", namespace="shop", deployment="cart", cluster="a"), told("cart", cluster="b")) == [CART]
