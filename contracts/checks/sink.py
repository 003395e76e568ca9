"""What every sink must do.

    await sink.run_all(make_subject)                # or
    @pytest.mark.parametrize("check", sink.CHECKS)
    async def test_my_sink(check): await check(make_subject())

A `SinkSubject` is a place that events go to, which says itself what it has got. Each check wants a fresh one.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from typing import Final

from contracts.checks.expecting import expect
from contracts.checks.running import awaited_on_fresh
from contracts.events import OURSELVES, ActionRecord, Decision, Event, Incident, Option, encode
from contracts.ports.exchange import PUBLISHED, Published, Sink
from contracts.topics import ACTIONS, DECISIONS, INCIDENTS
from contracts.units import SECOND
from contracts.verdicts import Autonomy, CauseKind, DecisionVerdict, IncidentPhase, RunState, Severity

PATIENCE_S: Final = 30.0
T0: Final = 1_700_000_000 * SECOND


@dataclass(frozen=True, slots=True)
class SinkSubject:
    """A place that events go to.

    `open`: a sink that leads there, as another process would open one. `received`: the ids (`Published.id`) of what has come
    there, in the order in which it came, by the place's own count. `away`: within it, the place can't be reached; None where
    that can't be brought about.
    """

    open: Callable[[], Sink]
    received: Callable[[], Sequence[str] | Awaitable[Sequence[str]]]
    away: Callable[[], AbstractAsyncContextManager[None]] | None = None


Check = Callable[[SinkSubject], Awaitable[None]]


def published(number: int, topic: str = INCIDENTS, text: str = "cart is slow") -> Published:
    """The event number `number` of a topic."""
    event = _event(number, topic, text)
    return Published(topic, f"{topic}-{number}", encode(event), event)


def _event(number: int, topic: str, text: str) -> Event:
    if topic == DECISIONS:
        return _decision(number, text)
    if topic == ACTIONS:
        return ActionRecord(
            id=f"r{number}",
            type="io.homeostat.run.running",
            environment="prod",
            sequence=number + 1,
            time_ns=T0 + number,
            run="run-1",
            decision="d1",
            incident="i1",
            playbook="restart-crashed",
            playbook_version="1",
            target="shop/cart",
            state=RunState.RUNNING,
            actor=OURSELVES,
            text=text,
        )
    return Incident(
        id=f"i{number}",
        environment="prod",
        phase=IncidentPhase.OPENED,
        severity=Severity.WARNING,
        onset_ns=T0,
        time_ns=T0 + number,
        revision=number,
        anomalies=(),
        services=("shop/cart",),
        candidates=(),
        blast_radius=(),
        confidence=0.5,
        settled=False,
        text=text,
    )


def _decision(number: int, text: str) -> Decision:
    wait = Option(
        playbook="",
        playbook_version="",
        target="",
        tier=1,
        score=0.0,
        success_probability=0.0,
        terms=(),
        why="nothing fits",
    )
    return Decision(
        id=f"d{number}",
        incident=f"i{number}",
        environment="prod",
        time_ns=T0 + number,
        verdict=DecisionVerdict.NOTHING,
        autonomy=Autonomy.ACT,
        cause=CauseKind.UNKNOWN,
        cause_service="shop/cart",
        cause_probability=0.5,
        onset_ns=T0,
        chosen=wait,
        options=(wait,),
        world_hash="0",
        text=text,
    )


@asynccontextmanager
async def opened(subject: SinkSubject) -> AsyncIterator[Sink]:
    """A sink, closed at the end."""
    sink = subject.open()
    try:
        yield sink
    finally:
        await sink.close()


async def _received(subject: SinkSubject) -> list[str]:
    found = subject.received()
    return list(found if isinstance(found, Sequence) else await found)


async def _deliver(sink: Sink, events: Sequence[Published]) -> None:
    try:
        async with asyncio.timeout(PATIENCE_S):
            await sink.deliver(events)
    except TimeoutError:
        raise AssertionError(f"{len(events)} events were not delivered within {PATIENCE_S:.0f} s") from None


def _first(ids: Sequence[str]) -> list[str]:
    """Without repetitions."""
    return list(dict.fromkeys(ids))


async def check_says_what_it_wants(subject: SinkSubject) -> None:
    """It has a name, and wants events that there are."""
    async with opened(subject) as sink:
        assert sink.name, "a sink needs a name"
        assert sink.topics, "a sink that wants nothing"
        assert sink.topics <= PUBLISHED.keys(), (
            f"unknown topics {sorted(sink.topics - PUBLISHED.keys())}; there are {sorted(PUBLISHED)}"
        )


async def check_takes_all_in_order(subject: SinkSubject) -> None:
    """All events are there when `deliver` returns, in order, over several calls; none of another's."""
    async with opened(subject) as sink:
        events = [published(n, topic) for n in range(20) for topic in sorted(sink.topics)]
        for start in range(0, len(events), 7):
            await _deliver(sink, events[start : start + 7])
            expect(_first(await _received(subject)), [e.id for e in events[: start + 7]], "events received")


