"""What the next owner of a watch must know to tell what changed while nobody looked: Deployments and their like, autoscalers,
nodes; compressed, so that thousands fit one message. Pods are told of by their own times.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable
from typing import Final

import msgspec

from connectors.kubernetes.objects import Autoscaler, Kind, Node, Thing, Workload
from contracts.errors import UnreadableEvent

VERSION: Final = 1


class Checkpoint(msgspec.Struct, frozen=True, array_like=True):
    """The state of one cluster at `time_ns`."""

    version: int
    time_ns: int
    workloads: list[Workload]
    autoscalers: list[Autoscaler]
    nodes: list[Node]

    @property
    def things(self) -> list[Thing]:
        """All of it."""
        return [*self.workloads, *self.autoscalers, *self.nodes]


_DECODER = msgspec.msgpack.Decoder(Checkpoint)


def save(things: Iterable[Thing], time_ns: int) -> bytes:
    """A checkpoint of these objects."""
    kept = list(things)
    workloads = [t for t in kept if isinstance(t, Workload) and t.head.kind is not Kind.REPLICA_SET]
    scalers, nodes = [t for t in kept if isinstance(t, Autoscaler)], [t for t in kept if isinstance(t, Node)]
    return zlib.compress(msgspec.msgpack.encode(Checkpoint(VERSION, time_ns, workloads, scalers, nodes)), 1)


def load(payload: bytes) -> Checkpoint:
    """The checkpoint in `payload`.

    Raises:
        UnreadableEvent: it is none, or of another version.
    """
    try:
        found = _DECODER.decode(zlib.decompress(payload))
    except (msgspec.DecodeError, zlib.error) as e:
        raise UnreadableEvent(f"not a checkpoint of a cluster: {e}") from e
    if found.version != VERSION:
        raise UnreadableEvent(f"a checkpoint of a cluster of version {found.version}, not {VERSION}")
    return found
