"""Log templates that were never seen before.

A template is new in the window in which its service first logged it, in event time: the earliest window wins, in whatever
order the records arrive. During a service's first minute everything counts as known. Of a service that logs too many, those
that it has not logged for longest are forgotten; while it has logged too many lately, none is new: then new ones say nothing.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from contracts.units import MINUTE
from streams.windows.log_groups import LogGroups

_MOST_PER_SERVICE = 10_000
_MOST_TEXTS = 100_000
GRACE_NS = MINUTE
_QUIET_WINDOWS = 600
"""A template that was logged in one of so many last windows is not forgotten."""
_SHARE = 10
"""One in so many leaves when there are too many."""


class TemplateBook:
    """First window of each template per entity, and the texts."""

    def __init__(self) -> None:
        self.texts: dict[int, str] = {}
        self.left = self.over_limit = 0
        """How many templates were forgotten, and for how many there was no room."""
        self._first: dict[int, dict[int, int]] = {}
        self._last: dict[int, dict[int, int]] = {}
        self._fresh: dict[int, dict[int, set[int]]] = {}
        self._groups: dict[int, LogGroups] = {}

    def group(self, entity: int, template: int, text: str) -> int:
        """The template that stands for this one among those of an entity."""
        return self._groups.setdefault(entity, LogGroups()).of(template, text)

    def tell(self, template: int, text: str) -> None:
        """Keep the text of a template."""
        if text and template not in self.texts:
            if len(self.texts) >= _MOST_TEXTS:
                for known in list(self.texts)[: _MOST_TEXTS // _SHARE]:
                    del self.texts[known]
            self.texts[template] = text

    def see(self, entity: int, template: int, window: int) -> int:
        """An entity logged a template in a window; the window in which it was new until now and is not any more, or -1."""
        known = self._first.setdefault(entity, {})
        before = known.get(template)
        last = self._last.setdefault(entity, {})
        if before is None and len(known) >= _MOST_PER_SERVICE:
            self._make_room(known, last, window)
            if len(known) >= _MOST_PER_SERVICE:
                self.over_limit += 1
                return -1
        last[template] = max(window, last.get(template, window))
        if before is not None and before <= window:
            return -1
        known[template] = window
        self._fresh.setdefault(window, {}).setdefault(entity, set()).add(template)
        if before is None:
            return -1
        self._fresh.get(before, {}).get(entity, set()).discard(template)
        return before

    def _make_room(self, known: dict[int, int], last: dict[int, int], window: int) -> None:
        logged = {t: last.get(t, first) for t, first in known.items()}
        quiet = [t for t in known if logged[t] < window - _QUIET_WINDOWS]
        gone = sorted(quiet, key=lambda t: (logged[t], t))[: _MOST_PER_SERVICE // _SHARE]
        for template in gone:
            del known[template]
            last.pop(template, None)
        self.left += len(gone)

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
        self._last.pop(entity, None)
        self._groups.pop(entity, None)

    def state(self) -> dict[str, Any]:
        """For a snapshot."""
        return {
            "texts": [[k, v] for k, v in self.texts.items()],
            "first": [
                [e, np.array(list(t), np.uint64), np.array(list(t.values()), np.int64)] for e, t in self._first.items()
            ],
            "last": [
                [e, np.array(list(t), np.uint64), np.array(list(t.values()), np.int64)] for e, t in self._last.items()
            ],
            "groups": [[e, g.state()] for e, g in self._groups.items()],
            "fresh": [[w, e, sorted(t)] for w, of in self._fresh.items() for e, t in of.items()],
        }

    def load(self, state: dict[str, Any]) -> None:
        """Take the state of a snapshot."""
        self.texts = dict(state["texts"])
        self._first = {e: dict(zip(t.tolist(), w.tolist(), strict=True)) for e, t, w in state["first"]}
        self._last = {e: dict(zip(t.tolist(), w.tolist(), strict=True)) for e, t, w in state.get("last", ())}
        self._groups = {}
        for entity, groups in state.get("groups", ()):
            self._groups[entity] = LogGroups()
            self._groups[entity].load(groups)
        self._fresh = {}
        for window, entity, templates in state["fresh"]:
            self._fresh.setdefault(window, {})[entity] = set(templates)
