"""P(success) of a playbook for a kind of cause on a service: decayed Beta posteriors in two levels.

The lower level (playbook × cause × service) forgets quickly: what a system can bear changes. The upper one (playbook ×
cause, over all services) forgets slowly. The upper level's mean is the prior of the lower one, with the strength of the
configured prior: a service without history is judged by what happened elsewhere, and one with history by its own
(Beta-binomial shrinkage: Gelman et al., Bayesian Data Analysis, 3rd ed., section 5.3). Counts decay by half-lives, so
that P(success) drifts back to the prior (exponential forgetting).

Updates commute: outcomes may arrive in any order and give the same posterior.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import msgspec

from contracts.errors import UnreadableEvent
from contracts.events import Feedback
from contracts.settings import DecideSettings
from contracts.units import SECOND
from contracts.verdicts import CauseKind, Outcome

REMEMBERED = 500
"""Latest runs whose outcome is not counted again if it is delivered twice."""

EVIDENCE: Mapping[Outcome, tuple[float, float]] = {
    Outcome.BETTER: (1.0, 0.0),
    Outcome.SAME: (0.0, 1.0),
    Outcome.WORSE: (0.0, 2.0),  # harm counts twice: it is what must not be repeated
    Outcome.INCONCLUSIVE: (0.0, 0.0),
}


@dataclass(frozen=True, slots=True)
class Counts:
    """Decayed successes and failures as of `time_ns`."""

    successes: float = 0.0
    failures: float = 0.0
    time_ns: int = 0

    def at(self, now_ns: int, half_life_s: float) -> Counts:
        """The same decayed to a later time (an earlier one changes nothing)."""
        factor = _factor(now_ns - self.time_ns, half_life_s)
        return Counts(self.successes * factor, self.failures * factor, max(now_ns, self.time_ns))

    def plus(self, successes: float, failures: float, time_ns: int, half_life_s: float) -> Counts:
        """With an outcome of `time_ns` added; a late one comes decayed."""
        now = self.at(time_ns, half_life_s)
        factor = _factor(now.time_ns - time_ns, half_life_s)
        return Counts(now.successes + successes * factor, now.failures + failures * factor, now.time_ns)


def _factor(elapsed_ns: int, half_life_s: float) -> float:
    return float(0.5 ** (max(elapsed_ns, 0) / SECOND / half_life_s))


@dataclass(frozen=True, slots=True)
class Learning:
    """Prior and half-lives, from settings."""

    prior_successes: float = 2.0
    prior_failures: float = 1.0
    capability_half_life_s: float = 1800.0
    trust_half_life_s: float = 259_200.0


def learning_of(settings: DecideSettings) -> Learning:
    """The part of the settings that learning uses."""
    return Learning(
        settings.prior_successes,
        settings.prior_failures,
        settings.capability_half_life_s,
        settings.trust_half_life_s,
    )


@dataclass(frozen=True, slots=True)
class Posteriors:
    """All that was learnt. `services` is keyed `playbook|cause|environment|service`, `playbooks` by `playbook|cause`."""

    learning: Learning = field(default_factory=Learning)
    services: Mapping[str, Counts] = field(default_factory=dict)
    playbooks: Mapping[str, Counts] = field(default_factory=dict)
    seen: tuple[str, ...] = ()

    def update(self, feedback: Feedback, now_ns: int) -> Posteriors:
        """With one outcome learnt, at the time it was found (never later than `now_ns`). The same run teaches once per
        judge: verification once, and each person once."""
        judged = f"{feedback.run}|{feedback.by}"
        if judged in self.seen:
            return self
        good, bad = EVIDENCE[feedback.outcome]
        good *= min(max(feedback.credit, 0.0), 1.0)
        at, learning = min(feedback.time_ns, now_ns), self.learning
        service = service_key(feedback.playbook, feedback.cause, feedback.environment, feedback.target)
        playbook = playbook_key(feedback.playbook, feedback.cause)
        return replace(
            self,
            services=_added(self.services, service, (good, bad), at, learning.capability_half_life_s),
            playbooks=_added(self.playbooks, playbook, (good, bad), at, learning.trust_half_life_s),
            seen=(*self.seen, judged)[-REMEMBERED:],
        )

    def probability(self, playbook: str, cause: CauseKind, environment: str, service: str, now_ns: int) -> float:
        """P(success), given that the cause is the right one."""
        learning = self.learning
        strength = learning.prior_successes + learning.prior_failures
        over_all = self.playbooks.get(playbook_key(playbook, cause), Counts()).at(now_ns, learning.trust_half_life_s)
        mean = (learning.prior_successes + over_all.successes) / (strength + over_all.successes + over_all.failures)
        here = self.services.get(service_key(playbook, cause, environment, service), Counts())
        here = here.at(now_ns, learning.capability_half_life_s)
        return (strength * mean + here.successes) / (strength + here.successes + here.failures)

    def experience(self, playbook: str, cause: CauseKind, environment: str, service: str, now_ns: int) -> Counts:
        """What still counts of the outcomes on this service."""
        found = self.services.get(service_key(playbook, cause, environment, service), Counts())
        return found.at(now_ns, self.learning.capability_half_life_s)

    def to_json(self) -> dict[str, Any]:
        """JSON types only, for a journal fact or a snapshot."""
        plain: dict[str, Any] = msgspec.to_builtins(self)
        return plain


def from_json(plain: Mapping[str, Any], learning: Learning) -> Posteriors:
    """What `to_json` gave, under the prior and half-lives of today.

    Raises:
        UnreadableEvent: it is something else.
    """
    try:
        found = msgspec.convert(plain, Posteriors, strict=False)
    except msgspec.ValidationError as e:
        raise UnreadableEvent(f"not what was learnt: {e}") from e
    return replace(found, learning=learning)


def service_key(playbook: str, cause: CauseKind, environment: str, service: str) -> str:
    """Key of the lower level."""
    return f"{playbook}|{cause}|{environment}|{service}"


def playbook_key(playbook: str, cause: CauseKind) -> str:
    """Key of the upper level."""
    return f"{playbook}|{cause}"


def _added(
    counts: Mapping[str, Counts], key: str, evidence: tuple[float, float], at: int, half_life_s: float
) -> dict[str, Counts]:
    added = counts.get(key, Counts()).plus(*evidence, at, half_life_s)
    return {**counts, key: added}
