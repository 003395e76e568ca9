"""Verification of one action on one target, sequential: each verdict as soon as what was seen decides it.

*Better*: every check holds in consecutive windows for `for_s`, all of them after the action, longer than the fault ever paused by
itself and than chance allows; the target shows traffic again if it had any, its callers are well, those at the entry at least
better; and no forecast of "had nothing been done" says as much. *Worse*: the target or a caller is clearly worse than when the
action came and than the forecast, once the disturbance of the action itself has settled. *Same*: what was off is served as badly as
the forecast had it, and does not mend; at the time limit, if what was seen is still bad. *Inconclusive*: nothing was off; or it ended
by itself (it was well again before the action, on its way there, or untouched peers got well with it); or too little was seen; or the action
was a probe, which mends nothing by itself: what it told is said beside (`probed_instance`).
Silence is never recovery.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from contracts.events import Measure
from contracts.features import ERROR_RATE, LATENCY_P95, METRIC_REQUEST_RATE, OTHERWISE, REQUEST_RATE
from contracts.frames.feature_frame import EvidenceFrame
from contracts.units import SECOND
from contracts.verdicts import Outcome, ProbeFinding
from playbooks.language.model import ONE_INSTANCE, Check, Verify
from playbooks.verify.attribution import Share, share_of
from playbooks.verify.judging import (
    ALIVE,
    SELDOM_NATS,
    UNUSUAL_NATS,
    fails_on,
    failures,
    fewer,
    harmed,
    helped,
    lasts_ns,
    seldom_off,
    serving,
    streak,
    unusual,
)
from playbooks.verify.levels import Level, LevelKey, Point, within
from playbooks.verify.natural_course import trend
from playbooks.verify.peers import ALIKE_NS, Peers
from playbooks.verify.probed_instance import ProbedInstance
from playbooks.verify.watched_series import SLACK_NS, Intervention, WatchedSeries, series_of

SETTLE_S: Final = 3.0
"""The action's own disturbance: nothing that starts in it counts as harm, or as no help."""
NO_HELP_S: Final = 5.0
"""How long what was off must be served as badly as ever, after that, before it is said that the action does not help."""
FAILS_ON_S: Final = 8.0
"""The same where not each of its windows shows it, but all of their requests together do."""
BEHIND_S: Final = 10.0
"""Evidence that ends earlier than this before the time limit is behind: spans of an SDK's defaults and a Collector's batches come sooner."""
LEAST_CREDIT: Final = 0.3
"""Credit below which the action is not said to have helped."""
LEAST_SERVED: Final = 20
"""Requests in that time below which nothing is said early."""
_GUARDED: Final = (ERROR_RATE, LATENCY_P95)
"""Features in which harm to the target and its callers shows, whatever the playbook checks."""
_REQUEST_RATES: Final = (REQUEST_RATE, METRIC_REQUEST_RATE)


@dataclass(frozen=True, slots=True)
class Verification:
    """What verification found. `credit` (0..1) is how much of it the action can claim; `well` says that all is well again, whoever
    mended it."""

    outcome: Outcome
    measures: tuple[Measure, ...]
    text: str
    credit: float = 1.0
    well: bool = False
    probed: ProbeFinding | None = None
    """What a probe told."""


