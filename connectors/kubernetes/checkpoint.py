"""What the next owner of a watch must know to tell what changed while nobody looked: Deployments and their like, autoscalers,
nodes; and which pods ran for which ReplicaSets, for one that was deleted leaves nothing behind. Compressed, so that thousands fit
one message; if they don't, pods are left out.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable
from typing import Final

import msgspec

from connectors.kubernetes.object_index import OVER
from connectors.kubernetes.objects import Autoscaler, MachineNode, ObjectKind, Pod, Thing, Workload
from contracts.errors import UnreadableEvent

VERSION: Final = 1
_LARGEST: Final = 700_000
"""Bytes of a checkpoint with pods."""


class Checkpoint(msgspec.Struct, frozen=True, array_like=True):
    """The state of one cluster at `time_ns`."""

    version: int
    time_ns: int
    workloads: list[Workload]
    autoscalers: list[Autoscaler]
    nodes: list[MachineNode]
    sets: list[Workload] = []
    pods: list[Pod] = []

    @property
    def things(self) -> list[Thing]:
        """What people and pipelines write."""
        return [*self.workloads, *self.autoscalers, *self.nodes]

    @property
    def instances(self) -> list[Thing]:
        """What was made of it and ran."""
        return [*self.sets, *self.pods]


_DECODER = msgspec.msgpack.Decoder(Checkpoint)


def save(things: Iterable[Thing], time_ns: int) -> bytes:
    """A checkpoint of these objects."""
    kept = list(things)
    workloads = [t for t in kept if isinstance(t, Workload) and t.head.kind is not ObjectKind.REPLICA_SET]
    scalers, nodes = [t for t in kept if isinstance(t, Autoscaler)], [t for t in kept if isinstance(t, MachineNode)]
    sets = [t for t in kept if isinstance(t, Workload) and t.head.kind is ObjectKind.REPLICA_SET and t.replicas]
    pods = [t for t in kept if isinstance(t, Pod) and t.lasting and not t.leaving_ns and t.phase not in OVER]
    whole = _packed(Checkpoint(VERSION, time_ns, workloads, scalers, nodes, sets, pods))
    if len(whole) <= _LARGEST:
        return whole
    return _packed(Checkpoint(VERSION, time_ns, workloads, scalers, nodes))


def _packed(found: Checkpoint) -> bytes:
    return zlib.compress(msgspec.msgpack.encode(found), 1)


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
