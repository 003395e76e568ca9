"""Objects from the field (../shared/field, README there): what the watch makes of them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.unit.connectors.kubernetes import objects as o
from tests.unit.connectors.kubernetes.test_model import Cluster

INPUTS = Path(__file__).parents[5] / "shared" / "field" / "inputs"


def inputs(name: str) -> list[Any]:
    if not INPUTS.is_dir():
        pytest.skip("no inputs from the field beside the checkout (../shared/field)")
    found: list[Any] = json.loads((INPUTS / name).read_text())
    return found


def test_the_old_pod_of_a_roll_out_is_no_restart() -> None:
    (case,) = inputs("F13-rollout-pod-ends.json")
    for owner in ([], [o.deployment(), o.replica_set()]):
        cluster = Cluster(since=50)
        cluster.put(*owner, case["old"])
        if owner:
            cluster.put(o.replica_set(version=4, replicas=0))
        cluster.put(case["new"])
        cluster.gone(case["new"])
        assert cluster.passes(40) == []


def test_a_release_of_an_argo_rollout_is_a_deploy() -> None:
    (case,) = inputs("F14-releases-by-controllers.json")
    cluster = Cluster()
    cluster.put(case["beside"])
    cluster.passes(1)
    cluster.put(case["new"])
    (change,) = cluster.passes(1)
    assert (change.kind, change.service, change.before, change.after) == ("deploy", "cart", "1.4", "1.5")


def test_components_under_one_label_are_two_services() -> None:
    cluster = Cluster()
    raws = inputs("F16-one-label-for-all-components.json")
    cluster.put(*raws)
    cluster.passes(1)
    names = {r["service_key"] for r in cluster.rows()["link_services"]}
    assert names == {"prod|airflow-worker", "prod|airflow-scheduler"}
    for raw in raws:
        told = {"k8s.namespace.name": "shop", "k8s.deployment.name": raw["metadata"]["name"]}
        cluster.model.learn(raw["metadata"]["name"].upper(), told, o.ns(100))
    cluster.passes(1)
    names = {r["service_key"] for r in cluster.rows()["link_services"] if not r["valid_to"]}
    assert names == {"prod|AIRFLOW-WORKER", "prod|AIRFLOW-SCHEDULER"}
