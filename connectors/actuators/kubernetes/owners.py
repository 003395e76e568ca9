"""Who decides on an object, besides whoever asks us: its controller, what applies it from a repository, what makes it as a hook. Pure.

What a controller or a GitOps tool wants of an object it will say again: a change behind its back is undone, or becomes a quarrel. So
it is left alone, with the word what to change instead. What such a tool does not want of the object is free: a rolling restart
writes annotations that no repository declares, and both Argo CD and Flux leave those alone.

https://kubernetes.io/docs/concepts/overview/working-with-objects/owners-dependents/,
https://argo-cd.readthedocs.io/en/stable/user-guide/resource_tracking/, https://fluxcd.io/flux/components/kustomize/kustomizations/
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from connectors.actuators.kubernetes.ownership import Path, appliers, managers
from connectors.actuators.kubernetes.workload import Json, labels_of, marks_of
from contracts.errors import ActionFailed

OWNED: Final = "owned"
"""The reason of a refusal because somebody else decides."""
LAST_APPLIED: Final = "kubectl.kubernetes.io/last-applied-configuration"
ROLLOUT: Final = "Rollout.argoproj.io"
_HOOKS: Final = {"helm.sh/hook": "Helm", "argocd.argoproj.io/hook": "Argo CD"}
REFERENCED: Final = "rollout.argoproj.io/workload-generation"
"""Argo Rollouts marks a Deployment so whose template a Rollout uses (spec.workloadRef)."""
_MANAGED_BY: Final = "app.kubernetes.io/managed-by"
_KEDA: Final = "keda-operator"
_PRIMARY: Final = "operator-sdk/primary-resource"
_PRIMARY_TYPE: Final = "operator-sdk/primary-resource-type"
_METACONTROLLER: Final = "metacontroller.k8s.io/"
_HARMLESS: Final = frozenset({"Namespace", "Node", "ConfigMap", "Secret", "ServiceAccount"})
"""Owners in the sense of garbage collection only: nothing reconciles for them."""
_INSTEAD: Final = {
    "ScaledObject.keda.sh": "change minReplicaCount or maxReplicaCount of the ScaledObject, or pause it with the annotation "
    "autoscaling.keda.sh/paused-replicas",
    "Canary.flagger.app": "release through Flagger: it copies what is in the Canary's targetRef once that has proved itself",
    ROLLOUT: "kubectl argo rollouts undo, abort or promote",
}


@dataclass(frozen=True, slots=True)
class OwnerInfo:
    """Whom an object belongs to. `group` is the API group, "" for the core or where it isn't said."""

    kind: str
    group: str
    name: str
    controls: bool

    @property
    def of_kind(self) -> str:
        """`Canary.flagger.app`, as the settings name it."""
        return f"{self.kind}.{self.group}" if self.group else self.kind

    def __str__(self) -> str:
        return f"{self.kind} {self.name}" + (f" ({self.group})" if self.group else "")


@dataclass(frozen=True, slots=True)
class DeliveryTool:
    """What applies an object again and again from a repository: a tool, and what it calls the thing that the object is a part of."""

    tool: str
    part_of: str
    managers: frozenset[str]
    """Its field managers; the settings name any of them to let us take over from it."""
    keeps_annotations: bool = True
    """Whether it leaves annotations alone that it does not declare."""

    def __str__(self) -> str:
        return f"{self.tool} ({self.part_of})" if self.part_of else self.tool

    @property
    def manager(self) -> str:
        """One of its field managers, for the settings."""
        return next((m for m in ("argocd-controller", "kustomize-controller") if m in self.managers), self.tool)

    @property
    def instead(self) -> str:
        """What a person can do."""
        what = f" of {self.part_of}" if self.part_of else ""
        return f"change it in the repository{what}; a field that is to be ours must not be in it"


