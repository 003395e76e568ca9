"""What telemetry last said of each service, kept cheaply: the latest frames as they are, looked into only when deciding.

Services are each as late as they are, and rows of one window come in several frames. So nothing here counts frames, nor compares
a service's windows with those of others: a service's newest row is its present for some seconds of event time after it came.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any, Final, NamedTuple

from contracts.claims import ClaimsHeard
from contracts.events import Candidate
from contracts.features import Signal
from contracts.frames import EvidenceFrame
from contracts.verdicts import CauseKind
from playbooks.decision.known_calls import FORGET_NS, KnownCalls
from playbooks.decision.world import ServiceView
from playbooks.guards import Serving, Standing, passed, singled_out, standing
from playbooks.guards.callers_view import known_as, means

MOST_SERVICES: Final = 20_000
PRESENT: Final = 10
"""Windows of event time after which a service's newest row is no longer its present, if no newer one has come."""
KEPT: Final = 90
"""Windows of event time for which a frame is kept after it came: what a target was like before it was suspected."""
MOST_FRAMES: Final = 100 * KEPT
"""Frames per signal and partition that are kept at most, however many come."""
BACK: Final = 2 * KEPT
"""Windows by which a frame is older than event time that show that event time was wrong: the clock it came by was set back."""


class Came(NamedTuple):
    """A frame, and how far event time of its partition had come then."""

    time_ns: int
    frame: EvidenceFrame


class Newest(NamedTuple):
    """A service's newest row of a signal: its partition and window, and how far event time had come when it came first."""

    partition: int
    window_ns: int
    time_ns: int


