"""Gaps in evidence: what is missing in the telemetry of each service for good judgement. The one place where that is judged.

From the facts that were counted where telemetry comes in (`streams.windows.facts`), and from how often metrics are read. Counts fade, so
that what was mended is no gap a few minutes later. Nothing is called missing before it has had time to come. What each kind means, and
what mends it, is in `contracts.gaps`; the doctor and diagnosis only repeat what is said here.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import msgspec
import numpy as np

from contracts.events import EvidenceGap, TelemetryGaps
from contracts.features import METRIC_REQUEST_RATE, Signal
from contracts.frames import FeatureFrame, PartialFrame
from contracts.gaps import GAPS_OF
from contracts.units import MILLISECOND, MINUTE, SECOND
from contracts.verdicts import GapKind
from streams.windows import facts as f

LOOK_NS: Final = 5 * SECOND
HALF_LIFE_NS: Final = 2 * MINUTE
AGAIN_NS: Final = 10 * MINUTE
"""How often gaps are told again while nothing changes."""
GONE_NS: Final = 15 * MINUTE
"""A service that was not heard of for this long has none any more."""
SOON_NS: Final = 20 * SECOND
"""Spans of a service that were to come have come by then."""
LATER_NS: Final = 150 * SECOND
"""Its metrics and logs, too: readers of metrics have periods of up to a minute."""
ENOUGH: Final = 20
"""So many spans (messages, requests) show what is usual."""
LATE_S: Final = 2.0
OFTEN_S: Final = 15.0
"""Metrics that come further apart than this show little of an outage."""
MOSTLY: Final = 0.5
SOME: Final = 0.05
BROKEN: Final = 0.3
SAMPLED: Final = 0.7
"""Share of the requests counted by metrics that come as spans, below which a part of them is left out."""
_NONE: Final = 0.5
_MOST_NAMES: Final = 5
_SERIES: Final = 4
_PERIODS: Final = 3


class KnownTelemetry(msgspec.Struct):
    """What is known of the telemetry of one service. `counts` fade; times are of the clock."""

    first_ns: int
    last_ns: int
    counts: list[float]
    unread: dict[str, int] = {}
    """Metrics that can't be read, with when that was last said."""
    series: dict[int, int] = {}
    """Event times of the last points of a few series."""
    periods_ns: list[int] = []
    """Between points of one series, the latest."""
    by_spans: float = 0.0
    by_metrics: float = 0.0
    """Requests that spans and that metrics count, of windows for which both tell; they fade, too."""
    told: tuple[EvidenceGap, ...] | None = None
    told_ns: int = 0

    def n(self, what: int) -> float:
        """A count."""
        return self.counts[what]

    def share(self, part: int, of: int) -> float:
        """A share of two counts; 0 of nothing."""
        return self.counts[part] / self.counts[of] if self.counts[of] > _NONE else 0.0


