"""What Kafka's clients must be told but have no setting for."""

from __future__ import annotations

import asyncio
import logging
import math
from typing import Any, Final

from aiokafka.coordinator.assignors.range import RangePartitionAssignor

log = logging.getLogger(__name__)

REJOIN_S: Final = 0.5
"""Pause before the group is joined again after a broker refused."""


def tune_consumer(consumer: Any, fetch_wait_ms: int) -> Any:
    """The same aiokafka consumer with another longest fetch wait, and with partition n of every topic on one worker.

    Faust fixes the wait at 1.5 s, which the embedded broker would take literally, and assigns partitions round robin, which
    would split an environment: its anomalies, changes and decisions lie in the same partition of different topics.
    """
    vars(consumer).update(_fetch_max_wait_ms=fetch_wait_ms, _partition_assignment_strategy=(RangePartitionAssignor,))
    return consumer


def rejoin_after_errors(consumer: Any) -> None:
    """Let a started aiokafka consumer say why it could not join its group, and join again.

    It would keep the error until messages are asked of it, and Faust asks for none before partitions are assigned: the worker
    would stand still without a word. The embedded broker refuses, with INVALID_REQUEST, members that ask for their share
    after all others have theirs; Apache Kafka refuses while rights on the group are missing.
    """
    coordinator = vars(consumer)["_coordinator"]

    async def told(error: Exception) -> None:
        log.warning("the consumer group was not joined: %r; trying again", error)
        await asyncio.sleep(REJOIN_S)
        coordinator.request_rejoin()

    vars(coordinator)["_push_error_to_user"] = told


def wait_for_ever(producer: Any) -> Any:
    """The same started aiokafka producer, whose messages wait for their broker however long it is away.

    By itself it gives a batch up after its request timeout and goes on with the next one of the partition: sent again, what
    was given up is behind what came after it.
    """
    vars(vars(producer)["_message_accumulator"])["_batch_ttl"] = math.inf
    return producer


def wait_no_longer(producer: Any) -> None:
    """What its broker has not taken at the next attempt is given up: else it could not be stopped while the broker is away."""
    accumulator = vars(vars(producer)["_message_accumulator"])
    accumulator["_batch_ttl"] = 0.0
    waiting = [batch for batches in accumulator["_batches"].values() for batch in batches]
    for batch in [*waiting, *accumulator["_pending_batches"]]:
        vars(batch)["_ttl"] = 0.0
