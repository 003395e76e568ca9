"""Glimpses: what has come so far of windows that are not told yet, of services with much traffic.

A row waits for its window's end, for what is usually late, and for the delay of its own service. Where many requests came, what there is at
half of the window, and at its end, shows already that something is badly wrong with those requests. It can't show that any are missing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np

from contracts.frames.decoded import I64
from streams.windows.signal_merge import OpenWindows
from streams.windows.window import Window

LOOKS: Final = (0.5, 1.0)
"""Parts of a window that must have passed for its first and its second look: who sees half a second is not misled by a pause."""


@dataclass(frozen=True, slots=True)
class Glimpse:
    """Entities of a window of which enough has come, and which part of the window has passed."""

    window: Window
    entity: I64
    passed: float


def glimpses(windows: OpenWindows, events: Callable[[Window, I64], I64], least: int) -> Iterator[Glimpse]:
    """Looks that are due, each made once. `least`: events that must have come of an entity; 0: there are no looks."""
    watermark, width_ns = windows.watermarks.merged, windows.width_ns
    newest = watermark // width_ns
    for number in (newest - 1, newest):
        window = windows.by_number.get(number)
        if window is None or not least:
            continue
        passed = min((watermark - number * width_ns) / width_ns, 1.0)
        due = sum(passed >= part for part in LOOKS)
        if due <= window.looks:
            continue
        window.looks = due
        entity = np.flatnonzero(window.have & ~window.sent)
        entity = entity[events(window, entity) >= least]
        if len(entity):
            yield Glimpse(window, entity, passed)
