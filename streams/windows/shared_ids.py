"""Spans that share an id: with Zipkin's propagation a caller's and its callee's span are two halves of one span.

Brave and Envoy's Zipkin tracer do so unless told otherwise, and what a Collector makes of it has two spans with one id. They are no
duplicates. The half that comes second gets an id of its own, and what names the shared id as its parent is the child of the half that
serves. https://github.com/openzipkin/b3-propagation#why-is-parentspanid-and-spanid-the-same-in-some-cases
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np

from contracts.frames.decoded import B1, KIND_CLIENT, KIND_SERVER, U64
from streams.windows.tables import KeyTable, Rows, mix

HALF: Final = np.uint64(0x5DEECE66D1CE4E5B)
_KIND: Final = 7
_MOST: Final = 10_000


class Distinct(NamedTuple):
    """New spans, sorted by key, the keys under which children may wait for them, and sites of callers whose halves answered."""

    keys: U64
    spans: Rows
    asked: U64
    answered: U64


class SharedIds:
    """The services (by number) of one environment whose spans were seen to be halves."""

    def __init__(self) -> None:
        self.services: set[int] = set()

    def apart(self, keys: U64, spans: Rows, again: B1, table: KeyTable) -> Distinct:
        """Of spans sorted by key, of which `again` were there before, those that are new: the first ones, and other halves."""
        rows, fresh = np.flatnonzero(again), np.flatnonzero(~again)
        server = _is(spans, KIND_SERVER)
        run = np.concatenate([[True], keys[1:] != keys[:-1]])
        first = np.maximum.accumulate(np.where(run, np.arange(len(keys)), 0))[rows]
        known = spans.take(first)
        found, stored = table.find(keys[rows])
        known[found] = stored
        differs = server[rows] != _is(known, KIND_SERVER)
        other, known = rows[differs], known[differs]
        if not len(other):
            return Distinct(keys[fresh], spans.take(fresh), keys[fresh], np.empty(0, np.uint64))
        self._learn(np.concatenate([spans["service"][other], known["service"]]))
        sites = np.where(server[other], known["site"], spans["site"][other])
        halves = spans.take(other)
        halves["span"] ^= HALF
        their_keys = mix(halves["trace"], halves["span"])
        _, once = np.unique(their_keys, return_index=True)
        once = once[~table.contains(their_keys[once])]
        # Children wait for the half that serves; the other one asks for nobody's.
        served = _is(halves, KIND_SERVER)[once]
        asked = np.concatenate([keys[fresh], np.where(served, keys[other][once], their_keys[once])])
        taken = np.isin(asked[: len(fresh)], asked[len(fresh) :][served])
        asked[: len(fresh)][taken] = mix(asked[: len(fresh)][taken], np.full(int(taken.sum()), HALF))
        whole = np.concatenate([keys[fresh], their_keys[once]])
        order = np.argsort(whole)
        kept = np.concatenate([spans.take(fresh), halves.take(once)])
        return Distinct(whole[order], kept.take(order), asked[order], sites)

    def _learn(self, services: np.ndarray) -> None:
        if len(self.services) > _MOST:
            self.services.clear()
        self.services.update(np.unique(services).tolist())

    def astray(self, children: Rows, parents: Rows) -> B1:
        """Which pairs are none: the parent is the calling half of a span, and the child another service's, of the half that serves."""
        sharing = np.array(sorted(self.services), np.int32)
        both = np.isin(children["service"], sharing) & np.isin(parents["service"], sharing)
        found: B1 = both & _is(parents, KIND_CLIENT) & (children["service"] != parents["service"])
        return found

    @staticmethod
    def served(children: Rows, table: KeyTable) -> tuple[np.ndarray, Rows]:
        """Children whose parents are the serving halves of spans that also have another; and these parents."""
        found, halves = table.find(mix(children["trace"], children["parent"] ^ HALF))
        serving = _is(halves, KIND_SERVER)
        found, halves = found[serving], halves[serving]
        halves["span"] ^= HALF
        return found, halves


def _is(spans: Rows, kind: int) -> B1:
    found: B1 = (spans["kind"].astype(np.int64) & _KIND) == kind
    return found
