"""What a figure is compared with: static thresholds as Prometheus rules have them, nobody at all, and restarting whatever alarms.

The rules are those of widely used sets (the mixin for services with RED metrics, `kubernetes-mixin`): more than 5 % errors, a 95th percentile
above a second or three times what it was in the first two minutes, no requests at all, cores or memory above 90 %; each for a minute
(cores five), which is how such rules are written. They see the same rows at the same times.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import numpy as np

from contracts import features as f
from contracts.frames import FeatureFrame, unpack
from contracts.topics import FEATURES
from homeostat.judge.trial import AlarmSeen, Trial, trial_of
from homeostat.judge.witness import swear
from twin.arrival import Arrival
from twin.episode import SimulatedEpisode

FOR_S: Final = 60.0
LONG_S: Final = 300.0
USUAL_S: Final = 110.0
COOLDOWN_S: Final = 300.0


class StaticRules:
    """Rules with a `for` each, per service; alarms in a trial."""

    def __init__(self) -> None:
        self.alarms: list[AlarmSeen] = []
        self._since: dict[tuple[str, str], float] = {}
        self._open: dict[tuple[str, str], AlarmSeen] = {}
        self._usual: dict[str, list[float]] = {}
        self._asked: set[str] = set()

    def see(self, frame: FeatureFrame, now_s: float) -> list[AlarmSeen]:
        """The alarms that begin with these rows."""
        found = []
        if frame.signal == f.Signal.SPANS:
            rows = dict(zip(f.BY_SIGNAL[f.Signal.SPANS], frame.values.T, strict=True))
            for i, service in enumerate(frame.services):
                found += self._requests(service, {k: float(v[i]) for k, v in rows.items()}, now_s)
        elif frame.signal == f.Signal.METRICS:
            rows = dict(zip(f.BY_SIGNAL[f.Signal.METRICS], frame.values.T, strict=True))
            for i, service in enumerate(frame.services):
                for name, limit in ((f.CPU, LONG_S), (f.MEMORY, FOR_S)):
                    found += self._rule(service, name, bool(rows[name][i] > 0.9), now_s, limit)
        return found

    def _requests(self, service: str, row: dict[str, float], now_s: float) -> list[AlarmSeen]:
        late, usual = row[f.LATENCY_P95], self._usual.setdefault(service, [])
        if row[f.REQUEST_RATE] > 0:
            self._asked.add(service)
        if now_s < USUAL_S and np.isfinite(late):
            usual.append(late)
        limit = max(1.0, 3.0 * float(np.median(usual))) if usual else np.inf
        return [
            *self._rule(service, f.ERROR_RATE, row[f.ERROR_RATE] > 0.05, now_s, FOR_S),
            *self._rule(service, f.LATENCY_P95, late > limit, now_s, FOR_S),
            *self._rule(service, f.REQUEST_RATE, service in self._asked and row[f.REQUEST_RATE] == 0, now_s, FOR_S),
        ]

    def _rule(self, service: str, feature: str, broken: bool, now_s: float, for_s: float) -> list[AlarmSeen]:
        key = service, feature
        if not broken:
            self._since.pop(key, None)
            alarm = self._open.pop(key, None)
            if alarm is not None:
                alarm.closed_s = now_s
            return []
        since = self._since.setdefault(key, now_s)
        if now_s - since < for_s or key in self._open:
            return []
        alarm = self._open[key] = AlarmSeen(f"{service}/{feature}/{now_s:g}", service, "", now_s, since, feature)
        self.alarms.append(alarm)
        return [alarm]


def try_rules(episode: SimulatedEpisode, *, restart: bool = False) -> Trial:
    """An episode watched by static rules alone; with `restart` whoever alarms is restarted, at most every five minutes."""
    rules, trial = StaticRules(), trial_of(episode)
    acted: dict[str, float] = {}
    while not episode.over:
        for alarm in _begun(rules, episode.second(), episode.system.now_s):
            now = episode.system.now_s
            service = episode.system.index.get(alarm.service, -1)
            if restart and service >= 0 and now - acted.get(alarm.service, -COOLDOWN_S) >= COOLDOWN_S:
                acted[alarm.service] = now
                episode.system.restart(service, rolling=True)
                episode.acted("restart", alarm.service, alarm.id)
    trial.alarms, trial.by = rules.alarms, "restart what alarms" if restart else "static rules"
    return swear(trial, episode.truth)


def try_nothing(episode: SimulatedEpisode) -> Trial:
    """An episode in which nobody looks."""
    while not episode.over:
        episode.second()
    trial = trial_of(episode)
    trial.by = "nothing"
    return swear(trial, episode.truth)


def _begun(rules: StaticRules, messages: Iterable[Arrival], now_s: float) -> Iterable[AlarmSeen]:
    for message in messages:
        if message.topic == FEATURES:
            yield from rules.see(unpack(FeatureFrame, message.value), now_s)
