"""From telemetry to reasons: what changed at each service and call since onset, and which fault each change speaks for.

`situation` holds the values, `shifts` the statistics, `local` the channels that look at one service, `spread` those that follow
the calls. Everything is a pure function of a `Situation`.
"""

from graph.evidence.situation import Edge, Node, Shift, Situation

__all__ = ["Edge", "Node", "Shift", "Situation"]