class GapJudge:
    """The gaps of the services of one environment and partition; at most `most` services, those longest unheard of leave."""

    def __init__(self, environment: str, most: int) -> None:
        self.environment, self._most = environment, most
        self._known: dict[str, KnownTelemetry] = {}
        self._called: dict[str, int] = {}
        """Names that clients use, which may be services', with when that was last said."""
        self._looked_ns = self._faded_ns = 0

    # --- in ---------------------------------------------------------------------------------------------------------

    def hear(self, frame: PartialFrame, now_ns: int) -> None:
        """A source has something: facts, and points, whose times say how often metrics are read."""
        for service, row in zip(frame.facts_of, frame.facts, strict=True):
            if len(row) == f.WIDTH:
                known = self._of(service, now_ns)
                known.counts = [a + b for a, b in zip(known.counts, row.tolist(), strict=True)]
        for text in frame.told:
            what, _, rest = text.partition("\t")
            if what == f.CALLED:
                self._called[rest] = now_ns
            elif what == f.UNREAD_METRIC:
                service, _, metric = rest.partition("\t")
                known_of = self._known.get(service)
                if known_of is not None and (metric in known_of.unread or len(known_of.unread) < 8 * _MOST_NAMES):
                    known_of.unread[metric] = now_ns
        if frame.signal == Signal.METRICS and len(frame.point_series):
            self._periods(frame)

    def see(self, frame: FeatureFrame) -> None:
        """Rows went out: how many requests spans count, and how many metrics do."""
        if frame.revision > 0:
            return
        if frame.signal == Signal.SPANS:
            for service, requests in zip(frame.services, frame.counts.tolist(), strict=True):
                known = self._known.get(service)
                if known is not None:
                    known.by_spans += requests
        elif frame.signal == Signal.METRICS and METRIC_REQUEST_RATE in frame.features:
            rates = frame.values[:, frame.features.index(METRIC_REQUEST_RATE)]
            for i in np.flatnonzero(np.isfinite(rates)).tolist():
                known = self._known.get(frame.services[i])
                if known is not None:
                    known.by_metrics += float(rates[i]) * self._stands_for(known, frame.width_ns)

    @staticmethod
    def _stands_for(known: KnownTelemetry, width_ns: int) -> float:
        """Seconds for which a reading of a rate stands: until the next."""
        return max(float(np.median(known.periods_ns or [width_ns])), width_ns) / SECOND

    def _of(self, service: str, now_ns: int) -> KnownTelemetry:
        known = self._known.get(service)
        if known is None:
            if len(self._known) >= self._most:
                self._known.pop(min(self._known, key=lambda s: (self._known[s].last_ns, s)))
            known = self._known[service] = KnownTelemetry(now_ns, now_ns, [0.0] * f.WIDTH)
        known.last_ns = max(known.last_ns, now_ns)
        return known

    def _periods(self, frame: PartialFrame) -> None:
        """Take note of the times of a few series of each service."""
        order = np.argsort(frame.point_time_ns, kind="stable")
        columns = (frame.point_service, frame.point_series, frame.point_time_ns)
        for number, series, time_ns in zip(*(c[order].tolist() for c in columns), strict=True):
            known = self._known.get(frame.services[number])
            if known is None:
                continue
            before = known.series.get(series)
            if before is None:
                if len(known.series) < _SERIES:
                    known.series[series] = time_ns
            elif time_ns > before:
                known.series[series] = time_ns
                known.periods_ns = [*known.periods_ns, time_ns - before][-_PERIODS * _SERIES :]

    # --- state ------------------------------------------------------------------------------------------------------

    def state(self) -> dict[str, Any]:
        """For a snapshot."""
        known = {service: msgspec.to_builtins(k) for service, k in self._known.items()}
        return {"known": known, "called": self._called, "looked": self._looked_ns, "faded": self._faded_ns}

    def load(self, state: dict[str, Any]) -> None:
        """Take the state of a snapshot."""
        known = msgspec.convert(state["known"], dict[str, KnownTelemetry])
        self._known = {service: k for service, k in known.items() if len(k.counts) == f.WIDTH}
        self._called = dict(state["called"])
        self._looked_ns, self._faded_ns = state["looked"], state["faded"]

    # --- out --------------------------------------------------------------------------------------------------------

    def look(self, now_ns: int, *, now: bool = False) -> list[TelemetryGaps]:
        """What has changed of the gaps of services, and what is to be told again. `now`: whenever it was last looked."""
        if not now and 0 <= now_ns - self._looked_ns < LOOK_NS:
            return []
        self._looked_ns = now_ns
        self._fade(now_ns)
        told = []
        for service, known in list(self._known.items()):
            gone = now_ns - known.last_ns > GONE_NS
            gaps = () if gone else tuple(self._gaps(service, known, now_ns))
            same = known.told is not None and [(g.kind, g.certain) for g in known.told] == [
                (g.kind, g.certain) for g in gaps
            ]
            complete = (
                known.told is None and now_ns - known.first_ns >= LATER_NS
            )  # all has had time to come, and nothing is missing
            if not (same and now_ns - known.told_ns < AGAIN_NS) and (gaps or known.told or complete):
                known.told, known.told_ns = gaps, now_ns
                told.append(TelemetryGaps(environment=self.environment, service=service, time_ns=now_ns, gaps=gaps))
            if gone:
                del self._known[service]
        return told

    def _fade(self, now_ns: int) -> None:
        if now_ns - self._faded_ns < HALF_LIFE_NS and now_ns >= self._faded_ns:
            return
        for known in self._known.values():
            known.unread = {m: at for m, at in known.unread.items() if now_ns - at <= 2 * f.AGAIN_NS}
            if now_ns - known.first_ns <= LATER_NS:
                continue  # what a period of metrics is judged by must be whole
            known.counts = [n / 2 for n in known.counts]
            known.by_spans, known.by_metrics = known.by_spans / 2, known.by_metrics / 2
        self._called = {name: at for name, at in self._called.items() if now_ns - at <= 2 * f.AGAIN_NS}
        self._faded_ns = now_ns

    def _gaps(self, service: str, known: KnownTelemetry, now_ns: int) -> Iterator[EvidenceGap]:
        """All of a service, in the order of `contracts.gaps`."""
        found = {kind: said for kind, said in self._judged(service, known, now_ns - known.first_ns) if said is not None}
        for kind in GAPS_OF:
            if kind in found:
                text, certain = found[kind]
                yield EvidenceGap(service=service, kind=kind, text=text, certain=certain)

    def _judged(
        self, service: str, k: KnownTelemetry, age_ns: int
    ) -> Iterator[tuple[GapKind, tuple[str, bool] | None]]:
        spans = k.n(f.SERVED) + k.n(f.ASKED) + k.n(f.PRODUCED) + k.n(f.OTHERS)
        if age_ns >= SOON_NS:
            yield GapKind.NO_SPANS, self._no_spans(service, k, spans, age_ns)
            if spans >= ENOUGH:
                yield GapKind.NO_SERVER_SPANS, self._no_server_spans(service, k)
                yield GapKind.NO_CLIENT_SPANS, _no_client_spans(k)
                yield GapKind.UNNAMED_PEERS, _unnamed_peers(k)
                yield GapKind.BROKEN_TRACES, _broken_traces(k)
            if k.n(f.SHIFTED) / max(k.n(f.HEARD), 1.0) > BROKEN:
                yield GapKind.SKEWED_CLOCK, _skewed(k)
            else:
                yield GapKind.LATE_SPANS, _late("spans", k.counts[f.SPAN_DELAYS])
                yield GapKind.LATE_LOGS, _late("log records", k.counts[f.LOG_DELAYS])
            yield from _identity(k)
            if k.unread:
                yield GapKind.UNMAPPED_METRICS, _unmapped(k)
        yield GapKind.SLOW_METRICS, _slow(k)
        if age_ns >= LATER_NS and spans > _NONE:
            if k.n(f.LOGS) < _NONE:
                yield GapKind.NO_LOGS, ("it sends spans, and no log records", True)
            if k.n(f.RESOURCE_POINTS) < _NONE:
                yield GapKind.NO_RESOURCE_METRICS, ("no metric tells of its CPU or memory", True)
            yield GapKind.SAMPLED, _sampled(k)

    def _is_called(self, service: str) -> bool:
        return service in self._called or service.rpartition("/")[2] in self._called

    def _no_spans(self, service: str, k: KnownTelemetry, spans: float, age_ns: int) -> tuple[str, bool] | None:
        if spans > _NONE or not (k.n(f.POINTS) > _NONE or k.n(f.LOGS) > _NONE) or age_ns < SOON_NS:
            return None
        what = "metrics" if k.n(f.LOGS) < _NONE else "logs" if k.n(f.POINTS) < _NONE else "metrics and logs"
        if self._is_called(service):
            return f"it is called by others, and sends {what}, but no spans", True
        return f"it sends {what}, but no spans (databases and brokers need not)", False

    def _no_server_spans(self, service: str, k: KnownTelemetry) -> tuple[str, bool] | None:
        if k.n(f.SERVED) > _NONE:
            return None
        if k.n(f.HIDDEN_SERVES) > _NONE:
            return "others' calls lead to its spans, none of which is a server's or a consumer's", True
        if self._is_called(service):
            return "clients name it as whom they call, and none of its spans is a server's or a consumer's", True
        if k.n(f.ROOTS) < _NONE:
            return "all its spans have parents, and none is a server's or a consumer's", True
        return None


