"""What became of the models of members, as events of their own, and what the members are told so that their better models judge.

The kind of these events is `model`: no incident follows from them and nothing is done because of them. `service` is whom the model is for,
`*` for all of an environment. One challenge is one `id`: opened when the drift is noticed, adopted where the challenger took over,
closed where it did not. A rollback is an event of its own.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

import msgspec

from contracts.events import Anomaly
from contracts.events.telemetry import anomaly_id
from contracts.ports.detecting import ClaimOutcome, Detector, ModelNews, SeriesKey, Succeeds
from contracts.verdicts import AnomalyKind, AnomalyPhase, ModelStep, ServiceState

PHASES: Final = {
    ModelStep.DRIFTED: AnomalyPhase.OPENED,
    ModelStep.PROMOTED: AnomalyPhase.ADOPTED,
    ModelStep.ROLLED_BACK: AnomalyPhase.ADOPTED,
    ModelStep.DROPPED: AnomalyPhase.CLOSED,
}
_TEXTS: Final = {
    ModelStep.DRIFTED: "calm windows of {signal} are no longer as {other} knows them: {new} is tried beside it, without a vote",
    ModelStep.PROMOTED: "{new} judges {signal} in place of {other}, because it proved better: {counts}",
    ModelStep.ROLLED_BACK: "{new} judges {signal} again: {other}, which took its place, proved worse: {counts}",
    ModelStep.DROPPED: "{new} is dropped, {other} goes on judging {signal}: {counts}",
}


class Successions:
    """The members among `detectors` whose models have versions."""

    def __init__(self, detectors: Sequence[Detector]) -> None:
        self._members = {d.name: d for d in detectors if isinstance(d, Succeeds)}
        self._detectors = {d.name: d for d in detectors}

    @property
    def any(self) -> bool:
        """Whether there are such members."""
        return bool(self._members)

    def versioned(self, told: Anomaly, name: str, series: SeriesKey) -> Anomaly:
        """An anomaly with the member that counted for it, by name and version."""
        member = self._members.get(name)
        version = member.version_of(series) if member is not None else 0
        return msgspec.structs.replace(told, members=(f"{name}@{version}",)) if version else told

    def changed(self, environment: str, service: str, time_ns: int) -> None:
        """A release, scaling or configuration of a service was told."""
        for member in self._members.values():
            member.take_change(environment, service, time_ns)

    def conclude(self, outcomes: Iterable[ClaimOutcome], told: Iterable[Anomaly]) -> list[Anomaly]:
        """Tell the members what came of claims and which anomalies opened; what became of their models."""
        for outcome in outcomes:
            member = self._members.get(outcome.member)
            if member is not None:
                member.take_outcome(outcome)
        for anomaly in told:
            if anomaly.phase is AnomalyPhase.OPENED:
                for member in self._members.values():
                    member.take_opened(anomaly.environment, anomaly.service, anomaly.time_ns)
        return [
            _event(name, self._detectors[name].version, news)
            for name, member in self._members.items()
            for news in member.news()
        ]


def _event(name: str, code: str, news: ModelNews) -> Anomaly:
    series, new, other = news.series, f"{name}@{news.version}", f"{name}@{news.other}"
    parts = (series.environment, series.signal, series.service, series.peer, new)
    again = (ModelStep.ROLLED_BACK, news.window_ns) if news.step is ModelStep.ROLLED_BACK else ()
    return Anomaly(
        id=anomaly_id("md", *parts, *again),
        environment=series.environment,
        service=series.service,
        peer=series.peer,
        phase=PHASES[news.step],
        state=ServiceState.WARMING,
        onset_ns=news.window_ns,
        time_ns=news.window_ns,
        p_value=1.0,
        decades=0.0,
        contributions=(),
        detector=name,
        model_version=code,
        text=_TEXTS[news.step].format(signal=series.signal, new=new, other=other, counts=news.text),
        kind=AnomalyKind.MODEL,
        members=(new, other),
        step=news.step,
    )
