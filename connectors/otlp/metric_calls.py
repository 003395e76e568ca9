"""Calls that metrics tell of: who called whom, by the labels of a service graph, of metrics made of client spans, or of a client's own.

https://github.com/open-telemetry/opentelemetry-collector-contrib/tree/main/connector/servicegraphconnector (and Grafana Tempo, which it
is from), https://github.com/open-telemetry/opentelemetry-collector-contrib/tree/main/connector/spanmetricsconnector
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

from connectors.otlp import peers
from connectors.otlp.folding import fold
from connectors.otlp.identity import Identified, is_address
from connectors.otlp.subjects import subject_of
from connectors.otlp.values import Plain, text_of
from contracts.external import EXTERNAL
from contracts.frames.decoded import KIND_CLIENT, KIND_PRODUCER
from contracts.secrets import masked_name

if TYPE_CHECKING:
    from connectors.otlp.metrics import MetricSource

CALLING: Final = {"CLIENT": KIND_CLIENT, "3": KIND_CLIENT, "PRODUCER": KIND_PRODUCER, "4": KIND_PRODUCER}
_DATABASE, _VIRTUAL = "database", "virtual_node"
_UNDERSCORED: Final = {key.replace(".", "_"): key for key in peers.PEER_KEYS | peers.URL_KEYS}
_NOBODY: Final = frozenset({"", "unknown", "user"})
"""What a service graph calls who isn't known."""


def call_of(source: MetricSource, attributes: Mapping[str, Plain], kind: str) -> tuple[Identified, str] | None:
    """The caller, and the name of the callee, of a point; None where it names no two. `kind`: of the span it was made of, in capitals."""
    if source.rule.calls == "graph":
        return _of_graph(source, attributes)
    caller = source.subject_of(attributes)
    kind = "CLIENT" if source.rule.calls == "client" else kind
    if caller is None or kind not in CALLING:
        return None
    said = {_UNDERSCORED.get(k, k): v for k, v in attributes.items()}
    callee = peers.PEER_OF[CALLING[kind]](said).name
    return (caller, callee) if callee else None


def _of_graph(source: MetricSource, attributes: Mapping[str, Plain]) -> tuple[Identified, str] | None:
    subjects = source.context.conventions.subjects
    client, server = (text_of(attributes.get(label)).strip() for label in ("client", "server"))
    if client.lower() in _NOBODY or server.lower() in _NOBODY:
        return None
    caller = subject_of(subjects["caller"], source.sender, attributes)
    if caller is None:
        return None
    kind = text_of(attributes.get("connection_type"))
    if kind == _DATABASE:
        return caller, f"db:{fold(masked_name(server))}"
    callee = (
        None if kind == _VIRTUAL or is_address(server) else subject_of(subjects["callee"], source.sender, attributes)
    )
    return caller, EXTERNAL + fold(masked_name(server)) if callee is None else callee.resource.service