def _no_client_spans(k: KnownTelemetry) -> tuple[str, bool] | None:
    if k.n(f.SERVED) < ENOUGH or k.n(f.ASKED) + k.n(f.PRODUCED) > _NONE:
        return None
    if k.n(f.HIDDEN_CALLS) > _NONE:
        return "others serve requests of its, and none of its spans is a client's", True
    return "none of its spans is a client's; if it calls nobody, nothing is missing", False


def _unnamed_peers(k: KnownTelemetry) -> tuple[str, bool] | None:
    calls = k.n(f.ASKED) + k.n(f.PRODUCED)
    share = k.n(f.UNNAMED) / calls if calls >= ENOUGH else 0.0
    return (f"{share:.0%} of its calls name neither whom they ask nor an address", True) if share > SOME else None


def _broken_traces(k: KnownTelemetry) -> tuple[str, bool] | None:
    all_of = k.n(f.JOINED) + k.n(f.ORPHANS)
    share = k.n(f.ORPHANS) / all_of if all_of >= ENOUGH else 0.0
    return (
        (f"of {share:.0%} of the requests it serves for others the caller's span never came", True)
        if share > BROKEN
        else None
    )


def _skewed(k: KnownTelemetry) -> tuple[str, bool]:
    off_s = -k.n(f.SHIFT_MS) / k.n(f.SHIFTED) * MILLISECOND / SECOND
    return f"its clock is {abs(off_s):.1f} s {'ahead' if off_s > 0 else 'behind'}", True


