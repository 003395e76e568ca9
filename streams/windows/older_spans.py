"""Spans in snapshots of earlier releases, which had fewer columns."""

from __future__ import annotations

from typing import Any

import numpy as np

from streams.windows.containment import NONE
from streams.windows.request_rows import SPAN
from streams.windows.rows import UNIT

_WITHOUT_SITES = np.dtype(
    [
        *(("trace", "<u8"), ("span", "<u8"), ("parent", "<u8"), ("start_ns", "<i8"), ("end_ns", "<i8")),
        *(("service", "<i4"), ("kind", "i1"), ("error", "?")),
    ]
)
"""Spans in snapshots of before they had sites."""
_WITHOUT_WEIGHTS = np.dtype([(name, SPAN[name]) for name in SPAN.names or () if name != "weight"])
"""As in snapshots of before spans had weights."""
_WITHOUT_CLOCKS = np.dtype([(name, SPAN[name]) for name in SPAN.names or () if name not in ("clock", "weight")])
"""As in snapshots of before clocks were in question."""


def layout_of(body: dict[str, Any]) -> np.dtype[Any]:
    """How the spans of a snapshot lie in it."""
    if "weights" in body:
        return SPAN
    return _WITHOUT_WEIGHTS if "clocks" in body else _WITHOUT_CLOCKS if body.get("sites", False) else _WITHOUT_SITES


def spans_of(saved: bytes, kept: np.dtype[Any]) -> bytes:
    """Spans of a snapshot as they are now; those of before had no sites, no clocks or no weights."""
    if kept is SPAN:
        return saved
    old = np.frombuffer(saved, kept)
    rows = np.zeros(len(old), SPAN)
    rows["clock"], rows["weight"] = NONE, UNIT
    for name in kept.names or ():
        rows[name] = old[name]
    return rows.tobytes()
