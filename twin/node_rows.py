"""On which nodes services run, as window-level telemetry tells it (`contracts.nodes`)."""

from __future__ import annotations

import json

import numpy as np

from contracts.claims import NODES
from contracts.nodes import HeardNode, nodes_together, spelled_nodes
from contracts.units import SECOND
from twin.blueprint import SystemPlan
from twin.fleet import Fleet
from twin.instance_rows import node_name, zone_name


class NodeRows:
    """The nodes of all services; `start_ns` is the time of second 0."""

    def __init__(self, plan: SystemPlan, fleet: Fleet, start_ns: int) -> None:
        self._plan, self._fleet, self._start_ns = plan, fleet, start_ns
        self._at = np.full(len(fleet.node), -1, np.int64)
        self.moved: set[int] = set()
        """Services of which instances run on other nodes than a second before."""

    def look(self) -> None:
        """A second has passed."""
        at = np.where(self._fleet.wanted, self._fleet.node, -1)
        self.moved = set(np.unique(self._fleet.service[at != self._at]).tolist())
        self._at = at

    def said(self, number: int, service: int, text: str) -> str:
        """A service's attributes with the nodes on which it runs in a second."""
        there = np.unique(self._at[self._fleet.slots(service)]).tolist()
        heard_s = self._start_ns // SECOND + number
        nodes = [HeardNode(node_name(n), zone_name(self._plan, self._fleet, n), heard_s) for n in there if n >= 0]
        told = {**json.loads(text), NODES: spelled_nodes(nodes_together([nodes]))}
        return json.dumps(told, separators=(",", ":"))
