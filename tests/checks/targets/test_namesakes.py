"""Workloads that share a service's name: which of them would be touched, from what telemetry says of them to what leaves for the cluster.

The sick one is touched where the pods that telemetry names show that it is the one; else none of them, and a person is told of all.
"""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import msgspec
import pytest

from connectors.otlp.decode import decode
from contracts.claims import CONTESTED, parsed
from contracts.settings import ActSettings, IngestSettings
from contracts.topics import OTLP_SPANS
from contracts.units import SECOND
from playbooks.guards import singled_out
from playbooks.language.model import Guards
from streams.windows.collect import Receipt
from streams.windows.collect_spans import SpanCollector
from tests.checks.targets.cluster import Objects, actuator_on, pod_uid
from tests.unit.connectors.otlp.builders import traces
from tests.unit.playbooks.runs.support import RESTART, T0, World, decision, frame

ENVIRONMENTS: Mapping[str, Any] = {"production": {"namespaces": ["shop"]}}
BEGAN_S, UNTIL_S = 60, 85
KEYS = {"deployments": "deployment", "statefulsets": "statefulset", "daemonsets": "daemonset"}


@dataclass(frozen=True)
class Sender:
    """Who sends spans as service `cart`: `says` of workload, pod (name and uid), both, or nothing. `fails` of ten requests per second
    from `BEGAN_S` on, `always` before, too; `slow` times as long."""

    kind: str
    name: str
    says: str = "workload pod"
    fails: int = 0
    always: int = 0
    slow: float = 1.0
    extra: Mapping[str, str] = field(default_factory=dict)
    until_s: int = 10**9

    def attributes(self, number: int) -> dict[str, str]:
        """Its resource, of its pod of this number."""
        found = {"service.name": "cart", "deployment.environment.name": "production", **self.extra}
        found["k8s.namespace.name"] = "shop"
        if "workload" in self.says:
            found[f"k8s.{KEYS.get(self.kind, self.kind)}.name"] = self.name
        if "pod" in self.says:
            suffix = {"deployments": "-7d9f8b6c5d-bbbb", "statefulsets": "-", "daemonsets": "-bbbb"}.get(
                self.kind, "-29387520-bbbb"
            )
            found |= {"k8s.pod.name": f"{self.name}{suffix}{number}"}
            found |= {"k8s.pod.uid": pod_uid("shop", self.name, number)}
        return found

    def sent(self, second: int, number: int) -> Any:
        """What it sends in a second: ten requests of two routes."""
        failing = self.fails if second >= BEGAN_S else self.always
        took = 0.02 * (self.slow if second >= BEGAN_S else 1.0)
        at = T0 + second * SECOND
        spans = [
            {
                "kind": 2,
                "name": f"GET /{i % 2}",
                "code": 2 if i < failing else 0,
                "start_time_unix_nano": at + i * SECOND // 20,
                "end_time_unix_nano": at + i * SECOND // 20 + int(took * (1 + 0.1 * (i % 3)) * SECOND),
                "span_id": (second * 100 + i * 8 + number).to_bytes(8, "big"),
            }
            for i in range(10)
        ]
        return traces(self.attributes(number), *spans)


def heard(senders: list[Sender], seconds: int = UNTIL_S) -> dict[str, str]:
    """What is claimed of the service in the end."""
    collector = SpanCollector(IngestSettings(), 4, Counter())
    for second in range(seconds):
        for sender in (s for s in senders if second < s.until_s):
            now_ns = collector.now_ns = T0 + (second + 1) * SECOND
            message = sender.sent(second, 2 + 2 * (second % 2)).SerializeToString()
            collector.add(decode(OTLP_SPANS, message), Receipt(now_ns, now_ns))
    names = collector.names["production"]
    return parsed(names.attributes[names.number("shop/cart")])


async def play(objects: Objects, claimed: Mapping[str, str]) -> list[str]:
    """What is touched when a restart of the service is decided."""
    playbook = replace(RESTART, guards=Guards(blast_radius=1.0, max_concurrent=100))
    world = World(playbook, settings=ActSettings.model_validate({"environments": ENVIRONMENTS}))
    kubernetes = actuator_on(objects, ENVIRONMENTS)
    world.process = kubernetes  # type: ignore[assignment]
    executor = world.born()
    evidence = frame(T0, {"shop/cart": (50.0, 0.0)}, environment="production")
    await executor.on_evidence(replace(evidence, signal="spans", attributes=(json.dumps(dict(claimed)),)))
    decided = msgspec.structs.replace(decision(name="d1", target="shop/cart"), environment="production")
    await executor.on_decision(decided)
    await executor.idle()
    await executor.stop()
    await kubernetes.close()
    return [path.removeprefix("/apis/apps/v1/namespaces/shop/") for method, path, _ in objects.seen if method != "GET"]


def cluster(*others: tuple[str, str]) -> Objects:
    """Workloads of one chart or several, all labelled `cart`, and others."""
    objects = Objects()
    label = {"app.kubernetes.io/name": "cart"}
    for kind, name in others:
        objects.add("shop", kind, name, labels=label, pods=2)
    return objects