class Views:
    """The services of one environment."""

    def __init__(self) -> None:
        self._frames: dict[tuple[str, int], deque[Came]] = {}
        self._time_ns: dict[int, int] = {}
        """How far event time has come, by partition of services: the newest window of any signal."""
        self._latest: dict[str, dict[str, Newest]] = {}
        """Newest rows, by signal and service."""
        self._versions: dict[str, str] = {}
        self._heard = ClaimsHeard()
        self._kept: dict[str, ServiceView] = {}
        self.at_work = Serving()
        """Which services have served requests for some minutes."""
        self.calls = KnownCalls()
        """Who calls whom."""
        self._services: dict[str, int] = {}
        """How far event time had come when each service was heard of last."""
        self._looked_ns = 0

    def take(self, frame: EvidenceFrame) -> None:
        """Keep a frame. Edges carry no features of a service, but how its callers see it."""
        time_ns = self._tell_time(frame)
        self._services.update(dict.fromkeys(frame.services, time_ns))
        if abs(time_ns - self._looked_ns) >= FORGET_NS:
            self._looked_ns, self._services = time_ns, self.heard
        self._keep(frame, time_ns)
        self.at_work.observe(frame)

    def _tell_time(self, frame: EvidenceFrame) -> int:
        time_ns = self._time_ns.get(frame.partition, 0)
        if frame.window_ns > time_ns or frame.window_ns < time_ns - BACK * frame.width_ns:
            time_ns = self._time_ns[frame.partition] = frame.window_ns
        return time_ns

    def _keep(self, frame: EvidenceFrame, time_ns: int) -> None:
        kept = self._frames.setdefault((frame.signal, frame.partition), deque(maxlen=MOST_FRAMES))
        kept.append(Came(time_ns, frame))
        while not time_ns - KEPT * frame.width_ns < kept[0].time_ns <= time_ns:
            kept.popleft()
        if frame.signal == Signal.EDGES:
            self.calls.take(frame, time_ns)
            return
        latest = self._latest.setdefault(frame.signal, {})
        for service in frame.services:
            known = latest.get(service)
            if known is None or not known.window_ns >= frame.window_ns >= known.window_ns - BACK * frame.width_ns:
                latest[service] = Newest(frame.partition, frame.window_ns, time_ns)
        self._versions.update((s, v) for s, v in zip(frame.services, frame.versions, strict=False) if v)
        self._heard.take(frame.signal, frame.services, frame.attributes, frame.window_ns)
        if len(self._versions) > MOST_SERVICES:
            self._make_room(KEPT * frame.width_ns)

    def _make_room(self, kept_ns: int) -> None:
        """Of services that are in no frame any more, forget all but what is kept."""
        for signal, latest in self._latest.items():
            time = self._time_ns
            self._latest[signal] = {s: n for s, n in latest.items() if 0 <= time[n.partition] - n.time_ns < kept_ns}
        here = self._kept.keys() | {s for latest in self._latest.values() for s in latest}
        self._versions = {s: v for s, v in self._versions.items() if s in here}

    @property
    def heard(self) -> dict[str, int]:
        """Who was heard of in the last ten minutes of event time, and when."""
        newest_ns = max(self._time_ns.values(), default=0)
        return {s: ns for s, ns in self._services.items() if 0 <= newest_ns - ns < FORGET_NS}

    @property
    def services(self) -> tuple[str, ...]:
        """The services of the environment, by name; databases and what others run are none."""
        return tuple(sorted(s for s in self.heard if ":" not in s))

    def known(self, service: str) -> bool:
        """Whether anything was heard of a service."""
        return self._seen(service) or service in self._kept

    def standing(self, service: str, onset_ns: int) -> Standing:
        """How a service has answered since a moment, by all frames kept."""
        return standing(self._all(), service, onset_ns)

    def passed(self, cause: Candidate, onset_ns: int) -> str:
        """That the trouble of a suspected cause has passed, by its service, the calls to it, and those along the path on which users feel it; ""
        where that isn't so, or not known."""
        if cause.kind is CauseKind.NODE:
            return ""  # that is of several services
        return passed(self._all(), cause.service, {step.service for step in cause.path}, onset_ns, cause.peer)

    def _all(self) -> Iterator[EvidenceFrame]:
        return (c.frame for frames in self._frames.values() for c in frames)

    def _seen(self, service: str) -> bool:
        return next(iter(self._newest(service)), None) is not None

    def view(self, service: str) -> ServiceView:
        """The service as last seen, newest window first per signal."""
        newest = list(self._newest(service))
        if not newest:
            return self._kept.get(service) or self._view(service, [])
        return self._view(service, newest)

    def _newest(self, service: str) -> Iterator[EvidenceFrame]:
        for signal in sorted(self._latest):
            newest = self._latest[signal].get(service)
            if newest is None:
                continue
            frames = reversed(self._frames[signal, newest.partition])
            same = (c.frame for c in frames if c.frame.window_ns == newest.window_ns)
            found = next((f for f in same if service in f.services), None)
            if found is None:
                continue
            age_ns = self._time_ns[newest.partition] - newest.time_ns
            if 0 <= age_ns < PRESENT * found.width_ns:
                yield found

    def _view(self, service: str, frames: Iterable[EvidenceFrame]) -> ServiceView:
        columns: dict[str, dict[str, float]] = {"values": {}, "low": {}, "high": {}}
        for frame in frames:
            row = frame.services.index(service)
            for name, numbers in columns.items():
                array = getattr(frame, name)
                numbers.update(_observed(frame.features, array[row]))
        return ServiceView(self._versions.get(service, ""), singled_out(self._heard.of(service)), **columns)

    def keep(self, services: Iterable[str]) -> dict[str, ServiceView]:
        """Views worth a snapshot: of services under decision. The others are seen again within a window."""
        return {s: self.view(s) for s in sorted(set(services))}

    def rows(self, services: Iterable[str]) -> list[Came]:
        """The frames kept, with only the rows of these services and of calls to them: worth a snapshot, too."""
        wanted = frozenset(services)
        cuts = ((c.time_ns, _cut(c.frame, wanted)) for key in sorted(self._frames) for c in self._frames[key])
        return [Came(time_ns, frame) for time_ns, frame in cuts if frame is not None]

    @property
    def times(self) -> dict[int, int]:
        """How far event time has come, by partition."""
        return dict(self._time_ns)

    def restore(
        self,
        kept: Mapping[str, ServiceView],
        rows: Iterable[Came],
        times: Mapping[int, int],
        heard: Mapping[str, int],
    ) -> None:
        """Fall back on these until telemetry comes in again."""
        self._services = dict(heard)
        for came in rows:
            self._keep(came.frame, came.time_ns)
            self._time_ns[came.frame.partition] = max(came.time_ns, self._time_ns.get(came.frame.partition, 0))
        self._time_ns.update(times)
        self._kept = dict(kept)


_BY_ROW: Final = ("values", "counts", "score", "low", "high", "p_value")
_BY_NAME: Final = ("services", "peers", "versions", "attributes", "state", "notes")


def _cut(frame: EvidenceFrame, wanted: frozenset[str]) -> EvidenceFrame | None:
    """A frame with the rows of some services, or of calls to them; None without any."""
    edges = frame.signal == Signal.EDGES
    named = (means(p) for p in frame.peers) if edges else ({s} for s in frame.services)
    short = {name for s in wanted for name in known_as(s)} if edges else wanted
    rows = [i for i, names in enumerate(named) if names & short]
    if not rows:
        return None
    cut: dict[str, Any] = {name: getattr(frame, name)[rows] for name in _BY_ROW}
    cut["presence"] = frame.presence[rows] if len(frame.presence) else frame.presence
    for name in _BY_NAME:
        column = getattr(frame, name)
        cut[name] = tuple(column[i] for i in rows if i < len(column))
    return replace(frame, **cut)


def _observed(names: tuple[str, ...], row: Any) -> dict[str, float]:
    values = row.tolist()
    return {n: v for n, v in zip(names, values, strict=False) if v == v}  # noqa: PLR0124 (NaN: not observed)
