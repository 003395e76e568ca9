"""What is kept of resources: what identifies a workload, and one of its pods where nothing else does."""

from __future__ import annotations

import json

import pytest

from contracts.claims import PODS
from contracts.frames import Resource
from streams.windows.names import Names

POD = {"k8s.pod.uid": "u1", "k8s.pod.name": "cart-7d9f-a", "k8s.namespace.name": "shop"}


@pytest.mark.parametrize(
    ("told", "kept"),
    [
        (POD, POD | {PODS: "cart-7d9f-a"}),
        (POD | {"k8s.deployment.name": "cart"}, {"k8s.namespace.name": "shop", "k8s.deployment.name": "cart"}),
        ({"host.name": "h", "k8s.pod.uid": "u1"}, {"k8s.pod.uid": "u1"}),
        ({"service.instance.id": "i"}, {}),
    ],
)
def test_a_pod_is_kept_of_who_names_no_workload(told: dict[str, str], kept: dict[str, str]) -> None:
    names = Names("prod", 4, 10)
    number = names.resource(Resource("prod", "cart", "1", "i", tuple(sorted(told.items()))))
    assert json.loads(names.attributes[number] or "{}") == kept
