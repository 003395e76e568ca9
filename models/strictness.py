"""How much more than usual is asked for in an environment before an anomaly opens: one number of decades, by a budget and by what people say.

All bars of detection are in decades, so that one number moves all of them: evidence counts for so much less (`models.ledger`,
`models.low_traffic`, `models.operation_watch`). It follows of three things, and of nothing that came before:

    budget     A decade more is ten times rarer by chance: that is what calibration means. So E false openings a week become the B that
               people accept (`detect.false_incidents_per_week`) with log10(E / B) decades more. E is so much per service
               (`FALSE_PER_WEEK`), up to the number from which the bound on false discoveries makes each of them rarer anyway
               (`detect.false_discovery_rate` / `detect.open_p`: Benjamini & Hochberg 1995).
    verdicts   Each incident that people say was a false alarm asks for 1 + 1/k times rarer evidence, each that was missed for as much less:
               multiplicative weights (Freund & Schapire 1997), by the rate at which a Poisson rate that was thought to be k events in
               four weeks (`VERDICTS_COUNT_NS`) rises with another one. k is what the budget accepts in that time: who accepts many is
               not moved by one.
    bounds     `LOOSEST` and `STRICTEST`. What leaves hardly a doubt is not weighed at all, and harm by an absolute measure is beyond doubt:
               an objective that is broken, a resource that is used up, harm that is foreseen.

What nobody says anything of moves nothing. Verdicts are a set, the newest by what it is about: their order and repetitions do not
matter, and one that is taken back leaves what would be without it.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

import msgspec

from contracts.errors import UnreadableEvent
from contracts.events import Feedback, Incident, IncidentVerdict, Strictness
from contracts.settings import DetectSettings
from contracts.units import DAY
from contracts.verdicts import IncidentPhase, Outcome, VerdictKind
from models.judgement import FALSE_PER_WEEK, LEAST_ACCEPTED, LOOSEST, STRICTEST, VERDICTS_COUNT_NS

WEEK_NS: Final = 7 * DAY
UNHEARD_NS: Final = DAY
"""A service that was not heard of for this long does not count."""
MOST_INCIDENTS: Final = 10_000
MOST_VERDICTS: Final = 10_000
"""Incidents and verdicts of one environment that are kept: of more, the oldest are forgotten."""


@dataclass(frozen=True, slots=True)
class Parts:
    """What strictness is made of: decades by the budget and by verdicts, and false openings per week that are expected as tuned."""

    of_budget: float
    of_verdicts: float
    expected: float

    @property
    def total(self) -> float:
        """Their sum, within the bounds."""
        return bounded(self.of_budget + self.of_verdicts)


def bounded(decades: float) -> float:
    """Decades between `LOOSEST` and `STRICTEST`.

    Raises:
        UnreadableEvent: they are no number.
    """
    if math.isnan(decades):
        raise UnreadableEvent("strictness is no number", fix="it is in decades, for example 0.5")
    return min(max(decades, LOOSEST), STRICTEST)


def expected_false(services: int, settings: DetectSettings) -> float:
    """False openings per week that are expected of so many services as detection is tuned."""
    alike = settings.false_discovery_rate / settings.open_p
    return FALSE_PER_WEEK * max(1.0, min(float(services), alike))


def strictness(accepted: float | None, expected: float, false_alarms: int, missed: int) -> Parts:
    """What follows of `accepted` and `expected` false incidents per week (None accepts as many as are expected), and of how many people
    said were false alarms and were missed."""
    of_budget = 0.0 if accepted is None else bounded(math.log10(expected / accepted))
    budget = expected if accepted is None else accepted
    events = max(budget * VERDICTS_COUNT_NS / WEEK_NS, LEAST_ACCEPTED)
    return Parts(of_budget, (false_alarms - missed) * math.log10(1.0 + 1.0 / events), expected)


class IncidentTold(msgspec.Struct):
    """An incident of lately: when it was told first, and whether a verified repair ended it."""

    told_ns: int
    repaired: bool = False


class EnvironmentRecord(msgspec.Struct):
    """What the strictness of one environment follows of, and what came of its incidents."""

    environment: str
    services: dict[str, int] = {}
    """When each was last heard of, in event time."""
    incidents: dict[str, IncidentTold] = {}
    verdicts: dict[str, IncidentVerdict] = {}
    """The newest by what it is about, withdrawn ones too."""

    def hear(self, services: Iterable[str], window_ns: int) -> None:
        """Take note of who is there."""
        self.services.update(dict.fromkeys(services, window_ns))

    def note_incident(self, incident: Incident) -> bool:
        """Take note of an incident; whether it is a new one."""
        if incident.id in self.incidents or incident.phase is IncidentPhase.RESOLVED:
            return False
        self.incidents[incident.id] = IncidentTold(incident.time_ns)
        if len(self.incidents) > MOST_INCIDENTS:
            del self.incidents[min(self.incidents, key=lambda i: (self.incidents[i].told_ns, i))]
        return True

    def note_feedback(self, feedback: Feedback) -> bool:
        """Take note of what a repair came to; whether that ended an incident that is known."""
        seen = self.incidents.get(feedback.incident)
        if seen is None or feedback.outcome is not Outcome.BETTER or seen.repaired:
            return False
        seen.repaired = True
        return True

    def note_verdict(self, verdict: IncidentVerdict, now_ns: int) -> bool:
        """Take note of a verdict; whether it says anything new. One of long ago counts no more."""
        known = self.verdicts.get(verdict.id)
        if verdict.time_ns < now_ns - VERDICTS_COUNT_NS:
            return False
        if known is not None and _order(verdict) <= _order(known):
            return False
        self.verdicts[verdict.id] = verdict
        if len(self.verdicts) > MOST_VERDICTS:
            del self.verdicts[min(self.verdicts, key=lambda i: _order(self.verdicts[i]))]
        return True

    def forget(self, now_ns: int) -> None:
        """Forget what is past: services unheard of, incidents of before the last week, verdicts that count no more."""
        newest_ns = max(self.services.values(), default=0)
        if any(at < newest_ns - UNHEARD_NS for at in self.services.values()):
            self.services = {name: at for name, at in self.services.items() if at >= newest_ns - UNHEARD_NS}
        for incident in [i for i, seen in self.incidents.items() if seen.told_ns < now_ns - WEEK_NS]:
            del self.incidents[incident]
        for verdict in [i for i, v in self.verdicts.items() if v.time_ns < now_ns - VERDICTS_COUNT_NS]:
            del self.verdicts[verdict]

    def told(self, settings: DetectSettings, now_ns: int) -> Strictness:
        """Its strictness now, what that follows of, and what came of its incidents."""
        self.forget(now_ns)
        accepted = settings.false_incidents_by_environment.get(self.environment, settings.false_incidents_per_week)
        said = [v.verdict for v in self.verdicts.values()]
        false, missed = said.count(VerdictKind.FALSE_ALARM), said.count(VerdictKind.MISSED)
        services = sum(":" not in name for name in self.services)  # a database that is known by its callers is none
        parts = strictness(accepted, expected_false(services, settings), false, missed)
        return Strictness(
            environment=self.environment,
            time_ns=now_ns,
            strictness=parts.total,
            accepted=accepted,
            expected=parts.expected,
            services=services,
            of_budget=parts.of_budget,
            of_verdicts=parts.of_verdicts,
            false_alarms=false,
            missed=missed,
            text=_words(parts, accepted, false, missed),
            **self._outcomes(),
        )

    def _outcomes(self) -> dict[str, int]:
        """Of the incidents of the last week, how many are false, right, repaired, and neither."""
        said = {id_: v.verdict for id_, v in self.verdicts.items()}
        found = dict.fromkeys(("opened", "said_false", "said_right", "repaired", "unknown"), 0)
        for id_, seen in self.incidents.items():
            name = _SAID.get(said.get(id_, VerdictKind.WITHDRAWN)) or ("repaired" if seen.repaired else "unknown")
            found["opened"] += 1
            found[name] += 1
        return found


_SAID: Final = {VerdictKind.FALSE_ALARM: "said_false", VerdictKind.RIGHT: "said_right"}


def _order(verdict: IncidentVerdict) -> tuple[int, str, str, str]:
    """Which of two verdicts about the same holds: the newer one; of two at once always the same one."""
    return verdict.time_ns, verdict.verdict.value, verdict.by, verdict.comment


def _words(parts: Parts, accepted: float | None, false: int, missed: int) -> str:
    why = []
    if accepted is not None:
        why.append(f"{accepted:g} false a week accepted, {parts.expected:.2g} expected: {parts.of_budget:+.2f}")
    if false or missed:
        why.append(f"said in four weeks: false alarms {false}, missed {missed}: {parts.of_verdicts:+.2f}")
    if not why:
        return "as detection is tuned"
    held = parts.of_budget + parts.of_verdicts
    bound = "" if held == parts.total else f"; bounded at {parts.total:+.2f}"
    return "; ".join(why) + bound
