"""What telemetry claims a service is, and whether all who claim agree.

The attributes that say what a service runs as (TARGET_KEYS) decide what would be acted on, and whoever may send telemetry may claim
them for any service. So nobody's word simply replaces another's: claims are kept with their weight and age, and where two that are
alive differ, the merged attributes say so under the key CONTESTED. Then nothing is acted on without a person. Several workloads may
well share a service's name (blue and green, web and worker): each is a claim, however they are called and of whatever kind.

Merging is pure, and done at each place where claims of several origins meet: resources in a source partition, source partitions
in one service's features, signals in front of whoever decides or acts.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

from contracts.instance_parts import MOST_INSTANCES
from contracts.nodes import nodes_from, nodes_together, spelled_nodes
from contracts.parts import MOST_PARTS, Part, parts_from, spelled_parts, together
from contracts.units import MINUTE, SECOND

CONTESTED: Final = "homeostat.contested"
"""Attribute that telemetry can't send (receivers keep a fixed list), with the rival claims in words."""
PODS: Final = "homeostat.pods"
"""Attribute that telemetry can't send: how the workload must be called, by the names of its pods, where no sender names one."""
PARTS: Final = "homeostat.parts"
"""Attribute that telemetry can't send: the workloads that are claimed for one service, and how each does (`contracts.parts`)."""
INSTANCES: Final = "homeostat.instances"
"""Attribute that telemetry can't send: how the instances of a service fare (`contracts.instance_parts`), while one does otherwise than before."""
NODES: Final = "homeostat.nodes"
"""Attribute that telemetry can't send: the nodes on which a service's instances run (`contracts.nodes`)."""
CHOSEN: Final = "homeostat.chosen"
"""Attribute that telemetry can't send: why one of several workloads is meant, in words."""
WORKLOAD_KEYS: Final = (
    "k8s.deployment.name",
    "k8s.statefulset.name",
    "k8s.daemonset.name",
    "k8s.cronjob.name",
    "k8s.job.name",
)
TARGET_KEYS: Final = ("k8s.cluster.name", "k8s.namespace.name", *WORKLOAD_KEYS, PODS)
POD_KEYS: Final = ("k8s.pod.uid", "k8s.pod.name", "k8s.pod.ip")
_PUT_TOGETHER: Final = frozenset({*TARGET_KEYS, PARTS, INSTANCES, NODES, CONTESTED})
_NAMES: Final = {PODS: "the workload of its pods"}
HORIZON_NS: Final = 600 * SECOND
"""A claim that nobody has repeated for this long is over: a workload was renamed, or a stranger has gone."""
HALF_LIFE_NS: Final = 300 * SECOND
REPEAT_NS: Final = MINUTE
"""Claims are passed on again this often, so that the next place knows which are alive."""
MOST: Final = 16
"""Claims kept per service; the lightest gives way. Two that differ are enough to be contested."""


@dataclass(slots=True)
class Claim:
    """What some origin says of a service. `weight` halves with age; `last_ns` is when it was last repeated."""

    attributes: Mapping[str, str]
    weight: float
    first_ns: int
    last_ns: int
    part: Part | None = None
    """How its requests fare, while there are rivals."""

    def repeat(self, now_ns: int) -> None:
        """It was said again."""
        self.weight = self.at(now_ns) + 1.0
        self.last_ns = max(self.last_ns, now_ns)

    def at(self, now_ns: int) -> float:
        """Its weight now."""
        return float(self.weight * 0.5 ** (max(0, now_ns - self.last_ns) / HALF_LIFE_NS))


