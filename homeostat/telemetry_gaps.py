"""What is missing in telemetry, gathered: from what a running Homeostat has told, or by judging messages anew with the same stages."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final

from connectors.otlp.recording import RecordedMessage
from contracts.errors import UnreadableEvent
from contracts.events import TelemetryGaps, decode
from contracts.gaps import GAPS_OF
from contracts.ports import Record
from contracts.settings import Settings
from contracts.topics import GAPS, TOPICS
from contracts.units import SECOND
from contracts.verdicts import GapKind
from homeostat.wiring import perceive_specs
from streams.in_memory import MemoryPipeline

_PARTITIONS: Final = 1
_STEP_NS: Final = SECOND // 2
_PAUSE_NS: Final = 180 * SECOND
"""Of longer pauses between messages only the end is lived through."""
_AFTER_NS: Final = 12 * SECOND
"""So long after its end a recording is still looked at: two looks, and what is on its way between stages."""
_TELLS_GAPS: Final = ("ingest", "edges", "features")


def newest(records: Iterable[Record]) -> list[TelemetryGaps]:
    """What was last told of each service, by environment and name. What is of another release, or a tombstone, tells nothing."""
    found: dict[tuple[str, str], TelemetryGaps] = {}
    for record in records:
        if record.topic != GAPS or not record.value:
            continue
        try:
            told = decode(TelemetryGaps, record.value)
        except UnreadableEvent:
            continue
        key = (told.environment, told.service)
        if key not in found or told.time_ns >= found[key].time_ns:
            found[key] = told
    return [found[key] for key in sorted(found)]


def judged(messages: Iterable[RecordedMessage], settings: Settings) -> list[TelemetryGaps]:
    """What messages of ingress topics show, in the order of their times, by the stages that judge it in a running Homeostat."""
    told: list[Record] = []
    specs = [s for s in perceive_specs(settings, dict.fromkeys(TOPICS, _PARTITIONS)) if s.name in _TELLS_GAPS]
    pipeline = MemoryPipeline(specs, _PARTITIONS, lambda r: told.append(r) if r.topic == GAPS else None)
    now_ns = ticked_ns = 0
    for message in messages:
        now_ns = max(now_ns, message.time_ns)
        ticked_ns = _ticks(pipeline, max(ticked_ns, now_ns - _PAUSE_NS), now_ns)
        pipeline.feed(message.topic, message.payload, now_ns)
    _ticks(pipeline, ticked_ns, now_ns + _AFTER_NS)  # what is silent from there on is the recording
    return newest(told)


def _ticks(pipeline: MemoryPipeline, from_ns: int, until_ns: int) -> int:
    """Let time pass in steps; how far it has come."""
    while from_ns + _STEP_NS <= until_ns:
        from_ns += _STEP_NS
        pipeline.tick(from_ns)
    return from_ns


def lines(found: Sequence[TelemetryGaps]) -> Iterator[str]:
    """For people: what is missing of each service, then by kind what that means and what mends it."""
    kinds: dict[GapKind, None] = {}
    for told in found:
        if not told.gaps:
            continue
        yield f"{told.service} ({told.environment})"
        width = max(len(g.kind) for g in told.gaps)
        for gap in told.gaps:
            kinds[gap.kind] = None
            yield f"  {gap.kind:{width}}  {'' if gap.certain else 'perhaps: '}{gap.text}"
    if kinds:
        yield ""
        yield "What that means, and what mends it (put in your own names):"
    for kind, meaning in GAPS_OF.items():
        if kind in kinds:
            yield f"  {kind}: {meaning.means}"
            yield from (f"    {mend.where:10}  {mend.line}" for mend in meaning.mends)
    whole = [t.service for t in found if not t.gaps]
    if whole:
        yield f"nothing is missing of {len(whole)} service{'s' if len(whole) > 1 else ''}: {', '.join(whole)}"


def as_objects(found: Sequence[TelemetryGaps]) -> list[dict[str, Any]]:
    """The same for programs: per service its gaps, each with what it means and what mends it."""
    return [
        {
            "environment": told.environment,
            "service": told.service,
            "time_ns": told.time_ns,
            "gaps": [
                {
                    "kind": gap.kind.value,
                    "certain": gap.certain,
                    "text": gap.text,
                    "means": GAPS_OF[gap.kind].means,
                    "mends": [{"where": m.where, "line": m.line} for m in GAPS_OF[gap.kind].mends],
                }
                for gap in told.gaps
            ],
        }
        for told in found
    ]


def is_whole(found: Sequence[TelemetryGaps]) -> bool:
    """Whether services are known, and nothing is missing of any with certainty: not knowing is not that."""
    return bool(found) and not any(gap.certain for told in found for gap in told.gaps)
