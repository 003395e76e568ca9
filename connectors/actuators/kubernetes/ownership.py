"""Whose a field is, read from `metadata.managedFields`. Pure.

https://kubernetes.io/docs/reference/using-api/server-side-apply/#field-management

An *Update* (kubectl scale, edit, a client-side apply, a controller) leaves its writer's name on a field but no claim: the next
writer has it. Who *applied* a field server-side says that it must have that value, and will say so again: taking it over is a
quarrel in which the last one wins. Such a field is left alone, unless its manager is one of those that the settings let us take over
from (`act.kube_take_over`).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from connectors.actuators.kubernetes.workload import Json
from connectors.kubernetes.diff.context import MANAGER
from contracts.errors import ActionFailed

Path = Sequence[str]
REPLICAS: Path = ("spec", "replicas")
RESTART_AT: Path = ("spec", "restartAt")
MINIMUM: Path = ("spec", "minReplicas")
TEMPLATE: Path = ("spec", "template", "spec")


def appliers(thing: Json, path: Path) -> set[str]:
    """The field managers that have applied something at or below a path."""
    entries = thing["metadata"].get("managedFields") or ()
    return {str(e["manager"]) for e in entries if e.get("operation") == "Apply" and _holds(e.get("fieldsV1"), path)}


def managers(thing: Json) -> set[str]:
    """All that have written it, but for its status."""
    entries = thing["metadata"].get("managedFields") or ()
    return {str(e["manager"]) for e in entries if not e.get("subresource")}


def applied_by_us(thing: Json, path: Path) -> bool:
    """Whether we have applied it: what we then leave out of the next apply would be removed."""
    return MANAGER in appliers(thing, path)


def ensure_free(thing: Json, path: Path, take_over: Collection[str]) -> None:
    """May we write it?

    Raises:
        ActionFailed: somebody else applies it, and would again.
    """
    others = sorted(appliers(thing, path) - {MANAGER} - set(take_over))
    if others:
        field, name = ".".join(path), thing["metadata"]["name"]
        raise ActionFailed(
            f"{field} of {name} is applied by {', '.join(others)}, which would change it back",
            reason="field_owned",
            fix=f"change it there, take {field} out of what it applies, or list it in act.kube_take_over",
        )


def _holds(fields: Any, path: Path) -> bool:
    for part in path:
        if not isinstance(fields, Mapping) or f"f:{part}" not in fields:
            return False
        fields = fields[f"f:{part}"]
    return True