_ARGO: Final = frozenset({"argocd-controller", "argocd-application-controller", "argocd", "argocd-server"})
_FLUX: Final = frozenset({"kustomize-controller", "helm-controller", "gotk-kustomize-controller"})
_OTHERS: Final[Mapping[str, str]] = {
    "configmanagement.gke.io/managed": "Config Sync",
    "configsync.gke.io/resource-id": "Config Sync",
    "objectset.rio.cattle.io/id": "Fleet or a k3s add-on",
    "fleet.cattle.io/bundle-id": "Fleet",
    "kapp.k14s.io/app": "kapp",
    "kapp.k14s.io/identity": "kapp",
    "app.oam.dev/name": "KubeVela",
    "kluctl.io/discriminator": "Kluctl",
    "addonmanager.kubernetes.io/mode": "the add-on manager",
    "olm.owner": "the Operator Lifecycle Manager",
}
"""Labels or annotations of other tools that apply again and again; whether they keep what they don't declare is not known."""


def owners_of(thing: Json) -> list[OwnerInfo]:
    """Its owners, the controller first."""
    found = []
    for one in thing["metadata"].get("ownerReferences") or ():
        group, slash, _ = str(one.get("apiVersion", "")).partition("/")
        owner = OwnerInfo(str(one["kind"]), group if slash else "", str(one["name"]), bool(one.get("controller")))
        if owner.controls or owner.kind not in _HARMLESS:
            found.append(owner)
    found += [] if found else _said_owners(thing)
    return sorted(found, key=lambda o: not o.controls)


def _said_owners(thing: Json) -> Iterator[OwnerInfo]:
    """Owners that references can't tell of, because they are in another namespace or only leave their mark."""
    marks, labels = marks_of(thing), labels_of(thing)
    kind, dot, group = marks.get(_PRIMARY_TYPE, "").partition(".")
    if kind:
        yield OwnerInfo(
            kind, group if dot else "", marks.get(_PRIMARY, "").rpartition("/")[2] or "unnamed", controls=True
        )
    elif any(key.startswith(_METACONTROLLER) for key in marks):
        yield OwnerInfo("CompositeController", "metacontroller.k8s.io", "unnamed", controls=True)
    elif labels.get(_MANAGED_BY, "").endswith("-operator") and labels[_MANAGED_BY] != _KEDA:
        yield OwnerInfo(labels[_MANAGED_BY], "", f"(by label {_MANAGED_BY})", controls=True)


def keda_of(autoscaler: Json) -> OwnerInfo | None:
    """The ScaledObject behind an autoscaler, where its owner reference does not say so but its labels do."""
    labels = labels_of(autoscaler)
    name = labels.get("scaledobject.keda.sh/name", "")
    made = labels.get(_MANAGED_BY) == _KEDA or str(autoscaler["metadata"]["name"]).startswith("keda-hpa-")
    if not name and not made:
        return None
    return OwnerInfo("ScaledObject", "keda.sh", name or labels.get("app.kubernetes.io/name", "of KEDA"), controls=True)


def source_of(thing: Json) -> DeliveryTool | None:
    """The GitOps tool that applies it, by its labels, annotations and field managers."""
    labels, marks, by = labels_of(thing), marks_of(thing), managers(thing)
    argo = [
        marks.get("argocd.argoproj.io/tracking-id", "").partition(":")[0],
        labels.get("argocd.argoproj.io/instance", ""),
    ]
    instance = labels.get("app.kubernetes.io/instance", "")  # Argo's label, too, but only where it is there at all
    applied = by & _ARGO and (instance or appliers(thing, ()) & _ARGO)
    if any(argo) or applied or any(k.startswith("argocd.argoproj.io/") for k in (*labels, *marks)):
        name = next((n for n in (*argo, instance) if n), "")
        whole = "Replace=true" in marks.get("argocd.argoproj.io/sync-options", "")  # then nothing of ours stays
        return DeliveryTool("Argo CD", f"Application {name}" if name else "", _ARGO, keeps_annotations=not whole)
    for prefix, kind in (("kustomize.toolkit.fluxcd.io", "Kustomization"), ("helm.toolkit.fluxcd.io", "HelmRelease")):
        off = marks.get(f"{prefix}/reconcile", labels.get(f"{prefix}/reconcile")) == "disabled"
        once = marks.get(f"{prefix}/ssa", labels.get(f"{prefix}/ssa", "")).lower() in ("ifnotpresent", "ignore")
        if (off or once) and kind == "Kustomization":
            return None  # its owner has told Flux to leave it alone
        if labels.get(f"{prefix}/name"):
            name = f"{kind} {labels.get(f'{prefix}/namespace', '')}/{labels[f'{prefix}/name']}"
            return DeliveryTool("Flux", name, _FLUX)
    if by & _FLUX:
        return DeliveryTool("Flux", "", _FLUX)
    for key, tool in _OTHERS.items():
        if key in labels or key in marks:
            value = labels.get(key) or marks.get(key) or ""
            if tool == "Config Sync" and value == "disabled":
                continue
            return DeliveryTool(tool, "", frozenset({tool}), keeps_annotations=False)
    return None


