"""Several opinions to one p-value per series, and a bound on false discoveries over all series of a window.

The bank leads. Another detector counts as far as it has earned it, per family of features: of what it alone suspected, the share
that came true. Opinions about one service rest on the same telemetry, so they never add up: the most certain one speaks, at the
price of its weight.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from contracts.features import FEATURES, FeatureKind
from contracts.frames.decoded import B1, F64
from contracts.frames.feature_frame import FeatureFrame
from contracts.ports.detecting import ClaimOutcome, Scores
from models.judgement import (
    CLAIM_NS,
    EARNED,
    LEAST_P,
    MOST_WEIGHT,
    SHARE_NEEDED,
    SPEAKS,
    SUSPICIOUS_P,
    WILSON_Z,
)

LEADER: Final = "bank"
FAMILIES: Final = ("latency", "errors", "traffic", "resource")
FAMILY_OF: Final[Mapping[FeatureKind, int]] = {
    FeatureKind.LATENCY: 0,
    FeatureKind.RATIO: 1,
    FeatureKind.COUNT: 2,
    FeatureKind.UTILIZATION: 3,
    FeatureKind.LEVEL: 3,
}
RESOURCE: Final = 3


@dataclass(slots=True)
class Credit:
    """What came of the suspicions that a member had alone, of one family."""

    came_true: float = 0.0
    came_to_nothing: float = 0.0

    @property
    def weight(self) -> float:
        """What the member's p-values are divided by before they count; 0: they don't.

        The lower bound of the share that came true (Wilson 1927) has to exceed `SHARE_NEEDED`: who is often wrong adds nothing,
        and nobody is trusted on a handful of cases.
        """
        n = self.came_true + self.came_to_nothing
        if n <= 0:
            return 0.0
        share, z2 = self.came_true / n, WILSON_Z**2
        half = WILSON_Z * math.sqrt(share * (1.0 - share) / n + z2 / (4.0 * n * n))
        lower = (share + z2 / (2.0 * n) - half) / (1.0 + z2 / n)
        return MOST_WEIGHT * max(0.0, (lower - SHARE_NEEDED) / (1.0 - SHARE_NEEDED))


@dataclass(slots=True)
class Suspicion:
    """A suspicion that a member had alone, since `window_ns`."""

    member: str
    family: int
    window_ns: int
    rival: bool = False
    """Of the model that runs beside the member's own, without a vote."""


