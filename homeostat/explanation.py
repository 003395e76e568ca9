"""One anomaly explained: which values spoke and how much of its score each accounts for, what is foreseen, and how it came to that.

All of it is on the log: the anomaly's events, and beside them the evidence (of general series: the points) of the minutes around.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import quote

import aiohttp
import msgspec
import numpy as np

from connectors.kafka.client import KafkaBroker
from contracts.errors import BrokerUnavailable, HomeostatError, UnknownName, UnreadableEvent
from contracts.events import Anomaly, Contribution, HarmAhead, decode
from contracts.frames import EvidenceFrame, unpack
from contracts.frames.series_frame import SeriesFrame
from contracts.topics import ANOMALIES, EVIDENCE, POINTS
from contracts.units import MILLISECOND, MINUTE
from contracts.verdicts import AnomalyKind, AnomalyPhase
from homeostat.times import utc

PATH: Final = "/anomalies/{id}"
LATEST: Final = "latest"
BEFORE_NS, AFTER_NS = 5 * MINUTE, 2 * MINUTE
"""How much is shown of before its onset, and of after it was told."""
_FRAMES: Final = 8_000
"""Messages of each partition that are looked through at most."""
_PATIENCE_S: Final = 60.0
_LIKE_IT: Final = 8


class PhaseTold(msgspec.Struct, frozen=True, kw_only=True):
    """One event of an anomaly."""

    time: str
    phase: str
    decades: float
    text: str


class ExplainedPart(msgspec.Struct, frozen=True, kw_only=True):
    """What one value counted: `part` decades of the score."""

    contribution: Contribution
    part: float


class FeatureCourse(msgspec.Struct, frozen=True, kw_only=True):
    """A feature over time: `values`, and the range that was expected of each (null: unknown)."""

    signal: str
    feature: str
    times_ns: list[int]
    values: list[float | None]
    low: list[float | None]
    high: list[float | None]


class Explanation(msgspec.Struct, frozen=True, kw_only=True):
    """An anomaly as it was told at its loudest; its parts add up to `score`, in decades (-log10 p)."""

    id: str
    environment: str
    service: str
    peer: str
    operation: str
    kind: str
    detector: str
    model: str
    members: list[str]
    onset_ns: int
    told_ns: int
    score: float
    text: str
    pooled_s: float
    parts: list[ExplainedPart]
    forecasts: list[HarmAhead]
    phases: list[PhaseTold]
    courses: list[FeatureCourse]


@dataclass(slots=True)
class _Course:
    times: list[int]
    rows: list[tuple[float, float, float]]


async def of_log(client: KafkaBroker, wanted: str) -> Explanation:
    """The anomaly of this id (or the only one whose id begins so, or the `latest`), as the log tells of it.

    Raises:
        UnknownName: none, or several.
        BrokerUnavailable: the log can't be read.
    """
    told: dict[str, list[Anomaly]] = {}
    async for record in client.read([ANOMALIES]):
        try:
            anomaly = decode(Anomaly, record.value)
        except UnreadableEvent:  # of another release: whoever reads it for good keeps it
            continue
        told.setdefault(anomaly.id, []).append(anomaly)
    events = told[_meant(told, wanted)]
    loudest = max((a for a in events if a.phase in _SPOKEN), key=lambda a: a.decades, default=events[-1])
    return explained(loudest, events, await _courses(client, loudest))


_SPOKEN: Final = (AnomalyPhase.OPENED, AnomalyPhase.UPDATED)


def explained(loudest: Anomaly, events: Sequence[Anomaly], courses: Sequence[FeatureCourse]) -> Explanation:
    """What is told of an anomaly, of the event that says most and of all of its `events`."""
    return Explanation(
        id=loudest.id,
        environment=loudest.environment,
        service=loudest.service,
        peer=loudest.peer,
        operation=loudest.operation,
        kind=loudest.kind.value,
        detector=loudest.detector,
        model=loudest.model_version,
        members=list(loudest.members),
        onset_ns=loudest.onset_ns,
        told_ns=loudest.time_ns,
        score=loudest.decades,
        text=loudest.text,
        pooled_s=loudest.pooled_s,
        parts=[ExplainedPart(contribution=c, part=c.share * loudest.decades) for c in loudest.contributions],
        forecasts=list(loudest.forecasts),
        phases=[PhaseTold(time=utc(a.time_ns), phase=a.phase.value, decades=a.decades, text=a.text) for a in events],
        courses=list(courses),
    )


def _meant(told: Mapping[str, Sequence[Anomaly]], wanted: str) -> str:
    if wanted in told:
        return wanted
    latest = [i for i in told if told[i][0].kind is not AnomalyKind.MODEL]
    if wanted == LATEST and latest:
        return max(latest, key=lambda i: told[i][0].time_ns)
    like = [i for i in told if i.startswith(wanted)]
    if len(like) == 1:
        return like[0]
    newest = sorted(told, key=lambda i: -told[i][-1].time_ns)
    raise UnknownName("anomaly", wanted, (like or newest)[:_LIKE_IT])


async def _courses(client: KafkaBroker, anomaly: Anomaly) -> list[FeatureCourse]:
    """Of each value that spoke, what is at hand of the time around."""
    first_ns, end_ns = anomaly.onset_ns - BEFORE_NS, anomaly.time_ns + AFTER_NS
    wanted = dict.fromkeys((c.signal, c.feature) for c in anomaly.contributions)
    found = {key: _Course([], []) for key in wanted}
    topic = POINTS if anomaly.kind is AnomalyKind.SERIES else EVIDENCE
    if anomaly.kind is AnomalyKind.SERIES:  # its points may be hours apart
        first_ns = 0
    async for record in client.since(topic, first_ns // MILLISECOND, _FRAMES):
        try:
            if topic == POINTS:
                _take_points(found, unpack(SeriesFrame, record.value), anomaly)
            else:
                _take_evidence(found, unpack(EvidenceFrame, record.value), anomaly, (first_ns, end_ns))
        except UnreadableEvent:  # of another release
            continue
    return [_course(*key, course) for key, course in found.items() if course.times]


def _take_evidence(
    found: Mapping[tuple[str, str], _Course], frame: EvidenceFrame, anomaly: Anomaly, span_ns: tuple[int, int]
) -> None:
    if frame.environment != anomaly.environment or not span_ns[0] <= frame.window_ns <= span_ns[1]:
        return
    of_edges = bool(frame.peers)
    for (signal, feature), course in found.items():
        if signal != frame.signal or feature not in frame.features:
            continue
        j = frame.features.index(feature)
        for i, service in enumerate(frame.services):
            if service == anomaly.service and (not of_edges or frame.peers[i] == anomaly.peer):
                course.times.append(frame.window_ns)
                value, low, high = (float(x[i, j]) for x in (frame.values, frame.low, frame.high))
                seen = np.isfinite(value)  # what is expected of a window without requests is anything
                course.rows.append((value, low if seen else np.nan, high if seen else np.nan))


def _take_points(found: Mapping[tuple[str, str], _Course], frame: SeriesFrame, anomaly: Anomaly) -> None:
    if frame.environment != anomaly.environment:
        return
    named = {feature: course for (_, feature), course in found.items()}
    for k in range(len(frame.values)):
        course = named.get(frame.names[int(frame.series[k])])
        if course is not None:
            course.times.append(int(frame.times_ns[k]))
            course.rows.append((float(frame.values[k]), float("nan"), float("nan")))


def _course(signal: str, feature: str, course: _Course) -> FeatureCourse:
    order = np.argsort(np.array(course.times), kind="stable").tolist()
    values, low, high = ([_known(course.rows[i][k]) for i in order] for k in range(3))
    return FeatureCourse(
        signal=signal, feature=feature, times_ns=[course.times[i] for i in order], values=values, low=low, high=high
    )


def _known(value: float) -> float | None:
    return value if np.isfinite(value) else None


async def of_process(api: str, wanted: str) -> Explanation:
    """As a running process tells.

    Raises:
        UnknownName: it knows no such anomaly.
        BrokerUnavailable: it doesn't answer.
    """
    try:
        async with (
            aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=_PATIENCE_S)) as session,
            session.get(api + PATH.format(id=quote(wanted, safe=""))) as reply,
        ):
            body = await reply.read()
            status = reply.status
    except (aiohttp.ClientError, TimeoutError, OSError) as e:
        text = f"nothing answers at {api}: {str(e) or type(e).__name__}"
        raise BrokerUnavailable(text, fix="see `homeostat status`") from e
    if status == 200:
        return msgspec.json.decode(body, type=Explanation)
    try:
        refusal = msgspec.json.decode(body, type=dict[str, Any])
    except msgspec.DecodeError:  # a release that doesn't explain
        refusal = {}
    if status == 404 and "name" in refusal:
        raise UnknownName("anomaly", wanted, refusal["known"])
    raise BrokerUnavailable(f"{api} does not tell: {refusal.get('message', status)}", fix="see `homeostat status`")


async def answer(client: KafkaBroker | None, wanted: str) -> tuple[int, bytes]:
    """Status and JSON body of what a process answers."""
    if client is None:
        return 503, msgspec.json.encode({"error": "starting", "message": "the log is not open yet: ask again soon"})
    try:
        return 200, msgspec.json.encode(await of_log(client, wanted))
    except UnknownName as e:
        body = {"error": e.reason, "message": str(e), "name": wanted, "known": e.valid}
        return 404, msgspec.json.encode(body)
    except HomeostatError as e:
        return 503, msgspec.json.encode({"error": e.reason, "message": str(e)})
