"""What Faust's consumer must be told but has no setting for."""

from __future__ import annotations

from typing import Any

from aiokafka.coordinator.assignors.range import RangePartitionAssignor


def tune_consumer(consumer: Any, fetch_wait_ms: int) -> Any:
    """The same aiokafka consumer with another longest fetch wait, and with partition n of every topic on one worker.

    Faust fixes the wait at 1.5 s, which the embedded broker would take literally, and assigns partitions round robin, which
    would split an environment: its anomalies, changes and decisions lie in the same partition of different topics.
    """
    vars(consumer).update(_fetch_max_wait_ms=fetch_wait_ms, _partition_assignment_strategy=(RangePartitionAssignor,))
    return consumer