@dataclass(slots=True)
class Fusion:
    """The weights of the members beside the leader, and the claims by which they earn them."""

    records: dict[str, list[Credit]] = field(default_factory=dict)
    """By member, per family."""
    claims: dict[tuple[str, str], list[Suspicion]] = field(default_factory=dict)
    """By environment and service."""
    outcomes: list[ClaimOutcome] = field(default_factory=list)
    """What came of claims since `take_outcomes`."""

    def record(self, member: str, family: int) -> Credit:
        """What is known of a member in a family: at first what is shipped."""
        known = self.records.get(member)
        if known is None:
            shipped = EARNED.get(member, {})
            known = self.records[member] = [Credit(*shipped.get(name, (0.0, 0.0))) for name in FAMILIES]
        return known[family]

    def weights(self, member: str) -> F64:
        """Weights of a member by family. What a service does to itself is for the leader alone to judge."""
        found = np.array([self.record(member, family).weight for family in range(len(FAMILIES))])
        found[RESOURCE] = 0.0
        return found

    def combine(self, frame: FeatureFrame, lead: Scores, others: Mapping[str, Scores], open_p: float) -> F64:
        """One p-value per row: the leader's, or another's divided by its weight where that is smaller (a weighted Bonferroni
        bound: Genovese, Roeder & Wasserman 2006). Members that suspect alone are taken by their word (`settle`)."""
        p: F64 = np.where(lead.warm, lead.p_value, 1.0)
        for name, scores in others.items():
            if scores.rival is not None and frame.revision == 0:
                self._claim_of_rival(frame, name, scores, p > open_p)
            rows = np.flatnonzero(scores.warm & (scores.p_value < np.minimum(p, SUSPICIOUS_P)) & ~frame.missing)
            if not len(rows):
                continue
            families = _families(frame, scores, rows)
            weight = self.weights(name)[families]
            bound = np.where(weight > 0, scores.p_value[rows] / np.maximum(weight, 1e-9), 1.0)
            if frame.revision == 0:
                self._claim(frame, name, (rows, families), scores.p_value[rows], p[rows] > open_p)
            p[rows] = np.minimum(p[rows], bound)
        return np.clip(p, LEAST_P, 1.0)

    def speaker(self, frame: FeatureFrame, lead: Scores, others: Mapping[str, Scores], i: int) -> str:
        """The member beside the leader whose word counts for a row, by its name; "" where the leader's does."""
        row, best, found = np.array([i], np.intp), float(lead.p_value[i]) if lead.warm[i] else 1.0, ""
        for name, scores in others.items():
            if not scores.warm[i] or scores.p_value[i] >= min(best, SUSPICIOUS_P):
                continue
            weight = float(self.weights(name)[_families(frame, scores, row)][0])
            if weight > 0 and scores.p_value[i] / weight < best:
                best, found = float(scores.p_value[i]) / weight, name
        return found

    def _claim(
        self,
        frame: FeatureFrame,
        name: str,
        who: tuple[NDArray[np.intp], NDArray[np.intp]],
        p: F64,
        alone: B1,
        *,
        rival: bool = False,
    ) -> None:
        """Take note of what a member suspects alone."""
        rows, families = who
        for k in np.flatnonzero(alone & (p <= 1e-4)).tolist():
            key = frame.environment, frame.services[int(rows[k])]
            claims = self.claims.setdefault(key, [])
            if not any((c.member, c.family, c.rival) == (name, families[k], rival) for c in claims):
                claims.append(Suspicion(name, int(families[k]), frame.window_ns, rival))

    def _claim_of_rival(self, frame: FeatureFrame, name: str, scores: Scores, alone: B1) -> None:
        """Take note of what the model beside a member's own suspects alone: it earns nothing but its member's place."""
        if scores.rival is None:
            return
        rows = np.flatnonzero(scores.warm & (scores.rival < SUSPICIOUS_P) & ~frame.missing)
        if len(rows):
            who = rows, _families(frame, scores, rows)
            self._claim(frame, name, who, scores.rival[rows], alone[rows], rival=True)

    def opened(self, environment: str, service: str, window_ns: int) -> None:
        """An episode of a service opened: who suspected it before was right."""
        for claim in self.claims.pop((environment, service), ()):
            if claim.window_ns < window_ns:
                self._resolve((environment, service), claim, came_true=True)

    def refuted(self, environment: str, service: str) -> None:
        """What was suspected of a service is normal: a person says so, or it harms nobody."""
        for claim in self.claims.pop((environment, service), ()):
            self._resolve((environment, service), claim, came_true=False)

    def settle(self, environment: str, window_ns: int) -> None:
        """Suspicions of which nothing came for `CLAIM_NS` came to nothing."""
        for key in [k for k in self.claims if k[0] == environment]:
            late = [c for c in self.claims[key] if window_ns - c.window_ns > CLAIM_NS]
            for claim in late:
                self._resolve(key, claim, came_true=False)
                self.claims[key].remove(claim)
            if not self.claims[key]:
                del self.claims[key]

    def _resolve(self, key: tuple[str, str], claim: Suspicion, *, came_true: bool) -> None:
        self.outcomes.append(ClaimOutcome(claim.member, claim.rival, *key, claim.window_ns, came_true))
        if claim.rival:
            return
        record = self.record(claim.member, claim.family)
        if came_true:
            record.came_true += 1.0
        else:
            record.came_to_nothing += 1.0

    def take_outcomes(self) -> list[ClaimOutcome]:
        """What came of claims since this was asked last."""
        found, self.outcomes = self.outcomes, []
        return found

    def forget(self, environment: str) -> None:
        """An environment is gone."""
        self.claims = {key: c for key, c in self.claims.items() if key[0] != environment}

    def plain(self) -> dict[str, Any]:
        """The state as plain values."""
        return {
            "records": {m: [[r.came_true, r.came_to_nothing] for r in rs] for m, rs in self.records.items()},
            "claims": [
                [e, s, c.member, c.family, c.window_ns, c.rival] for (e, s), cs in self.claims.items() for c in cs
            ],
        }

    @classmethod
    def of(cls, plain: Mapping[str, Any]) -> Fusion:
        """Inverse of `plain`."""
        it = cls({m: [Credit(*r) for r in rs] for m, rs in plain.get("records", {}).items()})
        for environment, service, *claim in plain.get("claims", []):
            it.claims.setdefault((environment, service), []).append(Suspicion(*claim))
        return it


def _families(frame: FeatureFrame, scores: Scores, rows: NDArray[np.intp]) -> NDArray[np.intp]:
    """The family of the feature in which a member sees most of what hurts, by row; a resource where it sees none."""
    of = np.array([FAMILY_OF[FEATURES[name].kind] for name in frame.features], np.intp)
    worse = np.array([FEATURES[name].worse for name in frame.features], np.float64)
    decades = scores.decades[rows]
    hurts = np.where(worse == 0, np.abs(decades), decades * worse)
    loudest = hurts.argmax(axis=1)
    found: NDArray[np.intp] = np.where(hurts[np.arange(len(rows)), loudest] >= SPEAKS, of[loudest], RESOURCE)
    return found


def leading(names: Sequence[str]) -> int:
    """Which of the detectors leads: the bank, or else the first."""
    return list(names).index(LEADER) if LEADER in names else 0


def discoveries(p_values: F64, rate: float) -> B1:
    """Which p-values may be called discoveries with a false-discovery rate of at most `rate`: the step-up procedure of
    Benjamini & Hochberg (1995), valid under positive dependence (Benjamini & Yekutieli 2001)."""
    n = len(p_values)
    if n == 0 or p_values.min() > rate:
        return np.zeros(n, np.bool_)
    ordered = np.sort(p_values)
    passing = np.flatnonzero(ordered <= rate * np.arange(1, n + 1) / n)
    if len(passing) == 0:
        return np.zeros(n, np.bool_)
    found: B1 = p_values <= ordered[passing[-1]]
    return found
