"""How often the templates of logs came, per window and service: what follows from one another in the course of a request is seen in them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np

from streams.windows.templates import TemplateBook

MOST_TOLD: Final = 32
"""Templates of one service that are told of a window: the most frequent."""
AGAIN: Final = 600
"""Windows after which a text is told again, for whoever has come since."""


class TemplateCounts:
    """Counts of the windows that are still open, and when the text of which template was told last."""

    def __init__(self) -> None:
        self._open: dict[int, dict[int, dict[int, int]]] = {}
        self._told: dict[int, dict[int, int]] = {}

    def add(self, window: int, entity: int, template: int, count: int) -> None:
        """An entity logged a template so often in a window."""
        if count:
            mine = self._open.setdefault(window, {}).setdefault(entity, {})
            mine[template] = mine.get(template, 0) + count

    def columns(self, window: int, entities: Sequence[int], book: TemplateBook) -> dict[str, Any]:
        """The columns `template_*` of a frame whose rows are these entities; none where nothing was logged."""
        found = self._open.get(window)
        if not found:
            return {}
        rows: list[tuple[int, int, int]] = []
        texts: list[str] = []
        for row, entity in enumerate(entities):
            for template, count in _most(found.get(entity, {})):
                rows.append((row, template, count))
                texts.append(self._text(window, entity, template, book))
        if not rows:
            return {}
        of_rows, templates, counts = zip(*rows, strict=True)
        return {
            "template_row": np.array(of_rows, np.int32),
            "template_hash": np.array(templates, np.uint64),
            "template_count": np.array(counts, np.int64),
            "template_text": tuple(texts),
        }

    def _text(self, window: int, entity: int, template: int, book: TemplateBook) -> str:
        told = self._told.setdefault(entity, {})
        if window - told.get(template, -AGAIN) < AGAIN:
            return ""
        told[template] = window
        return book.text(template)

    def close(self, window: int) -> None:
        """A window will not be looked at again; nor will what was told long ago."""
        self._open.pop(window, None)
        if window % AGAIN == 0:
            for entity, told in list(self._told.items()):
                self._told[entity] = {t: w for t, w in told.items() if w > window - AGAIN}

    def forget(self, entity: int) -> None:
        """An entity's number will be used for another."""
        self._told.pop(entity, None)
        for of in self._open.values():
            of.pop(entity, None)

    def state(self) -> dict[str, Any]:
        """For a snapshot."""
        return {
            "open": [[w, e, list(t.items())] for w, of in self._open.items() for e, t in of.items()],
            "told": [[e, list(t.items())] for e, t in self._told.items()],
        }

    def load(self, state: dict[str, Any]) -> None:
        """Take the state of a snapshot; of before there were counts, none."""
        self._open = {}
        for window, entity, counts in state.get("open", ()):
            self._open.setdefault(window, {})[entity] = dict(counts)
        self._told = {e: dict(told) for e, told in state.get("told", ())}


def _most(counts: dict[int, int]) -> list[tuple[int, int]]:
    """The most frequent, in the order of their hashes."""
    if len(counts) > MOST_TOLD:
        kept = sorted(counts, key=lambda t: (-counts[t], t))[:MOST_TOLD]
        return sorted((t, counts[t]) for t in kept)
    return sorted(counts.items())
