"""Service names as numbers: what a source has seen of one environment, and where each service's partials belong."""

from __future__ import annotations

import json
from typing import Any

import numpy as np

from contracts.frames import Resource
from contracts.frames.telemetry import I64
from contracts.topics import partition_of

INSTANCE_KEYS = frozenset(
    {
        *("service.instance.id", "service.version", "k8s.pod.uid", "k8s.pod.name", "k8s.pod.ip", "k8s.node.name"),
        *("container.id", "container.name", "host.name", "host.id", "process.pid"),
    }
)
"""Attributes that tell replicas of a service apart; what is left identifies the workload."""


class Names:
    """Services (and uninstrumented peers) of one environment, numbered as they are first seen.

    `version` and `attributes` (JSON of what identifies the workload) are the last ones seen; `fresh` names whose
    attributes have not been sent on yet.
    """

    def __init__(self, environment: str, partitions: int, most: int) -> None:
        self.environment, self.partitions, self.most = environment, partitions, most
        self.text: list[str] = []
        self.version: list[str] = []
        self.attributes: list[str] = []
        self.fresh: set[int] = set()
        self._number: dict[str, int] = {}
        self._target: list[int] = []
        self._resources: dict[Resource, int] = {}

    def __len__(self) -> int:
        return len(self.text)

    def number(self, name: str) -> int:
        """The number of a name; -1 if there is no room for another."""
        found = self._number.get(name)
        if found is None:
            if len(self.text) >= self.most:
                return -1
            found = self._number[name] = len(self.text)
            self.text.append(name)
            self.version.append("")
            self.attributes.append("")
            self._target.append(partition_of(f"{self.environment}/{name}", self.partitions))
        return found

    def resource(self, resource: Resource) -> int:
        """The number of a resource's service, whose identity is taken note of; -1 if there is no room."""
        known = self._resources.get(resource)
        if known is not None and self.version[known] == (resource.version or self.version[known]):
            return known
        number = self.number(resource.service)
        if number < 0:
            return number
        if len(self._resources) > 8 * self.most:
            self._resources.clear()
        self._resources[resource] = number
        self.version[number] = resource.version or self.version[number]
        self._identify(number, resource)
        return number

    def _identify(self, number: int, resource: Resource) -> None:
        known: dict[str, str] = json.loads(self.attributes[number] or "{}")
        merged = {**known, **{k: v for k, v in resource.attributes if k not in INSTANCE_KEYS}}
        if merged != known:
            self.attributes[number] = json.dumps(merged, sort_keys=True, separators=(",", ":"))
            self.fresh.add(number)

    def targets(self) -> I64:
        """Partition of services of each name."""
        return np.array(self._target, np.int64)

    def news(self, number: int) -> str:
        """Attributes that were not sent on yet, which they are from now on; else ""."""
        if number not in self.fresh:
            return ""
        self.fresh.discard(number)
        return self.attributes[number]

    def state(self) -> dict[str, Any]:
        """For a snapshot."""
        return {
            "text": self.text,
            "version": self.version,
            "attributes": self.attributes,
            "fresh": sorted(self.fresh),
        }

    def load(self, state: dict[str, Any]) -> None:
        """Take the state of a snapshot."""
        for name in state["text"]:
            self.number(name)
        self.version, self.attributes = list(state["version"]), list(state["attributes"])
        self.fresh = set(state["fresh"])
