"""Which workload is meant where telemetry names none: by the pod that it names, or by all that call themselves as the service is called.

A name alone may be that of several (blue and green, web and worker of one chart, two charts): then it is nobody's. Pure.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from connectors.actuators.kubernetes.workload import Json, labels_of, marks_of, template_of
from connectors.kubernetes.naming import service_of


def calls_itself(kind: str, body: Json) -> str:
    """The service that a workload says it is, without a namespace: as the watch would take it."""
    template = template_of(body)
    of = {"metadata": template.get("metadata") or {}}
    found = service_of(kind, str(body["metadata"]["name"]), labels_of(of), marks_of(of), _variables(template))
    return found.rpartition("/")[2]


def controller_of(thing: Json) -> Mapping[str, Any] | None:
    """The reference to what controls an object; None where nothing does."""
    return next((r for r in thing["metadata"].get("ownerReferences") or () if r.get("controller")), None)


def several(name: str, listed: Iterable[tuple[str, Json]]) -> list[tuple[str, str]]:
    """Kind and name of all that are, or call themselves, `name`."""
    return sorted(
        (kind, str(body["metadata"]["name"]))
        for kind, body in listed
        if name in (body["metadata"]["name"], calls_itself(kind, body))
    )


def _variables(template: Json) -> Iterator[tuple[str, str, str]]:
    for container in template.get("spec", {}).get("containers") or ():
        for one in container.get("env") or ():
            path = ((one.get("valueFrom") or {}).get("fieldRef") or {}).get("fieldPath", "")
            yield str(one.get("name", "")), str(one.get("value") or ""), str(path)
