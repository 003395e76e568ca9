"""What a worker is made of."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field

from connectors.kafka.client import KafkaBroker
from contracts.ports import Clock, GraphWrite, Record, StateStore
from contracts.settings import Settings
from streams.stage import Emit, StageSpec

Handler = Callable[[Record], Awaitable["asyncio.Future[None] | None"]]
"""Takes a message. A future says that it will be done with it later: until then the message is not acknowledged, and the loop goes on."""


@dataclass(frozen=True)
class HandlerSpec:
    """A part that acts, or that knows something for those who do: who takes the messages of which topic, and what it writes."""

    name: str
    handlers: Mapping[str, Handler]
    produces: tuple[str, ...] = ()


def handlers_of(specs: Iterable[HandlerSpec]) -> Mapping[str, tuple[Handler, ...]]:
    """The handlers of each topic, in the order of the parts."""
    found: dict[str, tuple[Handler, ...]] = {}
    for spec in specs:
        for topic, handler in spec.handlers.items():
            found[topic] = (*found.get(topic, ()), handler)
    return found


@dataclass(frozen=True)
class WorkerWiring:
    """What a worker is made of. `handlers` are the parts that act: awaited with each record of their topics."""

    settings: Settings
    broker: KafkaBroker
    partitions: Mapping[str, int]
    state: StateStore
    clock: Clock
    specs: tuple[StageSpec, ...]
    graph: Callable[[GraphWrite], None]
    log_id: str
    handlers: Mapping[str, tuple[Handler, ...]] = field(default_factory=dict)
    on_assigned: Callable[[frozenset[tuple[str, int]]], Awaitable[None]] | None = None
    on_revoked: Callable[[frozenset[tuple[str, int]]], Awaitable[None]] | None = None
    before_ack: Callable[[], Awaitable[None]] | None = None
    """Returns once what the handlers did, and were told by `before_send`, is durable; asked before the stages' state is saved and
    messages are acknowledged."""
    before_send: Callable[[Emit], Awaitable[None]] | None = None
    """Is told of each message of the stages before it is sent."""
    snapshot_s: float = 5.0
    fetch_wait_ms: int = 500
    drain_s: float = 0.0
    """How long `stop` may go on taking what is in the log: for a log that ends with the process."""
