"""Parts of a service: the workloads that share its name (blue and green, web and worker), and how the requests of each fare.

Sums are counted where telemetry comes in, and are added up wherever claims of several origins meet. Who of them is sick is judged
where it is decided what to act on, and nowhere else (`playbooks.guards.singling`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

import msgspec

from contracts.units import SECOND

LATELY_NS: Final = 15 * SECOND
"""Half-life of what counts as lately."""
BEFORE_NS: Final = 300 * SECOND
"""Half-life of what it is compared with."""
MOST_PARTS: Final = 8
"""Told of one service; those with the most requests."""


class Fared(msgspec.Struct, array_like=True):
    """Decayed sums over requests: how many, how many of them failed, those of known routes, and by how many standard deviations of their
    route these were slower than usual."""

    asked: float = 0.0
    failed: float = 0.0
    known: float = 0.0
    pace: float = 0.0

    @property
    def share(self) -> float:
        """The share of them that failed."""
        return self.failed / self.asked if self.asked > 0 else 0.0

    @property
    def mean_pace(self) -> float:
        """By how many standard deviations of their route those of known routes were slower, on average."""
        return self.pace / self.known if self.known > 0 else 0.0

    def plus(self, other: Fared, share: float = 1.0) -> Fared:
        """The sum with a share of another."""
        return Fared(
            self.asked + share * other.asked,
            self.failed + share * other.failed,
            self.known + share * other.known,
            self.pace + share * other.pace,
        )


@dataclass(slots=True)
class Part:
    """How one workload's requests fared, `lately` and for some minutes (`whole`, lately included), as of `time_ns`. `pod` is one of its
    pods, by the attributes of which the cluster knows it."""

    attributes: Mapping[str, str] = field(default_factory=dict)
    pod: Mapping[str, str] = field(default_factory=dict)
    lately: Fared = field(default_factory=Fared)
    whole: Fared = field(default_factory=Fared)
    time_ns: int = 0
    heard_ns: int = 0
    """When it was last asked for anything."""

    def add(self, fared: Fared, now_ns: int) -> None:
        """Some more requests."""
        so_far = self.at(now_ns)
        self.lately, self.whole, self.time_ns = fared.plus(so_far.lately), fared.plus(so_far.whole), so_far.time_ns
        self.heard_ns = max(self.heard_ns, now_ns)

    def at(self, now_ns: int) -> Part:
        """What it comes to now: who is asked no more, or is gone, fades."""
        age_ns = max(now_ns - self.time_ns, 0) if self.time_ns else 0
        lately, whole = (
            Fared().plus(f, 0.5 ** (age_ns / t)) for f, t in ((self.lately, LATELY_NS), (self.whole, BEFORE_NS))
        )
        return Part(self.attributes, self.pod, lately, whole, max(now_ns, self.time_ns), self.heard_ns)

    @property
    def before(self) -> Fared:
        """How they fared before lately."""
        rest = self.whole.plus(self.lately, -1.0)
        asked, known = max(rest.asked, 0.0), max(rest.known, 0.0)
        return Fared(asked, min(max(rest.failed, 0.0), asked), known, rest.pace)

    @property
    def words(self) -> str:
        """For people: `cart-blue (3 of 210 requests failed lately)`."""
        name = next((v for k, v in self.attributes.items() if k not in _PLACES), "") or self.pod.get(
            "k8s.pod.name", "unnamed"
        )
        return f"{name} ({self.lately.failed:.0f} of {self.lately.asked:.0f} requests failed lately)"


_PLACES: Final = ("k8s.cluster.name", "k8s.namespace.name")


def together(told: Iterable[Iterable[Part]], now_ns: int = 0, most: int = MOST_PARTS) -> list[Part]:
    """The parts of one service as several origins tell of them, each summed up, as of now, or the newest word; at most so many."""
    every = [list(parts) for parts in told]
    time_ns = max([now_ns, *(p.time_ns for parts in every for p in parts)])
    found: dict[tuple[tuple[str, str], ...], Part] = {}
    for parts in every:
        for part in (p.at(time_ns) for p in parts):
            key = tuple(sorted(part.attributes.items()))
            known = found.get(key)
            if known is None:
                found[key] = part
                continue
            lately, whole = known.lately.plus(part.lately), known.whole.plus(part.whole)
            heard_ns = max(part.heard_ns, known.heard_ns)
            found[key] = Part(part.attributes, part.pod or known.pod, lately, whole, time_ns, heard_ns)
    return sorted(found.values(), key=lambda p: (-p.whole.asked, sorted(p.attributes.items())))[:most]


def spelled_parts(parts: Iterable[Part]) -> str:
    """Parts as attributes carry them."""
    return msgspec.json.encode([_rounded(p) for p in parts]).decode()


def parts_from(text: str) -> list[Part]:
    """Parts from attributes; none where it can't be read."""
    try:
        return msgspec.json.decode(text, type=list[Part]) if text else []
    except msgspec.MsgspecError:
        return []


def _rounded(part: Part) -> Part:
    return Part(part.attributes, part.pod, _short(part.lately), _short(part.whole), part.time_ns, part.heard_ns)


def _short(fared: Fared) -> Fared:
    return Fared(round(fared.asked, 1), round(fared.failed, 1), round(fared.known, 1), round(fared.pace, 1))
