"""Who watches: the owner of the environment's partition, and nobody else."""

from __future__ import annotations

from typing import Any, cast

import numpy as np
import pytest

from connectors.kafka.client import KafkaBroker
from connectors.kubernetes.watcher import ClusterWatcher
from contracts.events import Change, decode
from contracts.frames import EvidenceFrame, pack
from contracts.ports import ManualClock, Record, StateStore
from contracts.settings import load
from contracts.topics import CHANGES, EVIDENCE, PARTIALS, partition_of
from homeostat.cluster import ClusterWatch

PLACE = (CHANGES, partition_of("prod", 4))
OTHER = (CHANGES, (PLACE[1] + 1) % 4)


class Broker:
    """Keeps what is sent."""

    def __init__(self) -> None:
        self.sent: list[tuple[str, bytes, Any]] = []

    async def send(self, topic: str, value: bytes, **options: Any) -> None:
        self.sent.append((topic, value, options))


class State:
    """Keeps nothing."""

    async def load(self, key: str) -> bytes | None:
        return None

    async def save(self, key: str, value: bytes) -> None:
        """Nothing to keep."""

    async def close(self) -> None:
        """Nothing to close."""


def watch(broker: Broker, *, on: bool = True) -> ClusterWatch:
    settings = load({"environment": "prod", "kubernetes": {"watch": on, "context": "nowhere"}})
    state = cast("StateStore", State())
    return ClusterWatch(
        settings, cast("KafkaBroker", broker), {CHANGES: 4, PARTIALS: 4}, state, lambda _: None, ManualClock(1)
    )


async def test_the_owner_of_the_partition_watches_until_it_is_taken_away(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KUBECONFIG", "/nowhere")
    found = watch(Broker())
    assert found.status() == {}
    await found.on_assigned(frozenset({OTHER}))
    assert found.status() == {}
    await found.on_assigned(frozenset({OTHER, PLACE}))
    assert found.status()["environment"] == "prod"
    watcher = found._watcher
    await found.on_assigned(frozenset({PLACE}))
    assert found._watcher is watcher
    assert ("watch_synced", (), 0.0) in list(found.samples())
    await found.on_assigned(frozenset())
    assert found.status() == {}
    assert list(found.samples()) == []
    await found.stop()


async def test_nobody_watches_unless_told_to() -> None:
    found = watch(Broker(), on=False)
    await found.on_assigned(frozenset({PLACE}))
    assert found.status() == {}


async def test_changes_go_to_the_partition_of_the_environment() -> None:
    broker = Broker()
    change = Change(environment="prod", service="cart", kind="oom", time_ns=1)
    await watch(broker)._publish(change)
    ((topic, value, options),) = broker.sent
    assert (topic, options) == (CHANGES, {"key": b"cart", "partition": PLACE[1]})
    assert decode(Change, value) == change


async def test_telemetry_of_the_environment_names_pods(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KUBECONFIG", "/nowhere")
    learnt: list[Any] = []
    monkeypatch.setattr(ClusterWatcher, "learn", lambda _, *told: learnt.append(told))
    found = watch(Broker())
    await found.on_evidence(evidence("prod"))
    assert learnt == [], "it does not watch"
    await found.on_assigned(frozenset({PLACE}))
    await found.on_evidence(evidence("staging"))
    await found.on_evidence(evidence("prod"))
    await found.stop()
    assert learnt == [("cart", {"k8s.pod.uid": "u1"}, 7)]


def evidence(environment: str) -> Record:
    nothing = np.zeros((2, 0))
    frame = EvidenceFrame(
        environment=environment,
        signal="spans",
        partition=0,
        window_ns=7,
        width_ns=1,
        services=("cart", "web"),
        peers=(),
        versions=("", ""),
        attributes=('{"k8s.pod.uid":"u1"}', ""),
        features=(),
        values=nothing,
        counts=np.zeros(2, np.int64),
        score=nothing,
        low=nothing,
        high=nothing,
        p_value=np.ones(2),
        state=("healthy", "healthy"),
        notes=(),
    )
    return Record(EVIDENCE, 0, 0, b"", pack(frame))