def _late(what: str, buckets: list[float]) -> tuple[str, bool] | None:
    """By the bucket of the ninth tenth: senders wait from nothing to their delay, so that is near it."""
    passed: Any = np.cumsum(buckets)
    if passed[-1] < ENOUGH:
        return None
    tenth, ninth = (int(np.searchsorted(passed, q * passed[-1])) for q in (0.1, 0.9))
    if ninth == 0 or f.DELAYS_S[ninth - 1] < LATE_S:
        return None
    upto = f"up to {f.DELAYS_S[ninth]:g} s" if ninth < len(f.DELAYS_S) else f"more than {f.DELAYS_S[-1]:g} s"
    held = tenth > 0 and f.DELAYS_S[tenth - 1] >= LATE_S
    how = ", all of them: something on the way holds them" if held else ": they wait for a batch"
    return f"its {what} come {upto} after their end{how}", True


def _identity(k: KnownTelemetry) -> Iterator[tuple[GapKind, tuple[str, bool] | None]]:
    said = (
        (GapKind.UNNAMED_SERVICE, f.NAMELESS, "nothing in its resource names it"),
        (GapKind.NO_NAMESPACE, f.NAMESPACELESS, "neither service.namespace nor k8s.namespace.name is told"),
        (GapKind.NO_VERSION, f.VERSIONLESS, "neither service.version nor an image's tag is told"),
        (GapKind.NO_INSTANCE, f.INSTANCELESS, "neither service.instance.id, nor a pod, a container or a host is told"),
        (GapKind.NO_WORKLOAD, f.WORKLOADLESS, "its pods are told, and no Deployment, StatefulSet or DaemonSet"),
    )
    for kind, column, text in said:
        yield kind, (text, True) if k.share(column, f.HEARD) > MOSTLY else None


def _unmapped(k: KnownTelemetry) -> tuple[str, bool]:
    names = sorted(k.unread)
    more = f" and {len(names) - _MOST_NAMES} more" if len(names) > _MOST_NAMES else ""
    return f"nobody has told what these mean: {', '.join(names[:_MOST_NAMES])}{more}", False


def _slow(k: KnownTelemetry) -> tuple[str, bool] | None:
    if len(k.periods_ns) < 2:
        return None
    period_s = float(np.median(k.periods_ns)) / SECOND
    return (f"its metrics come every {period_s:.0f} s", True) if period_s > OFTEN_S else None


def _sampled(k: KnownTelemetry) -> tuple[str, bool] | None:
    if k.by_metrics < ENOUGH or len(k.periods_ns) < 2 or k.n(f.SERVED) < _NONE:
        return None
    share = k.by_spans / k.by_metrics
    return (f"of the requests that its metrics count {share:.0%} come as spans", True) if share < SAMPLED else None
