"""Replay: recorded telemetry through the same stages, on the recording's own clock.

Nothing here looks at the machine's clock except to keep a wanted speed, so a recording gives the same events each time.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from typing import Final

from connectors.otlp.recording import RecordedMessage
from contracts.units import SECOND
from streams.in_memory import MemoryPipeline

BUSY_S: Final = 5
"""After the last message time goes on in steps of the flush interval for this long, then in seconds."""
QUIET_S: Final = 180
"""Longer silences are jumped over: by then everything has been closed."""


def replay(
    messages: Iterable[RecordedMessage], pipeline: MemoryPipeline, step_ns: int, speed: float | None = None
) -> Iterator[int]:
    """Feed `messages` (in order of `time_ns`) and let time pass between them; yields the replay's time after each step.

    `speed` is a multiple of real time; None means as fast as possible.
    """
    now_ns, started, begun = 0, time.monotonic(), 0
    for count, message in enumerate(messages):
        if not now_ns:
            now_ns = begun = message.time_ns
        for at in _steps(now_ns, message.time_ns, step_ns):
            _pace(at - begun, started, speed)
            pipeline.tick(at)
            yield at
        now_ns = max(now_ns, message.time_ns)
        pipeline.feed(message.topic, message.payload, now_ns, partition=count % pipeline.partitions)
        yield now_ns
    for at in _steps(now_ns, now_ns + QUIET_S * SECOND, step_ns):
        pipeline.tick(at)
        yield at


def _steps(now_ns: int, until_ns: int, step_ns: int) -> Iterator[int]:
    """Times at which to let time pass on the way from `now_ns` to `until_ns`."""
    at = now_ns
    while at + step_ns <= until_ns:
        since = at - now_ns
        if since > QUIET_S * SECOND:
            break
        at += step_ns if since < BUSY_S * SECOND else max(step_ns, SECOND)
        yield min(at, until_ns)


def _pace(recorded_ns: int, started: float, speed: float | None) -> None:
    if speed:
        wait = recorded_ns / SECOND / speed - (time.monotonic() - started)
        if wait > 0:
            time.sleep(wait)
