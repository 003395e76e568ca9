"""What the knowledge graph knows under a name: services, and objects of a cluster with the services that they run."""

from __future__ import annotations

from collections.abc import Iterator

from contracts.claims import parsed
from contracts.external import EXTERNAL
from contracts.ports import GraphStore
from graph.cypher import text
from graph.queries import NOW


def known_as(store: GraphStore, name: str) -> Iterator[str]:
    """Sentences on each thing of this name."""
    names = [name, EXTERNAL + name]
    for row in store.query(text("services_called"), {"names": names, "ending": f"/{name}"}):
        yield _of_service(store, row)
    objects = store.query(text("objects_called"), {"name": name})
    for row in objects:
        yield _of_object(store, row)


def _of_service(store: GraphStore, row: dict[str, object]) -> str:
    said = ", ".join(f"{k}={v}" for k, v in sorted(parsed(str(row["attributes"] or "")).items()))
    kind = row["kind"] or "service"
    parts = [f"{row['service']} in environment {row['environment']} is known as a {kind}"]
    if not said and not row["version"] and kind == "service":
        parts.append("nothing of its own telemetry names it: callers, a cluster or a declaration do")
    elif said:
        parts.append(f"its senders claim {said}")
    callers = store.query(text("callers_at"), {"keys": [row["key"]], "at": NOW})
    heard = sorted(str(key).partition("|")[2] for found in callers for key in found["far"])
    parts += [f"called by {', '.join(heard[:8])}"] if heard else []
    return "; ".join(parts)


def _of_object(store: GraphStore, row: dict[str, object]) -> str:
    ids = [str(i) for i in (row["id"], row["owner"], row["top"]) if i]
    services = sorted({str(r["service"]) for r in store.query(text("deployed_as"), {"ids": ids})})
    owners = [i.partition("|")[2] for i in ids[1:]]
    parts = [f"{row['kind']} {row['namespace']}/{row['name']} (uid {row['uid']}) of the cluster"]
    parts += [f"owned by {', '.join(owners)}"] if owners else []
    parts.append(f"is the service {', '.join(services)}" if services else "is no service that is known")
    parts += ["it is gone"] if row["valid_to"] else []
    return "; ".join(parts)