def declares(thing: Json, source: DeliveryTool, path: Path) -> bool | None:
    """Whether the tool wants a value of a field; None where that can't be told.

    Server-side apply says so in managedFields, client-side apply keeps what it applied in an annotation.
    """
    applied = marks_of(thing).get(LAST_APPLIED)
    if applied:
        try:
            return _holds(json.loads(applied), path)
        except ValueError:
            return None
    entries = [
        e
        for e in thing["metadata"].get("managedFields") or ()
        if e.get("manager") in source.managers and not e.get("subresource")
    ]
    if not entries:
        return None
    return any(_holds(e.get("fieldsV1"), [f"f:{part}" for part in path]) for e in entries)


def ensure_not_owned(thing: Json, verb: str, allowed: Collection[str]) -> None:
    """May its spec be changed at all? `allowed`: kinds of owners, as `Kind.group`, that don't mind.

    Raises:
        ActionFailed: it belongs to a controller, or is a hook.
    """
    what = f"{thing.get('kind', 'object')} {thing['metadata']['name']}"
    for key, tool in _HOOKS.items():
        if key in marks_of(thing):
            raise ActionFailed(
                f"{what} is a hook of {tool} ({key}: {marks_of(thing)[key]}), which makes and deletes it",
                reason=OWNED,
                fix=f"change what {tool} installs",
            )
    if REFERENCED in marks_of(thing):
        raise ActionFailed(
            f"{what} only lends its template to a Rollout of Argo (spec.workloadRef), which runs the pods",
            reason=OWNED,
            fix=_INSTEAD[ROLLOUT],
        )
    for owner in owners_of(thing):
        if not {owner.of_kind, owner.kind} & set(allowed):
            raise refusal(what, owner, verb)


def refusal(what: str, owner: OwnerInfo, verb: str) -> ActionFailed:
    """That something is its owner's to change."""
    instead = _INSTEAD.get(owner.of_kind) or f"change it in {owner.kind} {owner.name}"
    fix = f"{instead}; or list {owner.of_kind} in act.kube_owners, if it does not mind"
    return ActionFailed(
        f"can't {verb} {what}: it is controlled by {owner}, which would change it back", reason=OWNED, fix=fix
    )


def ensure_not_declared(thing: Json, path: Path, take_over: Collection[str]) -> None:
    """May a field be changed, as far as a repository goes? `take_over`: field managers that don't mind.

    Raises:
        ActionFailed: it is declared there, or that can't be told.
    """
    source = source_of(thing)
    if source is None or source.managers & set(take_over):
        return
    declared, field = declares(thing, source, path), ".".join(path)
    if declared is False:
        return
    what = f"{thing.get('kind', 'object')} {thing['metadata']['name']}"
    said = "declares" if declared else "may declare"
    raise ActionFailed(
        f"{what} is applied by {source}, which {said} {field} and would change it back",
        reason=OWNED,
        fix=f"{source.instead}; or list {source.manager!r} in act.kube_take_over, if it ignores {field}",
    )


def ensure_keeps_annotations(thing: Json, take_over: Collection[str]) -> None:
    """May annotations be added that no repository declares?

    Raises:
        ActionFailed: it isn't known that its tool leaves them alone; taking them away again would be a second roll-out.
    """
    source = source_of(thing)
    if source is None or source.keeps_annotations or source.managers & set(take_over):
        return
    what = f"{thing.get('kind', 'object')} {thing['metadata']['name']}"
    raise ActionFailed(
        f"{what} is applied by {source}, of which it isn't known that it leaves a restart's annotations alone",
        reason=OWNED,
        fix=f"restart it there; or list {source.manager!r} in act.kube_take_over, if it does",
    )


def _holds(fields: Any, path: Collection[str]) -> bool:
    for part in path:
        if not isinstance(fields, Mapping) or part not in fields:
            return False
        fields = fields[part]
    return True
