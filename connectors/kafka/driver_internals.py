"""Private fields of Kafka's client libraries that have to be read or set, because there is no setting for what they decide.

All of them are here, behind functions that say why, and nothing else of the product looks into a library. Private fields change
without notice, so each function checks that the library is of the release it was written against (`RELEASES`), and that the field
is there: a field that is merely missing would otherwise be added, and do nothing.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Mapping
from importlib import metadata
from types import ModuleType
from typing import Any, Final

from aiokafka.coordinator.assignors.range import RangePartitionAssignor

from contracts.errors import InvalidSettings

log = logging.getLogger(__name__)

RELEASES: Final[Mapping[str, str]] = {"aiokafka": "0.14.0", "faust-streaming": "0.15.3"}
"""Releases whose source was read for this module. Another patch release is taken, another minor release is refused."""
REJOIN_S: Final = 0.5
"""Pause before the group is joined again after a broker refused."""


def check_releases() -> None:
    """Refuse to run with libraries whose private fields nobody has looked at.

    Raises:
        InvalidSettings: a library is of another minor release.
    """
    for name, known in RELEASES.items():
        if _minor(found := metadata.version(name)) != _minor(known):
            raise InvalidSettings(
                f"{name} is {found}, and its private fields are known as of {known}",
                reason="driver_release",
                fix=f"install {name} {known}",
            )


def tune_consumer(consumer: Any, fetch_wait_ms: int) -> Any:
    """The same aiokafka consumer with another longest fetch wait, and with partition n of every topic on one worker.

    Faust fixes the wait at 1.5 s, which the embedded broker would take literally, and assigns partitions round robin, which
    would split an environment: its anomalies, changes and decisions lie in the same partition of different topics.
    """
    _set(consumer, "_fetch_max_wait_ms", fetch_wait_ms)
    _set(consumer, "_partition_assignment_strategy", (RangePartitionAssignor,))
    return consumer


def rejoin_after_errors(consumer: Any) -> None:
    """Let a started aiokafka consumer say why it could not join its group, and join again.

    It would keep the error until messages are asked of it, and Faust asks for none before partitions are assigned: the worker
    would stand still without a word. The embedded broker refuses, with INVALID_REQUEST, members that ask for their share
    after all others have theirs; Apache Kafka refuses while rights on the group are missing.
    """
    coordinator = _get(consumer, "_coordinator")

    async def told(error: Exception) -> None:
        log.warning("the consumer group was not joined: %r; trying again", error)
        await asyncio.sleep(REJOIN_S)
        coordinator.request_rejoin()

    _set(coordinator, "_push_error_to_user", told)


def wait_for_ever(producer: Any) -> Any:
    """The same started aiokafka producer, whose messages wait for their broker however long it is away.

    By itself it gives a batch up after its request timeout and goes on with the next one of the partition: sent again, what
    was given up is behind what came after it.
    """
    _set(_get(producer, "_message_accumulator"), "_batch_ttl", math.inf)
    return producer


def wait_no_longer(producer: Any) -> None:
    """What its broker has not taken at the next attempt is given up: else it could not be stopped while the broker is away."""
    accumulator = _get(producer, "_message_accumulator")
    _set(accumulator, "_batch_ttl", 0.0)
    waiting = [batch for batches in _get(accumulator, "_batches").values() for batch in batches]
    for batch in [*waiting, *_get(accumulator, "_pending_batches")]:
        _set(batch, "_ttl", 0.0)


def is_compiled(streams: ModuleType) -> bool:
    """Whether `faust.streams` runs with its compiled part. (Faust itself is imported by the consume loop alone.)"""
    return _get(streams, "_CStreamIterator") is not None


def _get(of: Any, name: str) -> Any:
    check_releases()
    if not hasattr(of, name):
        raise InvalidSettings(
            f"{type(of).__module__}.{type(of).__name__} has no field {name}", reason="driver_release", fix=_FIX
        )
    return getattr(of, name)


def _set(of: Any, name: str, value: Any) -> None:
    _get(of, name)
    setattr(of, name, value)


def _minor(release: str) -> list[str]:
    return release.split(".")[:2]


_FIX: Final = "install " + " and ".join(f"{name} {release}" for name, release in RELEASES.items())
