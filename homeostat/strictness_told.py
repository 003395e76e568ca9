"""What was told last of each environment's strictness: for people, and as metrics. This only repeats `telemetry.strictness`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Final

from contracts.events import Strictness
from homeostat.metrics import Sample

_OUTCOMES: Final = ("said_false", "said_right", "repaired", "unknown")


class StrictnessTold:
    """The last word on each environment."""

    def __init__(self) -> None:
        self._last: dict[str, Strictness] = {}

    def note(self, word: Strictness) -> None:
        """Remember a word."""
        self._last[word.environment] = word

    def forget(self, theirs: Callable[[str], bool]) -> None:
        """These environments are another process's now."""
        self._last = {e: word for e, word in self._last.items() if not theirs(e)}

    def words(self) -> tuple[Strictness, ...]:
        """By environment."""
        return tuple(self._last[e] for e in sorted(self._last))

    def samples(self) -> Iterator[Sample]:
        """Its metrics."""
        for word in self.words():
            yield "strictness_decades", (word.environment,), word.strictness
            yield "false_incidents_accepted", (word.environment,), per_week(word)
            for outcome in _OUTCOMES:
                yield "incidents_last_week", (word.environment, outcome), getattr(word, outcome)


def per_week(word: Strictness) -> float:
    """False incidents per week that are accepted: as many as are expected where nothing is set."""
    return word.expected if word.accepted is None else word.accepted


def line(word: Strictness) -> str:
    """What is accepted, what came of the week's incidents, and what follows of it, for people."""
    said = f"{word.accepted:g}" if word.accepted is not None else f"as tuned (about {word.expected:.2g})"
    outcomes = (
        (word.said_false, "said to be false"),
        (word.said_right, "said to be right"),
        (word.repaired, "repaired"),
        (word.unknown, "unknown"),
    )
    parts = ", ".join(f"{n} {words}" for n, words in outcomes if n)
    opened = f"incidents of the last week: {word.opened}" + (f" ({parts})" if parts else "")
    return (
        f"false incidents accepted per week: {said}; {opened}; strictness {word.strictness:+.2f} decades ({word.text})"
    )


def document(word: Strictness) -> dict[str, Any]:
    """The same for machines, without what only the log needs."""
    return {f: getattr(word, f) for f in word.__struct_fields__ if f != "version"}