@dataclass(slots=True)
class Claims:
    """The claims about one service, by their origin or their own words."""

    by: dict[str, Claim] = field(default_factory=dict)

    def hear(self, origin: str, attributes: Mapping[str, str], now_ns: int) -> Claim:
        """An origin says this; what it said before is replaced. The claim, to be repeated."""
        known = self.by.get(origin)
        if known is None:
            known = self.by[origin] = Claim(attributes, 0.0, now_ns, now_ns)
            if len(self.by) > MOST:
                del self.by[min(self.by, key=lambda o: (o == origin, self.by[o].at(now_ns), o))]
        known.attributes = attributes
        known.repeat(now_ns)
        return known

    def merged(self, now_ns: int) -> dict[str, str]:
        """All that is claimed and alive, and whether it is contested. Where claims differ the heaviest counts, or the oldest."""
        ranked = _agreeing(self.ranked(now_ns))
        found: dict[str, str] = {}
        for claim in sorted(ranked, key=lambda c: c.last_ns):
            found.update({k: v for k, v in claim.attributes.items() if k not in _PUT_TOGETHER})
        for key, most in ((PARTS, MOST_PARTS), (INSTANCES, MOST_INSTANCES)):
            told = [parts_from(c.attributes[key]) for c in ranked if key in c.attributes]
            if told:
                found[key] = spelled_parts(together(told, most=most))
        if nodes := nodes_together(nodes_from(c.attributes.get(NODES, "")) for c in ranked):
            found[NODES] = spelled_nodes(nodes)
        contested = [c.attributes[CONTESTED] for c in ranked if CONTESTED in c.attributes]
        for key in TARGET_KEYS:
            said = _said(key, ranked, now_ns)
            if said:
                found[key] = next(iter(said))
            if len(said) > 1:
                contested.append(f"{_NAMES.get(key, key)} is {_listed(said)}")
        contested += _kinds(ranked, now_ns)
        # Parts of different claims, put together, would be a thing that nobody has claimed.
        if contested:
            for key in (*TARGET_KEYS, *POD_KEYS):
                found.pop(key, None)
            found |= {k: v for k, v in ranked[0].attributes.items() if k in TARGET_KEYS or k in POD_KEYS}
            found[CONTESTED] = "; ".join(dict.fromkeys(contested))
        return found

    def ranked(self, now_ns: int) -> list[Claim]:
        """Those that are alive, the heaviest first."""
        alive = [c for c in self.by.values() if now_ns - c.last_ns < HORIZON_NS]
        return sorted(alive, key=lambda c: (-c.at(now_ns), c.first_ns))

    def state(self) -> list[Any]:
        """For a snapshot."""
        return [[o, dict(c.attributes), c.weight, c.first_ns, c.last_ns] for o, c in self.by.items()]

    @classmethod
    def of(cls, state: list[Any]) -> Claims:
        """From a snapshot."""
        return cls({o: Claim(attributes, weight, first, last) for o, attributes, weight, first, last in state})


class ClaimsHeard:
    """What frames say of many services, by signal: kept as it came, and looked into only when somebody asks."""

    def __init__(self) -> None:
        self._by: dict[str, dict[str, tuple[str, int, int]]] = {}
        self._newest_ns = 0

    def take(self, signal: str, services: Iterable[str], attributes: Iterable[str], time_ns: int) -> None:
        """A frame's services and their attributes; "" says nothing."""
        self._newest_ns = max(self._newest_ns, time_ns)
        for service, text in zip(services, attributes, strict=False):
            if text:
                told = self._by.setdefault(service, {})
                known = told.get(signal)
                told[signal] = (text, known[1] if known and known[0] == text else time_ns, time_ns)

    def of(self, service: str) -> dict[str, str]:
        """What is said of a service, by all signals together."""
        claims = Claims()
        for signal, (text, first_ns, last_ns) in sorted(self._by.get(service, {}).items()):
            claims.by[signal] = Claim(parsed(text), 1.0, first_ns, last_ns)
        found = claims.merged(self._newest_ns)
        for key in (INSTANCES, NODES):  # whose requests fare how, and where, is the diagnosis' to judge
            found.pop(key, None)
        return dict(sorted(found.items()))


def _agreeing(ranked: list[Claim]) -> list[Claim]:
    """The claims; what the names of pods say is left out where a workload of that name is claimed: it is the same."""
    named = {v for c in ranked for k in WORKLOAD_KEYS if (v := c.attributes.get(k))}
    return [
        replace(c, attributes={k: v for k, v in c.attributes.items() if k != PODS})
        if c.attributes.get(PODS) in named
        else c
        for c in ranked
    ]


def _kinds(ranked: list[Claim], now_ns: int) -> Iterator[str]:
    """Workloads of several kinds, where no two values of one key tell that there are several."""
    keys = [{k for k in (*WORKLOAD_KEYS, PODS) if c.attributes.get(k)} for c in ranked]
    if any(one and other and not one & other for one in keys for other in keys):
        said = {k: _said(k, ranked, now_ns) for k in sorted(set().union(*keys))}
        yield "it is " + " or ".join(f"{_kind_of(k)} {v}" for k, values in said.items() for v in values)


def _kind_of(key: str) -> str:
    return "pods of" if key == PODS else key.removeprefix("k8s.").removesuffix(".name")


def _listed(said: Mapping[str, float]) -> str:
    return " or ".join(f"{v} ({share:.0%})" for v, share in said.items())


def _said(key: str, ranked: list[Claim], now_ns: int) -> dict[str, float]:
    """The values claimed for a key, heaviest claim first, each with its share."""
    weights: dict[str, float] = {}
    for claim in ranked:
        value = claim.attributes.get(key)
        if value:
            weights[value] = weights.get(value, 0.0) + claim.at(now_ns)
    whole = sum(weights.values()) or 1.0
    return {value: weight / whole for value, weight in weights.items()}


def parsed(text: str) -> dict[str, str]:
    """Attributes as a frame carries them (a JSON object, or nothing)."""
    try:
        found = json.loads(text) if text else {}
    except ValueError:
        return {}
    return {str(k): str(v) for k, v in sorted(found.items())} if isinstance(found, dict) else {}


def spelled(attributes: Mapping[str, str]) -> str:
    """Attributes as a frame carries them."""
    return json.dumps(dict(attributes), sort_keys=True, separators=(",", ":"))
