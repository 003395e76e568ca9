"""Telemetry that stopped coming, as findings about telemetry: of a service, of all of a node, or of everything.

A missing row (`streams.windows.liveness`) says that nothing is known of a service. Here it is told once, for the largest scope
that explains it: `*` where nothing of the environment is heard any more, `node:` and its name where all that runs there fell
silent together, else the service. Such an anomaly has the kind `telemetry`: no incident follows from it and nothing is done to a
service because of it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Final

import msgspec

from contracts.events import Anomaly
from contracts.events.telemetry import anomaly_id
from contracts.features import Signal
from contracts.frames import FeatureFrame, PartialFrame, Presence
from contracts.units import DAY, SECOND
from contracts.verdicts import AnomalyKind, AnomalyPhase, ServiceState

LOST_NS: Final = 10 * SECOND
"""Telemetry of a node or of everything that has not come for this long is told of."""
NODE_NS: Final = 2 * SECOND
"""How much longer a node has to be silent than everything, so that the loss of everything is told first."""
ALONE_NS: Final = 15 * SECOND
"""Telemetry of a service that has been missing for this long is told of; longer, so that whatever hides several is told first."""
HABIT: Final = 1.5
EVERYTHING: Final = "*"
NODE: Final = "node:"
_FROM_SENDERS: Final = frozenset({Signal.SPANS, Signal.LOGS, Signal.METRICS})
"""Signals whose frames come because something was received; what is made of them may come later."""
_MOST_NODES: Final = 4096
_MOST_NAMED: Final = 5
_GAPS: Final = 3
_PAUSES: Final = 12
_CLOSE: Final = 6
"""Times its length within which three pauses make a habit of it."""
_LONGEST_HABIT_NS: Final = 300 * SECOND
"""Nobody who sends telemetry pauses for longer: a reader of metrics has periods of a minute or two."""
_HABIT_NS: Final = DAY


class Pulse(msgspec.Struct):
    """When (by the clock) something was last heard of, and how it usually pauses.

    A pause is a habit if three as long come close together, as those of a sender with a period do. Telemetry that is lost now and
    then, however often in months, is none; and a habit that was not seen for a day is over.
    """

    heard_ns: int = 0
    pauses_ns: list[tuple[int, int]] = []
    """When the latest pauses ended, and how long they were."""
    usual_ns: int = 0
    """The longest habit."""
    confirmed_ns: int = 0

    def beat(self, now_ns: int) -> None:
        """It was heard of."""
        pause_ns = now_ns - self.heard_ns
        if self.heard_ns and pause_ns > SECOND:
            self.pauses_ns = [*self.pauses_ns, (now_ns, pause_ns)][-_PAUSES:]
            self._learn(now_ns)
        self.heard_ns = max(self.heard_ns, now_ns)

    def _learn(self, now_ns: int) -> None:
        """Take for a habit the longest pause that came three times within a few times its length."""
        found_ns = 0
        for _, length_ns in self.pauses_ns:
            alike = [(end, length) for end, length in self.pauses_ns if length >= length_ns][-_GAPS:]
            apart_ns = alike[-1][0] - (alike[0][0] - alike[0][1])
            if len(alike) == _GAPS and apart_ns <= _CLOSE * length_ns and now_ns - alike[-1][0] <= _CLOSE * length_ns:
                found_ns = max(found_ns, min(length_ns, _LONGEST_HABIT_NS))
        if found_ns >= self.usual_ns or now_ns - self.confirmed_ns > _HABIT_NS:
            self.usual_ns, self.confirmed_ns = found_ns, now_ns

    def silent(self, now_ns: int) -> bool:
        """Whether it has not been heard of for longer than it usually pauses."""
        return bool(self.heard_ns) and now_ns - self.heard_ns > LOST_NS + HABIT * self.usual_ns


class Losses:
    """One environment, seen from one partition of services. `mine` says which scopes this partition tells of."""

    def __init__(self, environment: str, mine: Callable[[str], bool]) -> None:
        self.environment, self._mine = environment, mine
        self._all = Pulse()
        self._nodes: dict[str, Pulse] = {}
        self._places: dict[str, list[str]] = {}
        """Nodes on which a service was seen."""
        self._lost: dict[str, int] = {}
        """Services of this partition whose rows are missing, with the window since when."""
        self._open: dict[str, Anomaly] = {}
        self._wide: set[str] = set()
        """Nodes, or everything, that were silent at the last look, whoever tells of them."""
        self._time_ns = 0

    def hear(self, frame: PartialFrame, now_ns: int) -> None:
        """A source has something of this environment: which nodes it comes from, and what runs there."""
        if frame.signal in _FROM_SENDERS:
            self._all.beat(now_ns)
        for node in frame.heard:
            if node in self._nodes or len(self._nodes) < _MOST_NODES:
                self._nodes.setdefault(node, Pulse()).beat(now_ns)
        for placed in frame.placed:
            service, _, node = placed.partition("\t")
            nodes = self._places.setdefault(service, [])
            if node not in nodes:
                self._places[service] = [*nodes, node][-16:]

    def see(self, frame: FeatureFrame) -> None:
        """Rows of spans were sent."""
        self._time_ns = max(self._time_ns, frame.window_ns + frame.width_ns)
        if frame.revision > 0 or (not len(frame.presence) and not self._lost):
            return
        presence = frame.presence.tolist() or [Presence.OBSERVED] * len(frame.services)
        for service, what in zip(frame.services, presence, strict=True):
            if what == Presence.MISSING:
                self._lost.setdefault(service, frame.window_ns)
            else:
                self._lost.pop(service, None)

    def look(self, now_ns: int) -> list[Anomaly]:
        """What opens and what is over."""
        if not self._lost and not self._open and not self._nodes:
            return []
        wanted = self._wanted(now_ns)
        wide = {s for s in wanted if s == EVERYTHING or s.startswith(NODE)}
        if self._wide - wide:  # what comes again comes one by one: none of them is a loss of its own
            self._lost = {s: t if s in self._open else self._time_ns for s, t in self._lost.items()}
            wanted = {s: found for s, found in wanted.items() if s in wide or s in self._open}
        self._wide = wide
        told = [self._end(scope) for scope in sorted(self._open) if scope not in wanted]
        for scope, (since_ns, services) in sorted(wanted.items()):
            if scope not in self._open and self._mine(scope):
                self._open[scope] = self._begin(scope, since_ns, services)
                told.append(self._open[scope])
        return told

    def _wanted(self, now_ns: int) -> dict[str, tuple[int, list[str]]]:
        """Scopes whose telemetry is lost, since when, and which services that hides (of everything none is named)."""
        if self._all.silent(now_ns):
            # What was open before goes on: nothing is known of it either.
            kept = {s: (a.onset_ns, [s]) for s, a in self._open.items()}
            return kept | {EVERYTHING: (self._since(self._all), [])}
        silent = {n for n, pulse in self._nodes.items() if pulse.silent(now_ns - NODE_NS)}
        hidden = {s: nodes for s, nodes in self._places.items() if nodes and silent.issuperset(nodes)}
        found: dict[str, tuple[int, list[str]]] = {}
        for node in silent:
            services = sorted(s for s, nodes in hidden.items() if node in nodes)
            if len(services) > 1:
                found[NODE + node] = (self._since(self._nodes[node]), services)
        covered = {s for _, services in found.values() for s in services}
        lost = {s: t for s, t in self._lost.items() if s not in covered and self._time_ns - t >= ALONE_NS}
        return found | {s: (since_ns, [s]) for s, since_ns in lost.items()}

    def _since(self, pulse: Pulse) -> int:
        return min([pulse.heard_ns, *(t for t in self._lost.values())])

    def _begin(self, scope: str, since_ns: int, services: Iterable[str]) -> Anomaly:
        return Anomaly(
            id=anomaly_id("tl", self.environment, scope, since_ns),
            environment=self.environment,
            service=scope,
            phase=AnomalyPhase.OPENED,
            state=ServiceState.STALE,
            onset_ns=since_ns,
            time_ns=max(self._time_ns, since_ns),
            p_value=1.0,
            decades=0.0,
            contributions=(),
            detector="silence",
            model_version="1",
            text=_words(scope, list(services)),
            kind=AnomalyKind.TELEMETRY,
        )

    def _end(self, scope: str) -> Anomaly:
        last = self._open.pop(scope)
        return msgspec.structs.replace(
            last, phase=AnomalyPhase.CLOSED, time_ns=max(self._time_ns, last.time_ns), text="its telemetry comes again"
        )

    def state(self) -> dict[str, Any]:
        """For a snapshot."""
        kept = {"all": self._all, "nodes": self._nodes, "open": self._open}
        plain = {name: msgspec.to_builtins(value) for name, value in kept.items()}
        return {**plain, "places": self._places, "lost": self._lost, "wide": sorted(self._wide), "time": self._time_ns}

    def load(self, state: dict[str, Any]) -> None:
        """Take the state of a snapshot."""
        self._all = msgspec.convert(state["all"], Pulse)
        self._nodes = msgspec.convert(state["nodes"], dict[str, Pulse])
        self._open = msgspec.convert(state["open"], dict[str, Anomaly])
        self._places, self._lost, self._wide = dict(state["places"]), dict(state["lost"]), set(state["wide"])
        self._time_ns = state["time"]


def _words(scope: str, services: list[str]) -> str:
    if scope == EVERYTHING:
        return "no telemetry of anything comes any more: it is lost on its way, or its senders are; nothing is known of services"
    named = ", ".join(services[:_MOST_NAMED])
    more = f" and {len(services) - _MOST_NAMED} more" if len(services) > _MOST_NAMED else ""
    if scope.startswith(NODE):
        return f"no telemetry of {scope.removeprefix(NODE)} comes any more: nothing is known of {named}{more}"
    return f"no telemetry of {scope} comes any more, and nothing shows that it fails: whether it serves is not known"
