"""Structured logs: key-value lines for people, JSON for machines, libraries' loggers through the same door."""

from __future__ import annotations

import logging
import sys

import structlog
from structlog.typing import Processor

from contracts.settings import LogSettings

_NOISY = ("aiokafka", "faust", "mode", "kafka", "asyncio", "grpc", "aiohttp.access", "kubernetes", "urllib3", "neo4j")
_COORDINATOR = "aiokafka.consumer.group_coordinator"
"""Reports each attempt to find a group's coordinator, of which a fresh cluster needs many; readiness says when it is found."""


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
    renderer = structlog.processors.JSONRenderer() if json else structlog.dev.ConsoleRenderer(pad_event_to=0)
    formatter = structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=shared,
        processors=[
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            structlog.processors.format_exc_info,
            renderer,
        ],
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(formatter)
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(settings.level.upper())
    for name in _NOISY:
        logging.getLogger(name).setLevel(max(logging.WARNING, root.level))
    if root.level > logging.DEBUG:
        logging.getLogger(_COORDINATOR).setLevel(logging.CRITICAL)
