"""Services of whose spans another part is kept than before: what they tell is a count of spans, and of nothing that was asked or answered.

Where a service's own metrics count its requests, too, these say how many there were: the share that is kept has changed where spans are
fewer (or more) than requests account for (see `streams.windows.kept`, which tells spans no more once it is sure; here it is asked of
the few windows since an onset). The requests of such a service are those that its metrics count. The calls that it makes, and those
that it answers, can't be counted by spans: they are known from the requests at both ends, in the proportion in which these always
were, and only where a callee has one caller. Else nothing is said of calls made and not answered.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from collections.abc import Set as AbstractSet

import msgspec

from contracts import features as f
from graph.evidence.situation import Edge, Node
from graph.judgement import KEPT_LAG, KEPT_OTHERWISE, KEPT_SIGMAS

Pair = tuple[str, str]


def kept_otherwise(node: Node) -> bool:
    """Whether another share of a service's requests has spans than before, by its metrics. Of metrics that have stopped, nothing follows."""
    counted, spans = node.shifts.get(f.METRIC_REQUEST_RATE), node.shifts.get(f.REQUEST_RATE)
    if not node.own or counted is None or not (counted.before > 0 and counted.after > 0):
        return False
    if spans is None:
        return True
    if not spans.before > 0 or spans.samples > KEPT_LAG * counted.samples:
        return False
    due = spans.before * spans.samples * counted.after / counted.before
    came = spans.after * spans.samples
    leap = max(due, came) > KEPT_OTHERWISE * min(due, came)
    return leap and abs(due - came) > KEPT_SIGMAS * math.sqrt(max(due, came))


def by_metrics(node: Node) -> Node:
    """A service with the requests that its metrics count in place of those that have spans."""
    counted = msgspec.structs.replace(node.shifts[f.METRIC_REQUEST_RATE], feature=f.REQUEST_RATE)
    return dataclasses.replace(node, shifts={**node.shifts, f.REQUEST_RATE: counted})


def weighed(
    edges: Mapping[Pair, Edge], nodes: Mapping[str, Node], otherwise: AbstractSet[str], named: AbstractSet[Pair]
) -> dict[Pair, Edge]:
    """Calls as far as they can be counted, where some services keep their spans `otherwise`. `named`: calls whose callers name their
    callees; of others it is not known which of a caller's callees it meant where one's spans are missing."""
    found = dict(edges)
    doubtful = {caller for caller, callee in edges if callee in otherwise}
    for pair, edge in edges.items():
        if edge.in_part or not otherwise.isdisjoint(pair):
            found[pair] = _by_requests(edge, nodes, alone=sum(callee == pair[1] for _, callee in edges) == 1)
        elif pair[0] in doubtful and pair not in named:
            found[pair] = dataclasses.replace(edge, attempted=math.nan)
    return found


def _by_requests(edge: Edge, nodes: Mapping[str, Node], *, alone: bool) -> Edge:
    """A call by the requests of both its ends; nothing is expected of it where these do not tell."""
    bare = dataclasses.replace(
        edge,
        in_part=True,
        per_request_after=math.nan,
        attempted=math.nan,
        failed=math.nan,
        expected=0.0,
        usual=0.0,
        observed=0.0,
    )
    callee = nodes[edge.callee]
    made, served = nodes[edge.caller].shifts.get(f.REQUEST_RATE), callee.shifts.get(f.REQUEST_RATE)
    if not alone or callee.observer or not callee.own or made is None or served is None:
        return bare
    if not (made.before > 0 and served.before > 0):
        return bare
    each, windows = served.before / made.before, min(made.samples, served.samples)
    return dataclasses.replace(
        bare,
        per_request_before=each,
        expected=each * made.after * windows,
        usual=each * made.before * windows,
        observed=served.after * windows,
    )
