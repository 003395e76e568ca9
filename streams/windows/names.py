"""Service names as numbers: what a source has seen of one environment, and where each service's partials belong."""

from __future__ import annotations

from typing import Any

import numpy as np

from contracts.claims import REPEAT_NS, TARGET_KEYS, Claim, Claims, parsed, spelled
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
_WORKLOADS = frozenset({f"k8s.{kind}.name" for kind in ("deployment", "statefulset", "daemonset", "cronjob", "job")})
_POD = frozenset({"k8s.pod.uid", "k8s.pod.name"})
"""Of who names no workload any of its pods will do: the cluster knows to which workload it belongs."""


class Names:
    """Services (and uninstrumented peers) of one environment, numbered as they are first seen.

    `version` is the last one seen, `attributes` (JSON) what all resources of a service claim that it is (`contracts.claims`);
    `fresh` names whose attributes have not been sent on yet, or not for a while.
    """

    def __init__(self, environment: str, partitions: int, most: int) -> None:
        self.environment, self.partitions, self.most = environment, partitions, most
        self.text: list[str] = []
        self.version: list[str] = []
        self.attributes: list[str] = []
        self.fresh: set[int] = set()
        self._number: dict[str, int] = {}
        self._target: list[int] = []
        self._resources: dict[Resource, tuple[int, Claim]] = {}
        self._claims: dict[int, Claims] = {}
        self._told_ns: dict[int, int] = {}

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

    def resource(self, resource: Resource, now_ns: int) -> int:
        """The number of a resource's service, whose identity is taken note of; -1 if there is no room."""
        known = self._resources.get(resource)
        if known is not None and self.version[known[0]] == (resource.version or self.version[known[0]]):
            known[1].repeat(now_ns)
            self._tell(known[0], now_ns, news=False)
            return known[0]
        number = self.number(resource.service)
        if number < 0:
            return number
        if len(self._resources) > 8 * self.most:
            self._resources.clear()
        self.version[number] = resource.version or self.version[number]
        self._resources[resource] = number, self._identify(number, resource, now_ns)
        return number

    def _identify(self, number: int, resource: Resource, now_ns: int) -> Claim:
        """Resources that say the same of what would be acted on are one claim, whatever else they say."""
        claims = self._claims.setdefault(number, Claims())
        told = dict(resource.attributes)
        apart = INSTANCE_KEYS if _WORKLOADS & told.keys() else INSTANCE_KEYS - _POD
        said = {k: v for k, v in told.items() if k not in apart}
        origin = spelled({k: v for k, v in said.items() if k in TARGET_KEYS})
        before = claims.by[origin].attributes if origin in claims.by else None
        merged = {**(before or {}), **said}
        claim = claims.hear(origin, merged, now_ns)
        self._tell(number, now_ns, news=merged != before)
        return claim

    def _tell(self, number: int, now_ns: int, *, news: bool) -> None:
        """What is claimed is sent on if it is news, and now and then in any case: so that it is known to be alive."""
        if news or now_ns - self._told_ns.get(number, now_ns) >= REPEAT_NS:
            self.attributes[number] = spelled(self._claims[number].merged(now_ns))
            self.fresh.add(number)
            self._told_ns[number] = now_ns

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
            "claims": [[n, self._told_ns.get(n, 0), c.state()] for n, c in sorted(self._claims.items())],
        }

    def load(self, state: dict[str, Any]) -> None:
        """Take the state of a snapshot."""
        for name in state["text"]:
            self.number(name)
        self.version, self.attributes = list(state["version"]), list(state["attributes"])
        self.fresh = set(state["fresh"])
        if "claims" in state:
            self._claims = {n: Claims.of(claims) for n, _, claims in state["claims"]}
            self._told_ns = {n: told_ns for n, told_ns, _ in state["claims"]}
        else:  # of before there were claims: it has what was last said, by nobody knows whom
            self._claims = {n: _of_old(text) for n, text in enumerate(self.attributes) if text}


def _of_old(text: str) -> Claims:
    attributes = parsed(text)
    origin = spelled({k: v for k, v in attributes.items() if k in TARGET_KEYS})
    return Claims({origin: Claim(attributes, 0.0, 0, 0)})
