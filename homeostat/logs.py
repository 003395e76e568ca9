"""Structured logs: key-value lines for people, JSON for machines, libraries' loggers through the same door."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Callable
from typing import Final

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

from contracts.settings import LogSettings
from homeostat import terminal

_NOISY = ("aiokafka", "faust", "mode", "kafka", "asyncio", "grpc", "aiohttp.access", "kubernetes", "urllib3", "neo4j")
_COORDINATOR = "aiokafka.consumer.group_coordinator"
"""Reports each attempt to find a group's coordinator, of which a fresh cluster needs many; readiness says when it is found."""

_LIBRARIES = tuple(f"{name}." for name in _NOISY) + tuple(n for n in _NOISY if n not in {"mode", "kafka"})
AGAIN_S: Final = 10.0
_MOST_SAID: Final = 200


class Repeats(logging.Filter):
    """Lets what a library says over and over through once in ten seconds, with how often it was left out.

    Kafka's client speaks of each attempt at a broker that is away, dozens a second.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._clock = clock
        self._said: dict[tuple[str, str], tuple[float, int]] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether to say it; says how often it was not said before."""
        if record.levelno < logging.WARNING or not record.name.startswith(_LIBRARIES):
            return True
        what, now = (record.name, record.getMessage()), self._clock()
        at, left_out = self._said.pop(what, (now - AGAIN_S, 0))
        if now - at < AGAIN_S:
            self._said[what] = at, left_out + 1
            return False
        while len(self._said) >= _MOST_SAID:  # the one not heard for longest goes
            del self._said[next(iter(self._said))]
        self._said[what] = now, 0
        if left_out:
            record.msg, record.args = f"{record.getMessage()} (and {left_out} times more since)", None
        return True


def _printable(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    """What is said may quote telemetry; JSON says control characters as text by itself."""
    return {key: terminal.hanging(value) if isinstance(value, str) else value for key, value in event.items()}


def configure(settings: LogSettings) -> None:
    """Set up logging for this process, to standard error. Third-party libraries are heard from WARNING on."""
    json = settings.format == "json" or (settings.format == "auto" and not sys.stderr.isatty())
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.stdlib.ExtraAdder(),
    ]
    renderers: list[Processor] = [structlog.processors.JSONRenderer()]
    if not json:
        renderers = [_printable, structlog.dev.ConsoleRenderer(pad_event_to=0)]
    formatter = structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=shared,
        processors=[
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            structlog.processors.format_exc_info,
            *renderers,
        ],
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(formatter)
    handler.addFilter(Repeats())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(settings.level.upper())
    for name in _NOISY:
        logging.getLogger(name).setLevel(max(logging.WARNING, root.level))
    if root.level > logging.DEBUG:
        logging.getLogger(_COORDINATOR).setLevel(logging.CRITICAL)
