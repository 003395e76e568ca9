"""How many pods that serve an action takes away at once, and what disruption budgets say of it. Pure.

https://kubernetes.io/docs/concepts/workloads/controllers/deployment/#strategy,
https://kubernetes.io/docs/tasks/run-application/configure-pdb/
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any, Final

from connectors.actuators.kubernetes.workload import Json, labels_of, serving, wanted

_DEFAULT: Final = "25%"
"""The API server's default of a Deployment's maxUnavailable, and Argo's of a Rollout's."""


def taken_at_once(workload: Json) -> int:
    """Ready pods that a new template (a rolling restart, a roll-back) takes away before their successors serve."""
    spec, ready, count = workload["spec"], serving(workload), wanted(workload)
    match workload["kind"]:
        case "StatefulSet":
            rolling = (spec.get("updateStrategy") or {}).get("rollingUpdate") or {}
            most = max(1, _share(rolling.get("maxUnavailable", 1), count))
        case "DaemonSet":
            rolling = (spec.get("updateStrategy") or {}).get("rollingUpdate") or {}
            surges = _share(rolling.get("maxSurge", 0), count, up=True) > 0
            most = 0 if surges else max(1, _share(rolling.get("maxUnavailable", 1), count, up=True))
        case "Rollout":
            strategy = spec.get("strategy") or {}
            of = strategy.get("canary") or strategy.get("blueGreen") or {}
            most = max(1, _share(of.get("maxUnavailable", _DEFAULT), count))
        case _:
            strategy = spec.get("strategy") or {}
            rolling = strategy.get("rollingUpdate") or {}
            most = _share(rolling.get("maxUnavailable", _DEFAULT), count)
            if most == 0 and _share(rolling.get("maxSurge", _DEFAULT), count, up=True) == 0:
                most = 1  # as the controller has it: else nothing would ever move
            if strategy.get("type") == "Recreate":
                most = count
    missing = max(0, count - ready)  # those that don't serve count as unavailable already
    return ready if most >= count else max(0, min(ready, most - missing))


def words(taken: int, ready: int) -> str:
    """That in words, for whoever is asked."""
    if taken >= ready > 0:
        pods = "the only pod that serves" if ready == 1 else f"all {ready} pods that serve"
        return f"takes {pods} away at once: an outage of all pods until others are ready"
    return (
        f"takes {taken} of {ready} pods that serve away at once" if taken else "takes no pod away before another serves"
    )


def budgets_of(pod: Json, budgets: Iterable[Json]) -> list[Json]:
    """The PodDisruptionBudgets of its namespace that are about a pod."""
    labels = labels_of(pod)
    return [b for b in budgets if _selects(b["spec"].get("selector"), labels)]


def forbids(budgets: Iterable[Json], taken: int) -> str:
    """Which budget does not allow so many pods at once; "" where all do."""
    for budget in budgets:
        allowed = int((budget.get("status") or {}).get("disruptionsAllowed", 0))
        if taken > allowed:
            name = budget["metadata"]["name"]
            return f"PodDisruptionBudget {name} allows {allowed} at once"
    return ""


def names(budgets: Iterable[Json]) -> str:
    """Theirs, for a message."""
    return " and ".join(sorted(str(b["metadata"]["name"]) for b in budgets))


def _share(value: Any, count: int, *, up: bool = False) -> int:
    """An absolute number, or a share of the replicas: rounded down for maxUnavailable of Deployments, up for a surge."""
    text = str(value)
    try:
        if not text.endswith("%"):
            return int(text)
        exact = float(text[:-1]) / 100 * count
    except ValueError:  # nobody checks a custom resource's: what isn't understood may be all
        return 0 if up else count
    return math.ceil(exact - 1e-9) if up else math.floor(exact + 1e-9)


def _selects(selector: Mapping[str, Any] | None, labels: Mapping[str, str]) -> bool:
    """As label selectors match; an empty one matches all, none nothing (policy/v1)."""
    if selector is None:
        return False
    if any(labels.get(k) != v for k, v in (selector.get("matchLabels") or {}).items()):
        return False
    return all(_holds(rule, labels) for rule in selector.get("matchExpressions") or ())


def _holds(rule: Mapping[str, Any], labels: Mapping[str, str]) -> bool:
    key, values = rule["key"], rule.get("values") or ()
    match rule["operator"]:
        case "Exists":
            return key in labels
        case "DoesNotExist":
            return key not in labels
        case "In":
            return labels.get(key) in values
        case _:
            return labels.get(key) not in values
