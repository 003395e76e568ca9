"""Calls as events: of joined pairs of spans, and of callers' spans alone."""

from __future__ import annotations

import numpy as np

from contracts.frames.decoded import B1, I32, I64, KIND_CLIENT, KIND_CONSUMER, KIND_PRODUCER, KIND_SERVER
from streams.windows.clocks import TOLERANCE_NS
from streams.windows.request_rows import STREAM, UNTIMED, kinds_of
from streams.windows.rows import UNIT, Events
from streams.windows.tables import Rows


def is_call(children: Rows, parents: Rows) -> B1:
    """Pairs that are calls: of two services, and either the caller or the callee says so by its kind."""
    caller, callee = kinds_of(parents), kinds_of(children)
    same = (children["trace"] == parents["trace"]) & (children["parent"] == parents["span"])
    kinds = (caller == KIND_CLIENT) | (caller == KIND_PRODUCER) | (callee == KIND_SERVER) | (callee == KIND_CONSUMER)
    found: B1 = same & (children["service"] != parents["service"]) & kinds
    return found


def calls_of(children: Rows, parents: Rows, names: int) -> Events:
    """Calls as events in the window of the callee's end.

    The gap is the caller's duration minus the callee's: the time of a call spent between the two, on both ways. One way
    alone (parent.end − child.end) would need clocks that agree; durations need clocks of one pace. A callee that begins long before
    it was called has a clock that was not set right yet, maybe because it goes at another pace: there is no gap then.
    """
    served = np.maximum(children["end_ns"] - children["start_ns"], 0)
    waited = np.maximum(parents["end_ns"] - parents["start_ns"], 0)
    client = kinds_of(parents) == KIND_CLIENT
    streams = (children["kind"] & STREAM != 0) | (client & (parents["kind"] & STREAM != 0))
    error = (children["error"] | (client & parents["error"])).astype(np.int64)
    duration = np.where(client, waited, served)
    measured = client & (children["start_ns"] >= parents["start_ns"] - 2 * TOLERANCE_NS)
    gap = np.where(measured, np.maximum(waited - served, 0), 0)
    # Samplers that declare a share go by what all spans of a trace have in common: both are kept as often as the rarer one.
    weight = np.maximum(children["weight"], parents["weight"])
    sums = (error, duration, gap, measured.astype(np.int64))
    untimed = (children["kind"] & UNTIMED != 0) | (client & (parents["kind"] & UNTIMED != 0))
    caller, callee = (rows["service"].astype(np.int64) for rows in (parents, children))
    standing = _standing(streams, untimed, weight)
    return Events(children["end_ns"].copy(), caller, callee, names, duration, sums, *standing)


def _standing(streams: B1, untimed: B1, weight: I32) -> tuple[B1 | None, B1 | None, I32 | None]:
    """Which calls count, which are timed and how many each stands for, as `Events` has it."""
    return (
        ~streams if streams.any() else None,
        ~untimed if untimed.any() else None,
        weight if (weight != UNIT).any() else None,
    )


def calls_outside(spans: Rows, host: I64, names: int) -> Events:
    """Calls to addresses outside as events, as their caller sees them; `host` has the numbers of their names."""
    waited = np.maximum(spans["end_ns"] - spans["start_ns"], 0)
    none = np.zeros(len(spans), np.int64)
    sums = (spans["error"].astype(np.int64), waited, none, none)
    standing = _standing(spans["kind"] & STREAM != 0, spans["kind"] & UNTIMED != 0, spans["weight"])
    return Events(spans["end_ns"].copy(), spans["service"].astype(np.int64), host, names, waited, sums, *standing)
