"""Which cluster an environment stands for: by the settings, never by what telemetry says.

A cluster is known by the uid of its namespace kube-system. Two contexts may lead to one cluster; what both environments could reach
then has no environment of its own, and is not acted on.
"""

from __future__ import annotations

import re
import time
from typing import Final

from connectors.actuators.kubernetes import workload
from connectors.actuators.kubernetes.actuator import Workloads
from connectors.actuators.kubernetes.allowed import ACTIONS, rules_of
from connectors.actuators.kubernetes.client import Cluster
from contracts.errors import HomeostatError, InvalidTarget
from contracts.ports import Applied, Identity, StepRequest, StepResult, Target, TargetState
from contracts.settings import ActSettings, BindingSettings

NAME: Final = "kubernetes"
UNBOUND: Final = "unbound_environment"
_UID: Final = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_AGAIN_S: Final = 60.0
"""Pause before a cluster of another environment, which could not be asked who it is, is asked again."""


class KubernetesActuator:
    """The workloads of the clusters that environments are bound to. What is done with them: `Workloads`."""

    name = NAME
    actions = ACTIONS

    def __init__(self, settings: ActSettings) -> None:
        self._clusters = Clusters(settings)

    async def resolve(self, target: Target) -> Identity:
        """The workload in the cluster that the target's environment is bound to."""
        return await (await self._clusters.of(target)).resolve(target)

    async def describe(self, target: Target) -> TargetState:
        """As `Workloads.describe`."""
        return await (await self._clusters.of(target)).describe(target)

    async def apply(self, request: StepRequest) -> StepResult:
        """As `Workloads.apply`."""
        return await (await self._clusters.of(request.target)).apply(request)

    async def applied(self, request: StepRequest) -> Applied:
        """As `Workloads.applied`."""
        return await (await self._clusters.of(request.target)).applied(request)

    async def close(self) -> None:
        """Close connections."""
        await self._clusters.close()


class Clusters:
    """The clusters of all environments; each is connected to when it is first asked for."""

    def __init__(self, settings: ActSettings) -> None:
        self._settings = settings
        self._clusters: dict[str, Cluster] = {}
        self._asked: dict[str, float] = {}

    async def of(self, target: Target) -> Workloads:
        """The workloads of the cluster that the target's environment is bound to.

        Raises:
            InvalidTarget: it is bound to none, or the target can't be one of them. Nothing was asked about the target.
        """
        environment = target.environment
        binding = self._settings.binding(environment, NAME)
        if binding is None:
            raise InvalidTarget(self._settings.unbound(environment), reason=UNBOUND)
        namespace = workload.places(target)[0].namespace
        if binding.namespaces and namespace not in binding.namespaces:
            raise InvalidTarget(
                f"namespace {namespace} is not one of those that environment {environment!r} is bound to",
                reason=UNBOUND,
                fix=f"act.environments has {', '.join(binding.namespaces)}",
            )
        cluster = self._at(binding)
        uid = await cluster.uid()
        if _UID.fullmatch(binding.cluster) and binding.cluster != uid:
            raise InvalidTarget(
                f"environment {environment!r} is bound to cluster {binding.cluster}, and this is {uid}", reason=UNBOUND
            )
        await self._ensure_nobody_elses(environment, binding, uid)
        return Workloads(cluster, rules_of(self._settings.kube_take_over, self._settings.kube_owners))

    async def close(self) -> None:
        """Close all connections."""
        for cluster in self._clusters.values():
            await cluster.close()

    def _at(self, binding: BindingSettings) -> Cluster:
        context = self._context(binding)
        if context not in self._clusters:
            self._clusters[context] = Cluster(context)
        return self._clusters[context]

    def _context(self, binding: BindingSettings) -> str:
        named = binding.cluster and not _UID.fullmatch(binding.cluster)
        return binding.cluster if named else self._settings.kube_context

    async def _ensure_nobody_elses(self, environment: str, binding: BindingSettings, uid: str) -> None:
        for other in self._settings.environments:
            theirs = self._settings.binding(other, NAME)
            if other == environment or theirs is None or not _share(binding, theirs):
                continue
            if await self._uid_of(theirs) == uid:
                raise InvalidTarget(
                    f"environments {environment!r} and {other!r} are bound to one cluster, {uid}",
                    reason=UNBOUND,
                    fix="name the namespaces of each in act.environments",
                )

    async def _uid_of(self, binding: BindingSettings) -> str:
        """The uid of another environment's cluster; "" where it can't be asked: that must not stop what is bound well."""
        context, now = self._context(binding), time.monotonic()
        if now - self._asked.get(context, -_AGAIN_S) < _AGAIN_S and not self._at(binding).known:
            return ""
        self._asked[context] = now
        try:
            return await self._at(binding).uid()
        except HomeostatError:
            return ""


def _share(one: BindingSettings, other: BindingSettings) -> bool:
    """Whether they would have something in common if they were of one cluster."""
    return not one.namespaces or not other.namespaces or bool(set(one.namespaces) & set(other.namespaces))
