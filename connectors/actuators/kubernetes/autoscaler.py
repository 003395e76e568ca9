"""A workload's HorizontalPodAutoscaler: whose replicas are its to choose, within bounds. Pure.

What it scales is not scaled behind its back: it would take the change back. Instead its `minReplicas` is raised, and it does the
scaling. Its `maxReplicas` is its owner's word and stays, unless the owner allows more by the annotation `homeostat.io/max-replicas`.
The minimum that the owner gave is kept in an annotation, and given back when fewer replicas are asked for.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

from connectors.actuators.kubernetes.workload import Json, WorkloadPath, marks_of
from contracts.errors import ActionFailed

OWN_MINIMUM: Final = "homeostat.io/own-min-replicas"
MAY_RAISE_TO: Final = "homeostat.io/max-replicas"
GROUP: Final = "/apis/autoscaling/v2"
KIND: Final = "horizontalpodautoscalers"


@dataclass(frozen=True, slots=True)
class Bounds:
    """What it keeps between (`least`, `most`), and its owner's own minimum where we raised it, and how far `most` may be raised."""

    least: int
    most: int
    own_least: int | None
    may_raise_to: int

    @property
    def limit(self) -> int:
        """The most replicas that can be had."""
        return max(self.most, self.may_raise_to)


def of_workload(autoscalers: Iterable[Json], place: WorkloadPath, kind: str) -> list[Json]:
    """Those that scale a workload of this kind (as in its JSON): one, or none, if nobody made a mistake."""
    found = []
    for one in autoscalers:
        ref = one["spec"]["scaleTargetRef"]
        if (ref["kind"], ref["name"], ref.get("apiVersion", "").partition("/")[0]) == (
            kind,
            place.name,
            place.group[0],
        ):
            found.append(one)
    return found


def bounds_of(autoscaler: Json) -> Bounds:
    """Its bounds; the API server's default for the minimum is 1."""
    spec, marks = autoscaler["spec"], marks_of(autoscaler)
    own = marks.get(OWN_MINIMUM, "")
    allowed = marks.get(MAY_RAISE_TO, "")
    return Bounds(
        least=int(spec.get("minReplicas", 1)),
        most=int(spec["maxReplicas"]),
        own_least=int(own) if own.isdigit() else None,
        may_raise_to=int(allowed) if allowed.isdigit() else 0,
    )


def path_of(place: WorkloadPath, autoscaler: Json) -> str:
    """Where it is."""
    return place.of_namespace(GROUP, KIND, str(autoscaler["metadata"]["name"]))


def asked(autoscaler: Json, replicas: int) -> tuple[Bounds, str]:
    """The bounds with which it keeps at least `replicas` (or, for fewer, its own again), and that in words.

    Raises:
        ActionFailed: its owner does not let it.
    """
    now, name = bounds_of(autoscaler), autoscaler["metadata"]["name"]
    if replicas > now.limit:
        raise ActionFailed(
            f"HorizontalPodAutoscaler {name} allows at most {now.limit} replicas, not {replicas}",
            reason="autoscaler_limit",
            fix=f"raise its maxReplicas, or let Homeostat raise it by the annotation {MAY_RAISE_TO}",
        )
    if replicas == now.least:
        return now, f"{name} keeps at least {replicas} already"
    if replicas > now.least:
        own = now.least if now.own_least is None else now.own_least
        most = max(now.most, replicas)
        return Bounds(replicas, most, own, now.may_raise_to), f"minReplicas of {name} raised to {replicas}"
    if now.own_least is not None:
        words = f"{name} has its own minReplicas of {now.own_least} again"
        return Bounds(now.own_least, now.most, None, now.may_raise_to), words
    raise ActionFailed(
        f"HorizontalPodAutoscaler {name} keeps at least {now.least} replicas: fewer is for it to decide",
        reason="autoscaler_limit",
        fix="change its minReplicas",
    )


def told(autoscaler: Json | None, last_action: str) -> str:
    """One line by which a change of it is known: bounds, and the key of our last action on it."""
    if autoscaler is None:
        return ""
    now, key = bounds_of(autoscaler), marks_of(autoscaler).get(last_action, "")
    return f"{autoscaler['metadata']['name']} {now.least}..{now.most} {key}".rstrip()


def spec_of(bounds: Bounds, *, with_most: bool) -> dict[str, Any]:
    """The fields of its spec that are applied."""
    spec = {"minReplicas": bounds.least}
    return spec | {"maxReplicas": bounds.most} if with_most else spec
