"""What the cluster says of the instances of services: whether any is ready, all are gone, or they are being replaced. Pure.

A pod is ready by its condition of that name. That it is says that its service works only where a readiness probe was asked; that no
pod is ready says that nothing is served, whoever asked. Where the new release's first pods are not ready and the old one's
are no longer (`Recreate`), they are being replaced, for as long as such a start may take. Pods on a machine that doesn't answer
are neither: they may well work where the API server can't see it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Final

from connectors.kubernetes.object_index import OVER
from connectors.kubernetes.objects import MachineNode, Pod, Thing, Workload
from contracts.frames import InstanceState
from contracts.units import SECOND

REPLACING_NS: Final = 60 * SECOND
"""Pods of another release that are younger than this, and have not failed yet, are starting."""


class Instances:
    """The state of each service's instances, from all objects of a cluster."""

    def __init__(self) -> None:
        self._served: dict[str, frozenset[str]] = {}
        """By service the revisions of the pods that were ready last."""

    def states(self, things: Iterable[Thing], now_ns: int) -> dict[str, InstanceState]:
        """By service, as telemetry calls it. Jobs have no state: that their pods end is as it should be."""
        pods: defaultdict[str, list[Pod]] = defaultdict(list)
        wanted: defaultdict[str, int] = defaultdict(int)
        unseen: set[str] = set()
        for thing in things:
            if isinstance(thing, Pod) and thing.lasting and thing.phase not in OVER:
                pods[thing.service].append(thing)
            elif isinstance(thing, Workload) and (thing.head.owner is None or not thing.head.owner.watched):
                wanted[thing.service] += thing.replicas
            elif isinstance(thing, MachineNode) and any(c.bad and c.type == "Ready" for c in thing.conditions):
                unseen.add(thing.head.name)
        found = {
            service: self._state(service, pods[service], wanted[service], frozenset(unseen), now_ns)
            for service in sorted({*pods, *wanted})
            if service
        }
        self._served = {service: revisions for service, revisions in self._served.items() if service in found}
        return found

    def _state(self, service: str, pods: list[Pod], wanted: int, unseen: frozenset[str], now_ns: int) -> InstanceState:
        ready = [pod for pod in pods if pod.ready]
        if ready:
            self._served[service] = frozenset(pod.revision for pod in ready)
            probed = any(pod.probed and pod.node not in unseen for pod in ready)
            return InstanceState.READY if probed else InstanceState.UNSURE
        if not wanted or any(pod.node in unseen for pod in pods):
            return InstanceState.UNSURE
        if any(self._starts(pod, service, now_ns) for pod in pods):
            return InstanceState.UNSURE
        return InstanceState.GONE

    def _starts(self, pod: Pod, service: str, now_ns: int) -> bool:
        """Whether it is the first of another release, on its way."""
        served = self._served.get(service, frozenset({pod.revision}))
        failed = any(c.restarts or c.ended for c in pod.containers if not c.sidecar)
        new = pod.revision not in served and not pod.leaving_ns and not failed
        return new and now_ns - pod.head.created_ns < REPLACING_NS


def changed(before: Mapping[str, InstanceState], now: Mapping[str, InstanceState]) -> bool:
    """Whether any service's state is another one than before."""
    return any(now.get(service, InstanceState.UNSURE) is not state for service, state in before.items()) or any(
        service not in before for service in now
    )