async def check_nothing_is_nothing(subject: SinkSubject) -> None:
    """No events are no events."""
    async with opened(subject) as sink:
        await _deliver(sink, [])
        expect(await _received(subject), [], "events received")


async def check_takes_repetitions(subject: SinkSubject) -> None:
    """What has been delivered may be delivered again, by this sink or the one of another process, and nothing is lost by it."""
    async with opened(subject) as sink, opened(subject) as other:
        events = [published(n, min(sink.topics)) for n in range(5)]
        await _deliver(sink, events[:3])
        await _deliver(sink, events[1:4])
        await _deliver(other, events[2:])
        expect(_first(await _received(subject)), [e.id for e in events], "events received")


async def check_takes_from_several_at_once(subject: SinkSubject) -> None:
    """Sinks of several processes that deliver at the same moment lose nothing of each other; each one's events are in its order."""
    async with opened(subject) as first, opened(subject) as second, opened(subject) as third:
        sinks = (first, second, third)
        lanes = [[published(lane * 1000 + n, min(first.topics), "x" * 9_000) for n in range(40)] for lane in range(3)]

        async def deliver(sink: Sink, events: Sequence[Published]) -> None:
            for start in range(0, len(events), 4):
                await _deliver(sink, events[start : start + 4])

        await asyncio.gather(*map(deliver, sinks, lanes))
        got = _first(await _received(subject))
        for lane in lanes:
            ids = [event.id for event in lane]
            expect([i for i in got if i in ids], ids, "events received of one of three that delivered at once")


async def check_takes_any_text(subject: SinkSubject) -> None:
    """Whatever telemetry made people read: line ends, quotes, other alphabets, a hundred kilobytes."""
    texts = ('"quoted" \\ and {braced}', "line\nend\r\n\ttab", "Überlauf — 再起動 🚨", "\x1b[31mred\x00", "x" * 100_000)
    async with opened(subject) as sink:
        events = [published(n, min(sink.topics), text) for n, text in enumerate(texts)]
        await _deliver(sink, events)
        expect(_first(await _received(subject)), [e.id for e in events], "events received")


async def check_away_is_said(subject: SinkSubject) -> None:
    """While the place can't be reached, `deliver` raises, so that nothing counts as delivered; once it can, the same sink goes on."""
    if subject.away is None:
        return
    async with opened(subject) as sink:
        events = [published(n, min(sink.topics)) for n in range(3)]
        await _deliver(sink, events[:1])
        async with subject.away():
            try:
                await _deliver(sink, events[1:])
            except AssertionError:
                raise
            except Exception:  # noqa: BLE001, S110 - whatever it is, it was said
                pass
            else:
                raise AssertionError("events that could not be delivered were said to be")
        await _deliver(sink, events[1:])
        expect(_first(await _received(subject)), [e.id for e in events], "events received")


async def check_close(subject: SinkSubject) -> None:
    """Closing twice is closing once, also before anything was delivered; what was delivered stays."""
    await (unused := subject.open()).close()
    await unused.close()
    sink = subject.open()
    event = published(1, min(sink.topics))
    await _deliver(sink, [event])
    await sink.close()
    await sink.close()
    expect(_first(await _received(subject)), [event.id], "events received")


CHECKS: Final[tuple[Check, ...]] = (
    check_says_what_it_wants,
    check_takes_all_in_order,
    check_nothing_is_nothing,
    check_takes_repetitions,
    check_takes_from_several_at_once,
    check_takes_any_text,
    check_away_is_said,
    check_close,
)

run_all: Final = awaited_on_fresh(CHECKS)
"""Runs all checks, each on a fresh subject; AssertionError with the first thing that is wrong."""
