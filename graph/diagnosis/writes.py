"""What the knowledge graph is told: rows of flat values for the named statements."""

from __future__ import annotations

from typing import Any

from contracts.events import Anomaly, Change, Incident
from contracts.ports import GraphWrite
from graph.narrative import path_text
from graph.world.topology import Call, Topology


def key(environment: str, service: str) -> str:
    """A service's key in the graph."""
    return f"{environment}|{service}"


def topology_writes(environment: str, topology: Topology, now_ns: int) -> list[GraphWrite]:
    """Services and calls that changed since the last time this was asked."""
    topology.expire(now_ns)
    services = tuple(_service(environment, topology, n) for n in topology.changed_services)
    edges = [*topology.ended, *(topology.calls[pair] for pair in topology.changed_calls)]
    calls = tuple(_call(environment, edge) for edge in edges)
    topology.ended.clear()
    topology.changed_services.clear()
    topology.changed_calls.clear()
    topology.new_calls = False
    out = [GraphWrite("upsert_services", services)] if services else []
    return [*out, GraphWrite("upsert_calls", calls)] if calls else out


def _service(environment: str, topology: Topology, name: str) -> dict[str, Any]:
    service = topology.services[name]
    external = service.kind == "service" and not service.own
    return {
        "key": key(environment, name),
        "environment": environment,
        "service": name,
        "kind": "external" if external else service.kind,
        "version": service.version,
        "attributes": service.attributes or "{}",
        "first_seen": service.first_seen_ns,
        "last_seen": service.last_seen_ns,
    }


def _call(environment: str, edge: Call) -> dict[str, Any]:
    return {
        "caller_key": key(environment, edge.caller),
        "callee_key": key(environment, edge.callee),
        "valid_from": edge.valid_from_ns,
        "valid_to": edge.valid_to_ns,
        "last_seen": edge.last_seen_ns,
        "calls": edge.calls,
        "errors": edge.errors,
        "source": "spans",
        # How surely the edge exists: half after one call, nearly certain after ten.
        "confidence": round(edge.calls / (edge.calls + 1.0), 4),
    }


def anomaly_row(anomaly: Anomaly) -> dict[str, Any]:
    """An anomaly as it is now."""
    return {
        "id": anomaly.id,
        "service_key": key(anomaly.environment, anomaly.service),
        "environment": anomaly.environment,
        "phase": anomaly.phase.value,
        "onset": anomaly.onset_ns,
        "time": anomaly.time_ns,
        "p_value": anomaly.p_value,
        "decades": anomaly.decades,
        "text": anomaly.text,
    }


def change_row(change: Change) -> dict[str, Any]:
    """A deploy, configuration change or scaling. Of one service, several pods may change in the same second."""
    subject = f"|{change.subject}" if change.subject else ""
    return {
        "id": f"{change.environment}|{change.service}|{change.kind}|{change.time_ns}{subject}",
        "service_key": key(change.environment, change.service),
        "kind": change.kind,
        "time": change.time_ns,
        "actor": change.actor,
        "before": change.before,
        "after": change.after,
        "text": change.text,
    }


def incident_writes(incident: Incident) -> list[GraphWrite]:
    """The incident and its ranked causes."""
    row = {
        "id": incident.id,
        "environment": incident.environment,
        "phase": incident.phase.value,
        "severity": incident.severity.value,
        "onset": incident.onset_ns,
        "time": incident.time_ns,
        "confidence": incident.confidence,
        "text": incident.text,
        "anomalies": list(incident.anomalies),
    }
    causes = tuple(
        {
            "incident_id": incident.id,
            "service_key": key(incident.environment, c.service),
            "kind": c.kind.value,
            "probability": c.probability,
            "rank": i + 1,
            "evidence": [e.text for e in c.evidence],
            "path": [p.service for p in c.path],
            "path_text": path_text(c.path),
            "ruled_out": c.ruled_out,
        }
        for i, c in enumerate(incident.candidates)
    )
    out = [GraphWrite("upsert_incidents", (row,))]
    return [*out, GraphWrite("upsert_causes", causes)] if causes else out
