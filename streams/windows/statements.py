"""Statements to databases as operations of these: what asks for `SELECT orders` is judged against what it was used to.

A database tells of no requests; who asks it does, with a client span. Such a span is compared as requests are (`streams.windows.routes`),
as an operation of the database: the kind of its statement, and who asks, for two callers may ask the same of unlike tables. Room
for them is as for routes. It stays the call that it is: to the caller's own requests nothing is added.
"""

from __future__ import annotations

import numpy as np

from contracts.frames import SpanBatch
from contracts.frames.decoded import B1, I64, KIND_CLIENT
from streams.windows.names import Names
from streams.windows.routes import Key, pairs


def asking(batch: SpanBatch, at: I64 | slice, peer: I64) -> B1:
    """Which spans say what they ask of a database. `peer` are numbers of those they call."""
    kind = batch.kind[at]
    if not len(batch.statement):
        return np.zeros(len(kind), np.bool_)
    found: B1 = (kind == KIND_CLIENT) & (batch.statement[at] > 0) & (peer >= 0)
    return found


def keys_of(
    names: Names,
    ends: tuple[I64, I64],
    spans: tuple[SpanBatch, I64 | slice],
    chosen: tuple[I64, B1],
    strings: tuple[str, ...],
) -> tuple[list[Key], I64]:
    """Distinct pairs of a service and its route (of a database and its statement), and which of them each chosen span is of. `chosen`
    are rows, and which of these ask a database."""
    (service, peer), (batch, at), (rows, asks) = ends, spans, chosen
    owner, route = service[rows], batch.name[at][rows].astype(np.int64)
    if asks.any():
        statement = batch.statement[at][rows].astype(np.int64)
        route = np.where(asks, len(strings) + statement * len(names) + owner, route)
        owner = np.where(asks, peer[rows], owner)
    owners, routes, which = pairs(owner, route, len(names))
    told = zip(owners.tolist(), routes.tolist(), strict=True)
    return [(names.text[o], _text(names, r, strings)) for o, r in told], which


def _text(names: Names, route: int, strings: tuple[str, ...]) -> str:
    if route < len(strings):
        return strings[route]
    statement, caller = divmod(route - len(strings), len(names))
    return f"{strings[statement]} ({names.text[caller]})"