D, S, DS = "deployments", "statefulsets", "daemonsets"
BLUE, GREEN, CART, CANARY, WORKER = "cart-blue", "cart-green", "cart", "cart-canary", "cart-worker"
FAILS = {"fails": 6}
CASES: dict[str, tuple[list[Sender], list[str]]] = {
    "green fails": ([Sender(D, BLUE), Sender(D, GREEN, **FAILS)], [f"{D}/{GREEN}"]),
    "blue fails": ([Sender(D, BLUE, **FAILS), Sender(D, GREEN)], [f"{D}/{BLUE}"]),
    "both fail": ([Sender(D, BLUE, **FAILS), Sender(D, GREEN, **FAILS)], []),
    "neither fails": ([Sender(D, BLUE), Sender(D, GREEN)], []),
    "by pods alone": ([Sender(D, BLUE, "pod"), Sender(D, GREEN, "pod", **FAILS)], [f"{D}/{GREEN}"]),
    "by workloads alone": ([Sender(D, BLUE, "workload"), Sender(D, GREEN, "workload", **FAILS)], []),
    "a canary of the name's owner": ([Sender(D, CART, "pod"), Sender(D, CANARY, "pod", **FAILS)], [f"{D}/{CANARY}"]),
    "the owner beside its canary": ([Sender(D, CART, "pod", **FAILS), Sender(D, CANARY, "pod")], [f"{D}/{CART}"]),
    "web is slow beside a worker": ([Sender(D, CART, slow=6.0), Sender(D, WORKER)], [f"{D}/{CART}"]),
    "a worker that always fails": ([Sender(D, CART, **FAILS), Sender(D, WORKER, fails=2, always=2)], [f"{D}/{CART}"]),
    "of two kinds": ([Sender(D, CART), Sender(S, "cart-db", **FAILS)], [f"{S}/cart-db"]),
    "of three": ([Sender(D, CART), Sender(D, WORKER, **FAILS), Sender(DS, "cart-agent")], [f"{D}/{WORKER}"]),
    "a failing CronJob": ([Sender(D, CART), Sender("cronjob", "cart-nightly", **FAILS)], []),
    "a CronJob beside": ([Sender(D, CART, **FAILS), Sender("cronjob", "cart-nightly")], [f"{D}/{CART}"]),
    "a CronJob by its pods": ([Sender(D, CART, "pod"), Sender("cronjob", "cart-nightly", "pod", **FAILS)], []),
    "only a CronJob": ([Sender("cronjob", "cart-nightly", **FAILS)], []),
    "nothing is told": ([Sender(D, BLUE, ""), Sender(D, GREEN, "", **FAILS)], []),
    "a name that others have, too": ([Sender(D, CART, ""), Sender(D, CANARY, "", **FAILS)], []),
    "a name that others have, but one pod": ([Sender(D, CANARY, "pod", **FAILS)], [f"{D}/{CANARY}"]),
    "one says both, one its pods": ([Sender(D, BLUE, **FAILS), Sender(D, BLUE, "pod", **FAILS)], [f"{D}/{BLUE}"]),
}


@pytest.mark.parametrize("case", CASES)
def test_the_sick_one_is_touched_or_none(case: str) -> None:
    senders, expected = CASES[case]
    objects = cluster(*dict.fromkeys((s.kind, s.name) for s in senders if s.kind in KEYS))
    if "have" in case:
        objects = cluster((D, CART), (D, CANARY))
    assert asyncio.run(play(objects, singled_out(heard(senders)))) == expected


def test_a_person_is_told_of_all() -> None:
    told = singled_out(heard([Sender(D, BLUE, **FAILS), Sender(D, GREEN, **FAILS)]))[CONTESTED]
    assert f"{BLUE} (" in told
    assert f"{GREEN} (" in told
    assert "requests failed lately" in told


def test_who_failed_and_is_gone_is_not_the_sick_one() -> None:
    gone = Sender(D, BLUE, fails=10, until_s=UNTIL_S - 15)
    told = singled_out(heard([gone, Sender(D, GREEN), Sender(D, CART, **FAILS)], seconds=UNTIL_S + 60))
    assert told["k8s.deployment.name"] == CART


def test_a_strangers_claim_is_not_singled_out() -> None:
    """Who says to be a part of the service, and sick, with a name of another's pod, or none, restarts nothing of that other."""
    for extra in ({"k8s.pod.uid": "made-up"}, {"k8s.pod.uid": pod_uid("shop", CART, 2)}, {"k8s.pod.uid": ""}):
        objects = cluster((D, CART))
        objects.add("shop", D, "payments", pods=2)
        stranger = Stranger(D, "payments", fails=10, extra=extra)
        assert asyncio.run(play(objects, singled_out(heard([Sender(D, CART), stranger])))) == []


class Stranger(Sender):
    """Whose extra attributes are the last word."""

    def attributes(self, number: int) -> dict[str, str]:
        return super().attributes(number) | dict(self.extra)
