"""Service names as numbers: what a source has seen of one environment, and where each service's partials belong."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Set as AbstractSet
from typing import Any, Final

import numpy as np

from connectors.otlp.folding import workload_of_job, workload_of_pod
from contracts.capacity import MERIT_NS, leaving, surplus
from contracts.claims import (
    CONTESTED,
    INSTANCES,
    NODES,
    PARTS,
    POD_KEYS,
    PODS,
    REPEAT_NS,
    TARGET_KEYS,
    WORKLOAD_KEYS,
    Claim,
    Claims,
    parsed,
    spelled,
)
from contracts.frames import Resource
from contracts.frames.decoded import F64, I64
from contracts.parts import Fared, Part, spelled_parts, together
from contracts.topics import partition_of
from contracts.units import SECOND
from streams.windows.instance_tallies import InstanceTallies
from streams.windows.whereabouts import Whereabouts

NEVER: Final = np.iinfo(np.int64).max
INSTANCE_KEYS = frozenset(
    {
        *("service.instance.id", "service.version", "k8s.pod.uid", "k8s.pod.name", "k8s.pod.ip", "k8s.node.name"),
        *("container.id", "container.name", "host.name", "host.id", "process.pid", "topology.kubernetes.io/zone"),
    }
)
"""Attributes that tell replicas of a service apart; what is left identifies the workload."""
_WORKLOADS = frozenset(WORKLOAD_KEYS)
_POD = frozenset(POD_KEYS)
"""Of who names no workload any of its pods will do: the cluster knows to which workload it belongs."""


LOOK_NS: Final = SECOND
PARTS_NS: Final = 2 * SECOND
"""How workloads that share a name fare is told this often."""


class Names:
    """Services (and uninstrumented peers) of one environment, numbered as they are first seen; at most `most`.

    `version` is the last one seen, `attributes` (JSON) what all resources of a service claim that it is (`contracts.claims`);
    `fresh` names whose attributes have not been sent on yet, or not for a while.
    `now_ns` is the time at which names are used; those that were not used for long leave where there are many (`make_room`), and
    their numbers are given to others.
    """

    def __init__(self, environment: str, partitions: int, most: int) -> None:
        self.environment, self.partitions, self.most = environment, partitions, most
        self.text: list[str] = []
        self.version: list[str] = []
        self.attributes: list[str] = []
        self.fresh: set[int] = set()
        self.now_ns = 0
        self._number: dict[str, int] = {}
        self._target: list[int] = []
        self._resources: dict[Resource, tuple[int, Claim]] = {}
        self._claims: dict[int, Claims] = {}
        self._told_ns: dict[int, int] = {}
        self._shared: set[int] = set()
        """Names that several workloads claim."""
        self._instances = InstanceTallies()
        self._whereabouts = Whereabouts()
        self._first: list[int] = []
        self._last: list[int] = []
        self._free: list[int] = []
        self.left: list[int] = []
        """Numbers of those that left when room was last made."""
        self._looked_ns = 0

    def __len__(self) -> int:
        """One more than the largest number."""
        return len(self.text)

    def number(self, name: str) -> int:
        """The number of a name; -1 if there is no room for another."""
        found = self._number.get(name)
        if found is None:
            if len(self._number) >= self.most:
                return -1
            found = self._number[name] = self._place(name)
        self._last[found] = self.now_ns
        return found

    def find(self, name: str) -> int:
        """The number of a name; -1 if it has none."""
        return self._number.get(name, -1)

    def in_use(self) -> AbstractSet[str]:
        """The names that have numbers."""
        return self._number.keys()

    def _place(self, name: str) -> int:
        target = partition_of(f"{self.environment}/{name}", self.partitions)
        if self._free:
            found = self._free.pop()
            self.text[found], self.version[found], self.attributes[found], self._target[found] = name, "", "", target
            self._first[found] = self.now_ns
            return found
        self.text.append(name)
        self.version.append("")
        self.attributes.append("")
        self._target.append(target)
        for column in (self._first, self._last):
            column.append(self.now_ns)
        return len(self.text) - 1

    def make_room(self, quiet_ns: int, in_use: Callable[[], I64] = lambda: np.empty(0, np.int64)) -> int:
        """Forget names, if there are many, that were not used for `quiet_ns` and are not `in_use`; how many left. No number of
        one that leaves may be pending."""
        self.left = []
        wanted = surplus(len(self._number), self.most)
        if not wanted or abs(self.now_ns - self._looked_ns) < LOOK_NS:
            return 0
        self._looked_ns = self.now_ns
        last = np.array(self._last, np.int64)
        last[self._free] = NEVER
        last[in_use()] = NEVER
        gone = leaving(np.array(self._first, np.int64), last, self.now_ns - quiet_ns, MERIT_NS, wanted).tolist()
        for number in gone:
            del self._number[self.text[number]]
            self.fresh.discard(number)
            self._claims.pop(number, None)
            self._shared.discard(number)
            self._told_ns.pop(number, None)
            self._instances.forget(number)
            self._whereabouts.forget(number)
        self._free += gone
        self.left, left = gone, set(gone)
        self._resources = {r: known for r, known in self._resources.items() if known[0] not in left}
        return len(gone)

    def resource(self, resource: Resource) -> int:
        """The number of a resource's service, whose identity is taken note of; -1 if there is no room."""
        known = self._resources.get(resource)
        if known is not None and self.version[known[0]] == (resource.version or self.version[known[0]]):
            self._last[known[0]] = self.now_ns
            known[1].repeat(self.now_ns)
            self._tell(known[0], self.now_ns, news=self._whereabouts.note(known[0], resource, self.now_ns))
            return known[0]
        number = self.number(resource.service)
        if number < 0:
            return number
        if len(self._resources) > 8 * self.most:
            self._resources.clear()
        self.version[number] = resource.version or self.version[number]
        self._resources[resource] = number, self._identify(number, resource, self.now_ns)
        return number

    def _identify(self, number: int, resource: Resource, now_ns: int) -> Claim:
        """Resources that say the same of what would be acted on are one claim, whatever else they say."""
        claims = self._claims.setdefault(number, Claims())
        said = _said(dict(resource.attributes))
        origin = spelled({k: v for k, v in said.items() if k in TARGET_KEYS})
        before = claims.by[origin].attributes if origin in claims.by else None
        merged = {**(before or {}), **said}
        claim = claims.hear(origin, merged, now_ns)
        self._instances.learn(number, resource)
        moved = self._whereabouts.note(number, resource, now_ns)
        self._tell(number, now_ns, news=moved or merged != before)
        return claim

    def _tell(self, number: int, now_ns: int, *, news: bool) -> None:
        """What is claimed is sent on if it is news, and now and then in any case: so that it is known to be alive."""
        every_ns = PARTS_NS if number in self._shared else REPEAT_NS
        if not news and now_ns - self._told_ns.get(number, now_ns) < every_ns:
            return
        claims = self._claims[number]
        merged = claims.merged(now_ns)
        if CONTESTED in merged:
            self._shared.add(number)
            parts = ([c.part] for c in claims.ranked(now_ns) if c.part is not None)
            merged[PARTS] = spelled_parts(together(parts, now_ns))
        else:
            self._shared.discard(number)
        if instances := self._instances.spelled(number, now_ns):
            merged[INSTANCES] = instances
        if nodes := self._whereabouts.spelled(number, now_ns):
            merged[NODES] = nodes
        self.attributes[number] = spelled(merged)
        self.fresh.add(number)
        self._told_ns[number] = now_ns

    def count_by_part(self, resources: tuple[Resource, ...], numbers: I64, sums: F64) -> None:
        """Count how the requests of workloads fare that share a name, and of the instances of a service that has several. `numbers` has the
        service of each resource, or less than 0; `sums` a row for each: requests, failed ones, those of known routes, and their pace
        (`contracts.parts.Fared`)."""
        several: set[int] = set()
        for i in np.flatnonzero(sums[:, 0] > 0).tolist():
            number = int(numbers[i])
            if number in self._shared:
                claim, told = self._resources[resources[i]][1], dict(resources[i].attributes)
                if claim.part is None:
                    claim.part = Part({k: v for k, v in claim.attributes.items() if k in TARGET_KEYS})
                claim.part.pod = {k: told[k] for k in POD_KEYS if k in told} or claim.part.pod
                claim.part.add(Fared(*sums[i].tolist()), self.now_ns)
            if self._instances.has(number):
                self._instances.count(number, resources[i], Fared(*sums[i].tolist()), self.now_ns)
                several.add(number)
        for number in sorted(several):
            if self._instances.news(number, self.now_ns):
                self._tell(number, self.now_ns, news=True)

    @property
    def are_shared(self) -> bool:
        """Whether several workloads claim any of the names."""
        return bool(self._shared)

    @property
    def counts_parts(self) -> bool:
        """Whether requests are to be counted by who served them: a name is shared, or a service has several instances."""
        return bool(self._shared or self._instances)

    def targets(self) -> I64:
        """Partition of services of each name."""
        return np.array(self._target, np.int64)

    def news(self, number: int) -> str:
        """Attributes that were not sent on lately, which they are from now on; else ""."""
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
            "free": self._free,
            "times": [self._first, self._last],
            "now": [self.now_ns, self._looked_ns],
            "nodes": self._whereabouts.state(),
        }

    def load(self, state: dict[str, Any]) -> None:
        """Take the state of a snapshot; one of before names were forgotten knows no times."""
        self.text, self.version = list(state["text"]), list(state["version"])
        self.attributes, self.fresh = list(state["attributes"]), set(state["fresh"])
        self._free, self._resources = list(state.get("free", ())), {}
        self.now_ns, self._looked_ns = state.get("now", (0, 0))
        self._first, self._last = (list(c) for c in state.get("times", [[0] * len(self.text)] * 2))
        self._whereabouts.load(state.get("nodes", []))
        free = set(self._free)
        self._number = {t: i for i, t in enumerate(self.text) if i not in free}
        self._target = [partition_of(f"{self.environment}/{t}", self.partitions) for t in self.text]
        if "claims" in state:
            self._claims = {n: Claims.of(claims) for n, _, claims in state["claims"]}
            self._told_ns = {n: told_ns for n, told_ns, _ in state["claims"]}
        else:  # of before there were claims: it has what was last said, by nobody knows whom
            self._claims = {n: _of_old(text) for n, text in enumerate(self.attributes) if text}
        self._shared = {n for n, text in enumerate(self.attributes) if CONTESTED in parsed(text)}


def _of_old(text: str) -> Claims:
    attributes = parsed(text)
    origin = spelled({k: v for k, v in attributes.items() if k in TARGET_KEYS})
    return Claims({origin: Claim(attributes, 0.0, 0, 0)})


def _said(told: dict[str, str]) -> dict[str, str]:
    """What a resource says of its workload: nothing of its own instance, but of a pod where it names no workload."""
    apart = INSTANCE_KEYS if _WORKLOADS & told.keys() else INSTANCE_KEYS - _POD
    said = {k: v for k, v in told.items() if k not in apart}
    if "k8s.cronjob.name" in said:
        said.pop("k8s.job.name", None)
    elif "k8s.job.name" in said:
        said["k8s.job.name"] = workload_of_job(said["k8s.job.name"])
    elif told.get("k8s.pod.name") and not _WORKLOADS & told.keys():
        said[PODS] = workload_of_pod(told["k8s.pod.name"])
    return said
