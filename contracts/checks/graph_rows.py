"""Rows of the graph's writes as checks and tests need them: all columns, each of which can be changed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from contracts.units import SECOND

T0: Final = 1_700_000_000 * SECOND


def service(name: str, **changes: Any) -> dict[str, Any]:
    """A row of upsert_services."""
    row = {"key": f"e|{name}", "environment": "e", "service": name, "kind": "service", "version": "1", "attributes": ""}
    return row | {"first_seen": T0, "last_seen": T0} | changes


def call(caller: str, callee: str, **changes: Any) -> dict[str, Any]:
    """A row of upsert_calls."""
    ends = {"caller_key": f"e|{caller}", "callee_key": f"e|{callee}", "valid_from": T0, "valid_to": 0, "last_seen": T0}
    return ends | {"calls": 10, "errors": 1, "source": "spans", "confidence": 0.9} | changes


def anomaly(id_: str, on: str, **changes: Any) -> dict[str, Any]:
    """A row of upsert_anomalies."""
    row = {"id": id_, "service_key": f"e|{on}", "environment": "e", "phase": "opened", "onset": T0, "time": T0}
    return row | {"p_value": 1e-6, "decades": 6.0, "text": f"{on} is slow"} | changes


def incident(id_: str, anomalies: Sequence[str] = (), **changes: Any) -> dict[str, Any]:
    """A row of upsert_incidents."""
    row = {"id": id_, "environment": "e", "phase": "opened", "severity": "critical", "onset": T0, "time": T0}
    return row | {"confidence": 0.8, "text": "it broke", "anomalies": list(anomalies)} | changes


def cause(incident_id: str, on: str, rank: int, **changes: Any) -> dict[str, Any]:
    """A row of upsert_causes."""
    row = {
        "incident_id": incident_id,
        "service_key": f"e|{on}",
        "kind": "leak",
        "probability": 0.7 / rank,
        "rank": rank,
    }
    said = {"evidence": ["memory grew", "no callee explains it"], "path": ["web", on], "path_text": f"web <- {on}"}
    return row | said | {"ruled_out": "" if rank == 1 else "explained by the first"} | changes


def action(run: str, incident_id: str, on: str, **changes: Any) -> dict[str, Any]:
    """A row of upsert_actions."""
    row = {"run": run, "incident": incident_id, "environment": "e", "service_key": f"e|{on}", "playbook": "restart"}
    return row | {"state": "running", "time": T0, "text": "restarting", "outcome": ""} | changes


def change(id_: str, on: str, **changes: Any) -> dict[str, Any]:
    """A row of upsert_changes."""
    row = {
        "id": id_,
        "service_key": f"e|{on}",
        "kind": "deploy",
        "time": T0,
        "actor": "ci",
        "before": "1",
        "after": "2",
    }
    return row | {"text": "deployed 2"} | changes


def thing(kind: str, name: str, **changes: Any) -> dict[str, Any]:
    """A row of upsert_objects."""
    row = {"id": f"e|{kind.lower()}/shop/{name}", "environment": "e", "kind": kind, "namespace": "shop", "name": name}
    said = {
        "uid": f"uid-{name}",
        "version": "1",
        "state": "",
        "replicas": 2,
        "valid_from": T0,
        "valid_to": 0,
        "time": T0,
    }
    return row | said | changes


def link(from_: str, how: str, to: str, **changes: Any) -> dict[str, Any]:
    """A row of link_objects; `from_` and `to` are `kind/name`."""
    ends = {f"{end}_id": f"e|{place.replace('/', '/shop/')}" for end, place in (("from", from_), ("to", to))}
    return {**ends, "link": how, "valid_from": T0, "valid_to": 0, "time": T0} | changes


def deployed(on: str, place: str, **changes: Any) -> dict[str, Any]:
    """A row of link_services; `place` is `kind/name`."""
    ends = {"service_key": f"e|{on}", "object_id": f"e|{place.replace('/', '/shop/')}"}
    return ends | {"valid_from": T0, "valid_to": 0, "time": T0} | changes