class Verifier:
    """Feed it evidence frames, from before the onset on, then ask for the verdict as often as you like."""

    def __init__(
        self,
        verify: Verify,
        target: str,
        callers: Sequence[str],
        when: Intervention,
        entries: Sequence[str] = (),
        reference: Mapping[str, Level] | None = None,
        *,
        patient: bool = False,
    ) -> None:
        """`callers` ask the target; at the `entries` those come in whom it is all for, perhaps by way of others. `patient`: whether it is worse,
        or no better, is said once time is up: others have to be acted on as well."""
        self._patient = patient
        self._verify, self._target, self._callers = verify, target, tuple(callers)
        self._entries = tuple(e for e in entries if e != target and e not in callers)
        self._when = when
        self._wanted = tuple(series_of(verify.checks, target, self._callers))
        self._series = WatchedSeries(self._observed(), when, verify.for_s, reference or {})
        self._peers = Peers(target, when.began_ns)
        probed = [c.feature for c in verify.checks if c.service == ONE_INSTANCE]
        self._probed = ProbedInstance(target, probed, when) if probed else None
        self._newest_ns, self._came_ns = 0, 0
        """How far evidence reaches, and when it last reached further."""

    @property
    def _checks(self) -> tuple[tuple[Check, LevelKey], ...]:
        """What is checked, by what the services tell."""
        return tuple((check, self._as_told(key)) for check, key in self._wanted)

    def _as_told(self, key: LevelKey) -> LevelKey:
        """A series, or the one that tells the same (of metrics, where a service sends no spans) where only that was ever observed."""
        otherwise = OTHERWISE.get(key.feature)
        if otherwise is None or self._series.told(key):
            return key
        other = key._replace(feature=otherwise)
        return other if self._series.told(other) else key

    def observe(self, frame: EvidenceFrame) -> None:
        """Take a frame in; a window that comes again replaces what it said before."""
        self._peers.observe(frame)
        if self._probed is not None:
            self._probed.observe(frame)
        self._series.observe(frame)

    def reference(self) -> dict[str, Level]:
        """The levels from before the action, to be kept where a crash can't take them."""
        return self._series.levels()

    def verdict(self, now_ns: int) -> Verification | None:
        """What came of the action; None while it is too early to say."""
        told = None if self._probed is None else self._probed.told()
        if told is not None:
            return Verification(Outcome.INCONCLUSIVE, (), told.text, probed=told.finding)
        wanted = [*self._checks, *self._ailing()]
        if wanted and self._series.proven(wanted) and self._alive(self._series.need_ns):
            found = self._mended()
            if found is not None:
                return found
        due = self._is_due(now_ns)
        worse = self._worse() if due or not self._patient else ""
        if worse:
            return self._finding(Outcome.WORSE, f"worse than before the action: {worse}")
        if due:
            return self._too_late()
        helpless = "" if self._patient else self._helpless()
        if helpless:
            return self._finding(Outcome.SAME, f"it does not help: {helpless}: {self._story()}")
        return None

    def _is_due(self, now_ns: int) -> bool:
        """Whether time is up: by the evidence, where whoever hears it is behind, and for no longer than twice the time. What comes no more at
        all is waited for no longer."""
        newest_ns = self._series.newest_ns
        if newest_ns > self._newest_ns:
            self._newest_ns, self._came_ns = newest_ns, now_ns
        within_ns, patience_ns = int(self._verify.within_s * SECOND), int(BEHIND_S * SECOND)
        due_ns = self._when.acted_ns + within_ns
        behind = self._when.acted_ns < newest_ns < due_ns - patience_ns and now_ns - self._came_ns <= patience_ns
        return now_ns >= due_ns + (within_ns if behind else 0)

    # --- verdicts

    def _mended(self) -> Verification | None:
        """All is well: by whom? None while those at the entry still suffer, and may yet be better."""
        shares = [s for check, key in (*self._checks, *self._ailing()) if (s := self._share(check, key)) is not None]
        if self._silenced():
            shares.append(Share(1.0, ""))
        if not shares:
            text = f"nothing that is checked was off when it acted: {self._story()}"
            return self._finding(Outcome.INCONCLUSIVE, text, 0.0, well=True)
        own = sum(s.credit for s in shares) / len(shares)
        together, later = self._peers_well()
        credit = 0.0 if together else own * (0.5 if later else 1.0)
        notes = [f"but {s.text}" for s in shares if s.text]
        if together or later:
            notes.append(f"but untouched peers recovered too: {', '.join([*together, *later])}")
        if credit < LEAST_CREDIT:
            text = "; ".join([f"it ended by itself: {self._story()}", *notes])
            return self._finding(Outcome.INCONCLUSIVE, text, 0.0, well=True)
        suffering = self._suffering()
        if suffering and self._series.newest_ns < self._when.acted_ns + int((SETTLE_S + NO_HELP_S) * SECOND):
            return None
        if suffering:
            text = f"{self._target} is well, but users still suffer: {', '.join(suffering)}: {self._story()}"
            return self._finding(Outcome.INCONCLUSIVE, text)
        return self._finding(Outcome.BETTER, "; ".join([self._story(), *notes]), credit, well=True)

    def _share(self, check: Check, key: LevelKey) -> Share | None:
        """How much of a series' recovery the action can claim; None for one that was never off."""
        run, relapsed = self._series.good(check, key), self._series.relapsed(check, key)
        return share_of(check, key, self._series.level(key), run, relapsed=relapsed)

    def _peers_well(self) -> tuple[list[str], list[str]]:
        """Untouched peers that got well with the target or before it, and those that did later."""
        starts = [run[0].start_ns for check, key in self._checks if (run := self._series.good(check, key))]
        since_ns = min(starts, default=self._when.acted_ns) + ALIKE_NS
        recovered = self._peers.recovered()
        together = [s for s, well_ns in recovered.items() if well_ns <= since_ns]
        return together, [s for s in recovered if s not in together]

    def _too_late(self) -> Verification:
        limit = f"within {self._verify.within_s:g} s"
        if self._series.newest_ns <= self._when.acted_ns:
            return self._finding(Outcome.INCONCLUSIVE, f"no telemetry at all since the action {limit}")
        if self._probed is not None:
            return self._finding(
                Outcome.INCONCLUSIVE,
                f"the probe told nothing {limit}: too few requests, or it is neither well nor sick",
            )
        failing = [key for check, key in (*self._checks, *self._ailing()) if self._failing(check, key)]
        if failing:
            still = ", ".join(sorted({key.text for key in failing}))
            return self._finding(Outcome.SAME, f"{still} not back to expected {limit}: {self._story()}")
        silent = sorted({key.text for _, key in self._checks if not self._series.heard(key)})
        if silent:
            return self._finding(Outcome.INCONCLUSIVE, f"nothing more seen {limit} of {', '.join(silent)}")
        if not self._alive(self._series.need_ns):
            return self._finding(Outcome.INCONCLUSIVE, f"{self._target} shows no traffic {limit}")
        return self._finding(Outcome.INCONCLUSIVE, f"not long enough as expected {limit}: {self._story()}")

    def _failing(self, check: Check, key: LevelKey) -> bool:
        after, level = self._series.after(key), self._series.level(key)
        if not self._series.heard(key):
            return False
        return not helped(check, key, level)(after[-1]) or self._goes_on_seldom(key, level, after)

    @staticmethod
    def _goes_on_seldom(key: LevelKey, level: Level, after: Sequence[Point]) -> bool:
        """Whether what fails a little fails as before, by all requests since."""
        told = failures(after)
        return seldom_off(key, level) and unusual(level, *told) >= SELDOM_NATS and fewer(level, *told) < UNUSUAL_NATS

    def _finding(self, outcome: Outcome, text: str, credit: float = 1.0, *, well: bool = False) -> Verification:
        return Verification(outcome, tuple(self._measure(c, k) for c, k in self._checks), text, credit, well)

    def _story(self) -> str:
        parts = []
        for check, key in self._checks:
            measure = self._measure(check, key)
            parts.append(f"{key.text} {_number(measure.during)} → {_number(measure.after)} ({measure.text})")
        return "; ".join(parts) or "nothing to check"

    # --- judgements

    def _ailing(self) -> list[tuple[Check, LevelKey]]:
        """What else the target and its callers suffered from when it acted, whatever the playbook checks: it must be over, too."""
        return self._off((self._target, *self._callers))

    def _off(self, services: Iterable[str]) -> list[tuple[Check, LevelKey]]:
        """What some services suffered from when it acted and the playbook does not check."""
        named = {key for _, key in self._checks}
        guarded = (LevelKey(feature, service) for service in services for feature in _GUARDED)
        keys = dict.fromkeys(map(self._as_told, guarded))
        return [(Check(k.feature, k.service), k) for k in keys if k not in named and self._was_off(k)]

    def _was_off(self, key: LevelKey) -> bool:
        level = self._series.level(key)
        if not (math.isfinite(level.acted) and math.isfinite(level.high)):
            return False
        return not _within(level.acted, level, key) or seldom_off(key, level)

    def _suffering(self) -> list[str]:
        """What users at the entry suffer from as much as if nothing had been done."""
        return [key.text for check, key in self._off(self._entries) if not self._lighter(check, key)]

    def _lighter(self, check: Check, key: LevelKey) -> bool:
        """Whether a series is well, or lately clearly better than its forecast."""
        if self._series.good(check, key):
            return True
        level, last = self._series.level(key), self._series.after(key)[-3:]
        if not last:
            return False
        low, high = level.interval(last[-1].start_ns)
        values = sorted(p.value for p in last)
        middle = values[len(values) // 2]
        return middle < low if key.worse > 0 else middle > high

    def _silenced(self) -> bool:
        levels = [self._series.level(LevelKey(feature, self._target)) for feature in _REQUEST_RATES]
        return any(level.baseline > 0 and level.acted < ALIVE * level.baseline for level in levels)

    def _alive(self, need_ns: int) -> bool:
        for feature in _REQUEST_RATES:
            key = LevelKey(feature, self._target)
            level = self._series.level(key)
            if level.baseline > 0:
                run = streak(self._series.after(key), serving(level), self._series.gap_ns(level))
                return lasts_ns(run) >= need_ns and self._series.fresh(run, level)
        return True

    def _worse(self) -> str:
        settled = self._when.acted_ns + int(SETTLE_S * SECOND)
        for key in dict.fromkeys(map(self._as_told, self._watched())):
            if key.feature in _REQUEST_RATES or key.service in self._entries:
                continue
            level = self._series.level(key)
            run = streak(self._series.after(key, settled), harmed(key, level), self._series.gap_ns(level))
            if len(run) >= 3 and lasts_ns(run) >= self._series.need_ns and self._series.fresh(run, level):
                start = level.acted if math.isfinite(level.acted) else level.baseline
                return f"{key.text} {_number(start)} → {_number(run[-1].value)}"
        return ""

    def _helpless(self) -> str:
        """A series that was off and goes on as the forecast had it, once the action has settled, while the target is served."""
        if not self._alive(int(NO_HELP_S * SECOND) - SLACK_NS):
            return ""
        wanted = [*self._checks, *self._ailing()]
        own = [(c, k) for c, k in wanted if k.service == self._target and self._was_off(k)]
        for check, key in own or [(c, k) for c, k in wanted if self._was_off(k)]:
            if self._unmoved(check, key):
                return f"{key.text} goes on as if nothing had been done"
        return ""

    def _unmoved(self, check: Check, key: LevelKey) -> bool:
        level, worse = self._series.level(key), key.worse or 1
        points = self._series.after(key, self._when.acted_ns + int(SETTLE_S * SECOND))
        run = [p for p in points if p.end_ns > points[-1].end_ns - int(NO_HELP_S * SECOND)]
        if lasts_ns(run) < int(NO_HELP_S * SECOND) - SLACK_NS or not self._series.fresh(run, level):
            return False
        if sum(p.count for p in run) < LEAST_SERVED:
            return False
        if self._goes_on_seldom(key, level, points):
            return True
        if level.bad < len(run) // 2:
            return False
        slope, _ = trend(points)
        if slope * worse < 0:  # it mends, if slowly
            return False
        longer = [p for p in points if p.end_ns > points[-1].end_ns - int(FAILS_ON_S * SECOND)]
        if lasts_ns(longer) >= int(FAILS_ON_S * SECOND) - SLACK_NS and fails_on(key, level, longer):
            return True
        judge = helped(check, key, level)
        return all(judge(p) is False and self._as_forecast(p, level, worse) for p in run)

    @staticmethod
    def _as_forecast(point: Point, level: Level, worse: int) -> bool:
        """Whether a window is no better than had nothing been done. A trend upwards is not believed to go on for ever: no less bad than
        it was is as bad."""
        low, high = level.interval(level.acted_ns)
        return point.value >= low if worse > 0 else point.value <= high

    def _measure(self, check: Check, key: LevelKey) -> Measure:
        level, after = self._series.level(key), self._series.after(key)
        run = self._series.good(check, key)
        last = [p.value for p in (run or after[-3:]) if math.isfinite(p.value)]
        low, high = level.low, level.high
        if math.isnan(low) and math.isnan(high) and after:
            low, high = after[-1].low, after[-1].high
        return Measure(
            service=key.service,
            feature=key.feature,
            baseline=_known(level.baseline),
            during=_known(level.worst),
            after=sorted(last)[len(last) // 2] if last else None,
            low=_known(low),
            high=_known(high),
            better=lasts_ns(run) >= self._series.need_ns,
            text=_aim(check, low, high, key.worse),
        )

    def _watched(self) -> list[LevelKey]:
        around = (self._target, *self._callers, *self._entries)
        keys = [key for _, key in self._wanted]
        keys += [LevelKey(feature, self._target) for feature in _REQUEST_RATES]
        keys += [LevelKey(feature, service) for service in around for feature in _GUARDED]
        return list(dict.fromkeys(keys))

    def _observed(self) -> list[LevelKey]:
        """What is watched, and what tells the same."""
        keys = self._watched()
        return list(
            dict.fromkeys([*keys, *(k._replace(feature=OTHERWISE[k.feature]) for k in keys if k.feature in OTHERWISE)])
        )


def _within(value: float, level: Level, key: LevelKey) -> bool:
    return within(value, level.low, level.high, key.worse)


def _known(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _number(value: float | None) -> str:
    return "?" if value is None or math.isnan(value) else f"{value:.3g}"


def _aim(check: Check, low: float, high: float, worse: int) -> str:
    if check.better != "expected":
        return f"wanted {check.better} by {check.by:.0%}"
    if worse > 0:
        return f"expected up to {_number(high)}"
    return f"expected from {_number(low)}" + ("" if worse < 0 else f" to {_number(high)}")
