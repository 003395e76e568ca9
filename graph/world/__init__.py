"""The world model of one environment: what its services and calls were like, window by window, and who calls whom since when.

Fed by evidence frames and change events; bounded in memory; asked for the evidence before and after a moment.
"""

from graph.world.series import RING, SeriesStore
from graph.world.topology import Call, ServiceNode, Topology, kind_of
from graph.world.world import World

__all__ = ["RING", "Call", "SeriesStore", "ServiceNode", "Topology", "World", "kind_of"]
