"""Messages that were acknowledged but are in no state: they are read again.

A message is acknowledged once the state that includes it was saved, so this is not to happen. It does if a worker that the group
had given up (its machine stood still) lives on and its snapshot, on the way for long, replaces a newer one of the next owner; if
that owner dies before it saves again, the next one starts from the old state. Or if snapshots were restored from a backup.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Final

from connectors.kafka.client import KafkaBroker
from contracts.ports import Record
from streams.host import StageHost

log = logging.getLogger(__name__)

OLDEST_MS: Final = 300_000
"""A state that is older than this when its partition goes on is left as it is: somebody has set the group's offsets forward, or it
is of a stage that was switched off for a time, or there was nothing more to take for long. What happened then is no news, and must
not be acted on."""


async def messages_to_reread(host: StageHost, broker: KafkaBroker, record: Record) -> AsyncGenerator[Record]:
    """The messages before `record`, the first of its partition to be taken, that some stage's state lacks. Its states must be loaded.

    Errors: those of the broker; asked again, it goes on where the states are then.
    """
    first = host.first_missing(record)
    if first >= record.offset:
        return
    where = (
        f"the state of {record.topic}/{record.partition} ends before offset {first}, what comes now is {record.offset}"
    )
    again = 0
    async with aclosing(broker.between(record.topic, record.partition, first, record.offset)) as found:
        async for earlier in found:
            if not again and record.timestamp_ms - earlier.timestamp_ms > OLDEST_MS:
                host.counters["worker", "left_out"] += record.offset - earlier.offset
                log.warning("%s; what is between is too old to be read again", where)
                return
            again += 1
            yield earlier
    if again:  # offsets may also be unused, or their messages deleted
        host.counters["worker", "read_again"] += again
        log.warning("%s; %d messages between were read again", where, again)
