"""What is known beforehand of each feature: its transform, its noise floor, and how much evidence it may give alone."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from contracts.errors import UnknownName
from contracts.features import (
    COUNT_OF,
    CPU,
    CPU_CORES,
    FEATURES,
    IN_FLIGHT,
    LOG_ERROR_RATE,
    MEMORY,
    MEMORY_BYTES,
    RESTARTS,
    TRAFFIC,
    Feature,
    FeatureKind,
    Signal,
)
from contracts.frames.decoded import B1, F64
from models.judgement import KNOWN_RECORDS, KNOWN_SLOW
from models.service.slowness import OWN, PERCENTILES, SLOW_SHARE

WINDOWS = (1, 3, 10, 60)
"""Memory of the accumulators, in observations: a spike, a burst, an episode, a slow change."""

Caps = tuple[float, float, float, float]


@dataclass(frozen=True, slots=True)
class Profile:
    """How a kind of feature behaves. `sigma` is the spread assumed before any is seen and `floor` the smallest mean
    departure worth a standard deviation, both in transformed units. `caps` bound the decades per window of `WINDOWS`:
    what a service does to its callers may page within a second, what it does to itself has to last. `heavy` tails are
    compressed before they are judged."""

    sigma: float
    floor: float
    caps: Caps
    heavy: bool = False


HARD: Caps = (7.0, 8.0, 9.0, 9.0)
SLOW: Caps = (5.5, 8.0, 9.0, 9.0)
"""A single slow second (a pause, a flush) is not an incident however slow it was."""
RESOURCE: Caps = (2.2, 2.2, 3.0, 7.0)
STORAGE: Caps = (2.2, 2.6, 4.8, 7.0)
LEVELS: Caps = (1.8, 1.8, 2.6, 3.0)
CHATTER: Caps = (1.0, 1.2, 1.5, 1.8)
"""How much is logged follows how much is asked: a witness, not a reason."""

BY_KIND: dict[FeatureKind, Profile] = {
    FeatureKind.LATENCY: Profile(0.35, 0.05, SLOW, heavy=True),
    FeatureKind.RATIO: Profile(1.0, 0.0, HARD),
    FeatureKind.COUNT: Profile(1.0, 0.05, HARD),
    FeatureKind.UTILIZATION: Profile(0.03, 0.01, RESOURCE),
    FeatureKind.LEVEL: Profile(0.15, 0.08, LEVELS),
}
BY_NAME: dict[str, Profile] = {
    "latency_p50": Profile(0.35, 0.04, SLOW),
    "latency_p99": Profile(0.5, 0.08, (2.2, 4.0, 6.0, 8.0), heavy=True),
    "metric_latency_p50": Profile(0.35, 0.04, SLOW),
    "metric_latency_p99": Profile(0.5, 0.08, (2.2, 4.0, 6.0, 8.0), heavy=True),
    CPU: Profile(0.03, 0.012, RESOURCE),
    MEMORY: Profile(0.02, 0.006, STORAGE),
    CPU_CORES: Profile(0.05, 0.02, RESOURCE),
    MEMORY_BYTES: Profile(0.05, 0.02, STORAGE),
    "log_rate": Profile(1.0, 0.5, CHATTER),
    "new_log_templates": Profile(1.0, 0.5, LEVELS),
    "restarts": Profile(0.3, 0.1, (4.0, 5.0, 6.0, 6.0)),
    IN_FLIGHT: Profile(0.5, 0.3, (2.2, 3.5, 6.0, 8.0)),
}
GROUPS = ("latency", "errors", "traffic", "resource")
_GROUP = {
    FeatureKind.LATENCY: 0,
    FeatureKind.RATIO: 1,
    FeatureKind.COUNT: 2,
    FeatureKind.UTILIZATION: 3,
    FeatureKind.LEVEL: 3,
}


_KNOWN = {SLOW_SHARE: KNOWN_SLOW, LOG_ERROR_RATE: KNOWN_RECORDS}


def profile(feature: Feature) -> Profile:
    """The profile of a feature: its own, or its kind's."""
    return BY_NAME.get(feature.name, BY_KIND[feature.kind])


