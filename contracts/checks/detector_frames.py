"""Frames that detectors are checked with: steady telemetry of some services, whole windows or pieces of them, in time or late."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final

import numpy as np

from contracts import features as f
from contracts.frames.decoded import B1
from contracts.frames.feature_frame import FeatureFrame
from contracts.ports.detecting import Detector, Scores
from contracts.units import SECOND

T0: Final = 1_700_000_000 * SECOND
FEATURES: Final = (f.REQUEST_RATE, f.ERROR_RATE, f.LATENCY_P50, f.LATENCY_P95, f.LATENCY_P99)
WARM: Final = 110
"""Windows of steady telemetry after which a detector must be ready to judge."""
SERVICES: Final = 8


def frame(window: int, values: np.ndarray[Any, Any], **changes: Any) -> FeatureFrame:
    """A spans frame of rows s0, s1, … with the columns of `FEATURES`."""
    rows = len(values)
    given: dict[str, Any] = {
        "environment": "e",
        "signal": f.Signal.SPANS.value,
        "partition": 0,
        "window_ns": T0 + window * SECOND,
        "width_ns": SECOND,
        "revision": 0,
        "services": tuple(f"s{i}" for i in range(rows)),
        "peers": (),
        "versions": ("1",) * rows,
        "attributes": ("",) * rows,
        "features": FEATURES,
        "values": values,
        "counts": np.nan_to_num(values[:, 0]).astype(np.int64),
        "notes": (),
    }
    return FeatureFrame(**(given | changes))


def steady(windows: int, *, rows: int = SERVICES, seed: int = 3) -> Iterator[np.ndarray[Any, Any]]:
    """Values of services with about 50 requests/s, 1 % errors and log-normal latency, window by window."""
    r = np.random.default_rng(seed)
    for _ in range(windows):
        count = r.poisson(50.0, rows) + 1.0
        errors = r.binomial(count.astype(np.int64), 0.01) / count
        p50 = 0.02 * np.exp(r.normal(0.0, 0.05, rows))
        p95 = p50 * 3.0 * np.exp(r.normal(0.0, 0.1, rows))
        yield np.stack([count, errors, p50, p95, p95 * np.exp(np.abs(r.normal(0.0, 0.3, rows)))], axis=1)


def feed(detector: Detector, values: Sequence[np.ndarray[Any, Any]], start: int = 0) -> list[Scores]:
    """Let the detector see and learn windows from `start` on."""
    return [detector.update(frame(start + i, v), everyone(len(v))) for i, v in enumerate(values)]


def piece(window: int, values: np.ndarray[Any, Any], rows: Sequence[int], **changes: Any) -> FeatureFrame:
    """Some rows of a window as a frame of their own."""
    names = tuple(f"s{i}" for i in rows)
    blank = {"versions": ("1",) * len(rows), "attributes": ("",) * len(rows)}
    return frame(window, values[list(rows)], services=names, **(blank | changes))


def as_they_come(
    windows: Sequence[np.ndarray[Any, Any]], late: Sequence[int], start: int = 0
) -> Iterator[tuple[int, list[int], FeatureFrame]]:
    """Windows whose row i comes `late[i]` windows later than it could: (window, rows, frame), in order of arrival."""
    for now in range(len(windows) + max(late)):
        for delay in sorted(set(late)):
            rows = [i for i, d in enumerate(late) if d == delay]
            if 0 <= now - delay < len(windows):
                yield start + now - delay, rows, piece(start + now - delay, windows[now - delay], rows)


def everyone(rows: int) -> B1:
    """All rows may be learnt from."""
    return np.ones(rows, np.bool_)
