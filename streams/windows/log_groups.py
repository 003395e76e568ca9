"""Templates that differ by words that vary (names of users, topics, hosts) are one: what masks can't tell, is learnt from what comes.

As in Drain (He et al., ICWS 2017): templates of the same length and first word are compared word by word, and those that share enough
are one group, whose places of differing words vary. Unlike there a place counts as varying only after `VARIES` different words: a
breaker that "opened" or "closed" is two statements and not one; nor do places in the code vary. Where a service's log records come
together, each group is the same for all of them, in whatever partition they were read.
"""

from __future__ import annotations

import re
from typing import Any, Final

VARIES: Final = 5
"""So many different words at one place of one group are values and no statement."""
LOCATIONS: Final = 200
"""So many places in the code, of one group, are none."""
_LOCATION: Final = re.compile(
    r"[\w$\[\]-]+(?:\.[\w$\[\]-]*)+#\d+\W?|[\w./-]+\.(?:go|py|java|kt|scala|js|ts|rb|rs|php|cs|c|cc|cpp|h|swift|ex|erl):\d+\W?"
)
"""A place in the code, as loggers write it (`shop.Cart#42`, `cart.go:42]`): it tells which statement it was."""
_ALIKE: Final = 0.5
"""The share of words that templates of one group have in common."""
_MOST_WORDS: Final = 64
_MOST_GROUPS: Final = 1000
_MOST_KNOWN: Final = 20_000
_MOST_FIRST: Final = 64
_ANY: Final = "*"
Words = tuple[str, ...]


class LogGroup:
    """Templates of one length: per place the words that were seen, None once they vary; and the id of each statement among them."""

    __slots__ = ("ids", "places")

    def __init__(self, words: Words) -> None:
        self.places: list[list[str] | None] = [[word] for word in words]
        self.ids: dict[Words, int] = {}

    def alike(self, words: Words) -> float:
        """The share of words that may stand where they stand; a place that varies says nothing."""
        same = sum(place is not None and word in place for place, word in zip(self.places, words, strict=True))
        return same / len(words)

    def statement(self, words: Words, template: int) -> int:
        """The id of the statement that these words are; `template` is it if there is none yet."""
        changed = False
        for at, (place, word) in enumerate(zip(self.places, words, strict=True)):
            if place is None or word in place:
                continue
            place.append(word)
            if len(place) >= (LOCATIONS if _LOCATION.fullmatch(word) else VARIES):
                self.places[at] = None
                changed = True
        if changed:  # statements that differed only there are one from now on: the one that came first
            ids: dict[Words, int] = {}
            for said, known in self.ids.items():
                ids.setdefault(self._fixed(said), known)
            self.ids = ids
        return self.ids.setdefault(self._fixed(words), template)

    def _fixed(self, words: Words) -> Words:
        return tuple(_ANY if place is None else word for place, word in zip(self.places, words, strict=True))


class LogGroups:
    """The groups of one service's templates."""

    def __init__(self) -> None:
        self._known: dict[int, int] = {}
        self._groups: dict[tuple[int, str], list[LogGroup]] = {}
        self._count = 0

    def of(self, template: int, text: str) -> int:
        """The template that stands for a template with this text: itself, or one that was there before."""
        known = self._known.get(template)
        if known is not None:
            return known
        if not text:
            return template
        if len(self._known) >= _MOST_KNOWN:
            self._known = {}
        found = self._known[template] = self._find(template, tuple(text.split()[:_MOST_WORDS]))
        return found

    def _find(self, template: int, words: Words) -> int:
        if len(words) < 2:
            return template
        key = self._key(words)
        groups = self._groups.get(key, [])
        best = max(groups, key=lambda g: g.alike(words), default=None)
        if best is not None and best.alike(words) >= _ALIKE:
            return best.statement(words, template)
        if self._count < _MOST_GROUPS:
            group = LogGroup(words)
            self._groups.setdefault(key, []).append(group)
            self._count += 1
            return group.statement(words, template)
        return template

    def _key(self, words: Words) -> tuple[int, str]:
        """Length and first word; of a length at which too many words come first, the length alone."""
        key = len(words), words[0]
        several = len(words), _ANY
        if key in self._groups or (several not in self._groups and self._firsts(len(words)) < _MOST_FIRST):
            return key
        return several

    def _firsts(self, length: int) -> int:
        return sum(known == length for known, _ in self._groups)

    def state(self) -> list[Any]:
        """For a snapshot."""
        groups = [
            [list(key), [[g.places, [[list(w), i] for w, i in g.ids.items()]] for g in of]]
            for key, of in self._groups.items()
        ]
        return [list(self._known.items()), groups]

    def load(self, state: list[Any]) -> None:
        """Take the state of a snapshot."""
        self._known = dict(tuple(pair) for pair in state[0])
        self._groups, self._count = {}, 0
        for (length, first), groups in state[1]:
            for places, ids in groups:
                group = LogGroup(())
                group.places = [None if p is None else list(p) for p in places]
                group.ids = {tuple(words): known for words, known in ids}
                self._groups.setdefault((length, first), []).append(group)
                self._count += 1