@dataclass(frozen=True, slots=True)
class Columns:
    """The columns of one signal's bank, as arrays over features (F) and windows (W)."""

    names: tuple[str, ...]
    kinds: tuple[FeatureKind, ...]
    latency: B1
    ratio: B1
    count: B1
    level: B1
    heavy: B1
    worse: F64
    """+1 higher hurts, -1 lower hurts, 0 either."""
    sigma: F64
    floor: F64
    caps: F64
    """(F, W)."""
    group: tuple[int, ...]
    """Index into `GROUPS`: features of one group say much the same."""
    traffic: int
    """Column of the request count of the signal, or -1."""
    patient: B1
    """Processor time and levels: busy is not broken, so alone they have to last."""
    slow: int
    """Column of the share of slow requests, or -1, and those of the percentiles that it is found from."""
    percentiles: tuple[int, ...]
    known: F64
    """Requests (records) that the usual share of a ratio must rest on before it is compared with."""
    symptom: B1
    """What those who call a service feel; the others are evidence beside it."""

    def __len__(self) -> int:
        return len(self.names)


def columns(names: tuple[str, ...], signal: Signal) -> Columns:
    """The columns for features `names` of `signal`.

    Raises:
        UnknownName: a feature that is not in the vocabulary.
    """
    features = [_feature(name) for name in names]
    profiles = [profile(f) for f in features]
    kinds = tuple(f.kind for f in features)

    def of(kind: FeatureKind) -> B1:
        return np.array([k is kind for k in kinds], np.bool_)

    traffic = COUNT_OF[signal]
    return Columns(
        names=names,
        kinds=kinds,
        latency=of(FeatureKind.LATENCY),
        ratio=of(FeatureKind.RATIO),
        count=of(FeatureKind.COUNT),
        level=of(FeatureKind.LEVEL),
        heavy=np.array([p.heavy for p in profiles], np.bool_),
        worse=np.array([f.worse for f in features], np.float64),
        sigma=np.array([p.sigma for p in profiles], np.float64),
        floor=np.array([p.floor for p in profiles], np.float64),
        caps=np.array([p.caps for p in profiles], np.float64).reshape(len(names), len(WINDOWS)),
        group=tuple(map(group_of, features)),
        slow=names.index(SLOW_SHARE) if SLOW_SHARE in names else -1,
        percentiles=tuple(names.index(n) for n in PERCENTILES.get(signal, ()) if n in names),
        traffic=names.index(traffic) if traffic in names else -1,
        known=np.array([_KNOWN.get(f.name, 0.0) for f in features], np.float64),
        symptom=np.array([is_symptom(f.name) for f in features], np.bool_),
        patient=(of(FeatureKind.UTILIZATION) | of(FeatureKind.LEVEL))
        & ~np.isin(names, (MEMORY, MEMORY_BYTES, IN_FLIGHT)),
    )


def group_of(feature: Feature) -> int:
    """Which of `GROUPS` a feature belongs to."""
    return 0 if feature.name == SLOW_SHARE else _GROUP[feature.kind]


def is_symptom(name: str) -> bool:
    """Whether a feature is what those who call a service feel: failures, latency, work no longer done, restarts; requests that are in flight
    and do not end; and failures that it writes of, for services that are known by nothing else."""
    kind = _feature(name).kind
    return kind in {FeatureKind.LATENCY, FeatureKind.RATIO} or name in TRAFFIC or name in (RESTARTS, IN_FLIGHT)


def _feature(name: str) -> Feature:
    if name in OWN:
        return OWN[name]
    if name not in FEATURES:
        raise UnknownName("feature", name, FEATURES)
    return FEATURES[name]
