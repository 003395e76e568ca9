"""Log templates that were never seen before.

A template is new in the window in which its service first logged it, in event time: the earliest window wins, in whatever
order the records arrive. During a service's first minute everything counts as known.
"""

from __future__ import annotations

from typing import Any

import numpy as np

_MOST_PER_SERVICE = 10_000
_MOST_TEXTS = 100_000
GRACE_NS = 60_000_000_000


class TemplateBook:
    """First window of each template per entity, and the texts."""

    def __init__(self) -> None:
        self.texts: dict[int, str] = {}
        self._first: dict[int, dict[int, int]] = {}
        self._fresh: dict[int, dict[int, set[int]]] = {}

    def tell(self, template: int, text: str) -> None:
        """Keep the text of a template."""
        if text and template not in self.texts and len(self.texts) < _MOST_TEXTS:
            self.texts[template] = text

    def see(self, entity: int, template: int, window: int) -> int:
        """An entity logged a template in a window; the window in which it was new until now and is not any more, or -1."""
        known = self._first.setdefault(entity, {})
        before = known.get(template)
        if (before is not None and before <= window) or (before is None and len(known) >= _MOST_PER_SERVICE):
            return -1
        known[template] = window
        self._fresh.setdefault(window, {}).setdefault(entity, set()).add(template)
        if before is None:
            return -1
        self._fresh.get(before, {}).get(entity, set()).discard(template)
        return before

    def fresh(self, entity: int, window: int) -> list[int]:
        """Templates that are new in a window, sorted."""
        return sorted(self._fresh.get(window, {}).get(entity, ()))

    def text(self, template: int) -> str:
        """What a template says; its hash where no text is known any more."""
        return self.texts.get(template, f"template {template:016x}")

    def close(self, window: int) -> None:
        """A window will not be looked at again."""
        self._fresh.pop(window, None)

    def forget(self, entity: int) -> None:
        """An entity's number will be used for another."""
        self._first.pop(entity, None)

    def state(self) -> dict[str, Any]:
        """For a snapshot."""
        return {
            "texts": [[k, v] for k, v in self.texts.items()],
            "first": [
                [e, np.array(list(t), np.uint64), np.array(list(t.values()), np.int64)] for e, t in self._first.items()
            ],
            "fresh": [[w, e, sorted(t)] for w, of in self._fresh.items() for e, t in of.items()],
        }

    def load(self, state: dict[str, Any]) -> None:
        """Take the state of a snapshot."""
        self.texts = dict(state["texts"])
        self._first = {e: dict(zip(t.tolist(), w.tolist(), strict=True)) for e, t, w in state["first"]}
        self._fresh = {}
        for window, entity, templates in state["fresh"]:
            self._fresh.setdefault(window, {})[entity] = set(templates)
