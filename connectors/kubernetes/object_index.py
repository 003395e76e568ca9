"""The objects that are known, by uid, and how they hang together: who owns whom, and what of a namespace stays."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Final

from connectors.kubernetes.objects import Pod, Thing

OVER: Final = ("Succeeded", "Failed")
"""Phases of pods that have ended for good."""


class ObjectIndex:
    """All objects of a cluster. `unseen` are uids of those that are only known from an earlier time."""

    def __init__(self, known: Iterable[Thing] = ()) -> None:
        self.things: dict[str, Thing] = {}
        self.unseen: set[str] = set()
        self._below: dict[str, dict[str, None]] = {}
        self._staying: Counter[str] = Counter()
        for thing in known:
            self.put(thing)
            self.unseen.add(thing.head.uid)

    def put(self, thing: Thing) -> None:
        """It is there, or is now so."""
        uid, owner = thing.head.uid, thing.head.owner
        self.pop(uid)
        self.things[uid] = thing
        if owner is not None:
            self._below.setdefault(owner.uid, {})[uid] = None
        if _stays(thing):
            self._staying[thing.head.namespace] += 1

    def rename(self, thing: Thing) -> None:
        """It is the same, and another service."""
        self.things[thing.head.uid] = thing

    def pop(self, uid: str) -> None:
        """It is gone."""
        thing = self.things.pop(uid, None)
        self.unseen.discard(uid)
        if thing is None:
            return
        if thing.head.owner is not None:
            owned = self._below[thing.head.owner.uid]
            del owned[uid]
            if not owned:
                del self._below[thing.head.owner.uid]
        if _stays(thing):
            self._staying[thing.head.namespace] -= 1

    def owned(self, uid: str) -> list[Thing]:
        """What it owns."""
        return [self.things[u] for u in self._below.get(uid, ())]

    def stays(self, namespace: str) -> bool:
        """Whether any pod of a namespace is neither going nor over."""
        return self._staying[namespace] > 0


def _stays(thing: Thing) -> bool:
    return isinstance(thing, Pod) and not thing.leaving_ns and thing.phase not in OVER
