"""What the executor keeps of the telemetry around it: recent evidence frames, and which incidents are over."""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Iterator, Mapping

from contracts.claims import ClaimsHeard
from contracts.events import Incident
from contracts.features import Signal
from contracts.frames.feature_frame import EvidenceFrame
from contracts.meant_names import calls_meant
from contracts.units import MINUTE, SECOND
from contracts.verdicts import IncidentPhase
from playbooks.guards import Serving, Standing, singled_out, standing
from playbooks.runs.plan import Surroundings

HORIZON_NS = 180 * SECOND
"""How far back evidence is kept: long enough for a baseline from before the onset."""
EDGES_NS = MINUTE
_INCIDENTS = 1000


class TelemetryView:
    """One environment as the executor sees it."""

    def __init__(self) -> None:
        self._frames: deque[EvidenceFrame] = deque()
        self._incidents: OrderedDict[str, Incident] = OrderedDict()
        self._newest_ns = 0
        self._claims = ClaimsHeard()
        self._serving = Serving()

    def observe(self, frame: EvidenceFrame) -> None:
        """Keep a frame; forget those that are too old."""
        self._frames.append(frame)
        self._serving.observe(frame)
        if frame.signal != Signal.EDGES:
            self._claims.take(frame.signal, frame.services, frame.attributes, frame.window_ns)
        self._newest_ns = max(self._newest_ns, frame.window_ns)
        while self._frames and self._frames[0].window_ns < self._newest_ns - HORIZON_NS:
            self._frames.popleft()

    def note(self, incident: Incident) -> None:
        """Remember the latest revision of an incident."""
        known = self._incidents.get(incident.id)
        if known is None or incident.revision >= known.revision:
            self._incidents[incident.id] = incident
            self._incidents.move_to_end(incident.id)
        while len(self._incidents) > _INCIDENTS:
            self._incidents.popitem(last=False)

    def frames(self) -> Iterator[EvidenceFrame]:
        """The frames kept, in order of arrival."""
        return iter(tuple(self._frames))

    def standing(self, target: str, onset_ns: int) -> Standing:
        """How the target has answered since a moment."""
        return standing(self._frames, target, onset_ns)

    def is_over(self, incident: str) -> bool:
        """Whether the incident is known to be resolved."""
        known = self._incidents.get(incident)
        return known is not None and known.phase is IncidentPhase.RESOLVED

    def surroundings(self, target: str, incident: str, onset_ns: int) -> Surroundings:
        """Who the target is, who calls it, who suffers, and how much more it has been asked for since the onset."""
        known, calls = self._incidents.get(incident), self._calls()
        return Surroundings(
            attributes=self.attributes(target),
            callers=tuple(sorted(calls.get(target, set()) - {target})),
            affected=() if known is None else known.blast_radius,
            entries=_entries(target, calls),
            demand=self.standing(target, onset_ns).times,
        )

    def established(self) -> frozenset[str]:
        """Services that have served requests for some minutes: names that were just made up enlarge no limit."""
        return self._serving.established()

    def _calls(self) -> dict[str, set[str]]:
        """Who was called lately, and by whom."""
        lately = [f for f in self._frames if f.window_ns >= self._newest_ns - EDGES_NS]
        edges = [f for f in lately if f.signal == Signal.EDGES]
        own = {name for f in lately if f.signal != Signal.EDGES for name in f.services}
        pairs = dict.fromkeys(pair for f in edges for pair in zip(f.services, f.peers, strict=False))
        found: dict[str, set[str]] = {}
        for caller, callee in calls_meant(pairs, own):
            found.setdefault(callee, set()).add(caller)
        return found

    def attributes(self, service: str) -> dict[str, str]:
        """What telemetry says that a service is, and whether it agrees (`contracts.claims`)."""
        return singled_out(self._claims.of(service))


def _entries(target: str, calls: Mapping[str, set[str]]) -> tuple[str, ...]:
    """Of those who call the target, however indirectly, the ones whom nobody else calls."""
    found, todo = {target}, [target]
    while todo:
        news = calls.get(todo.pop(), set()) - found
        found |= news
        todo += news
    return tuple(sorted(s for s in found - {target} if not calls.get(s, set()) - {s}))
