"""`homeostat watch`: a live terminal view of what is seen, blamed, decided and done."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from functools import partial

import click
import msgspec
from rich.console import Console
from rich.text import Text

from contracts.errors import UnreadableEvent
from contracts.events import ActionRecord, Anomaly, Change, DeadLetter, Decision, Feedback, Incident, Strictness, decode
from contracts.ports import Clock, Record, SystemClock
from contracts.supervision import Supervised
from contracts.topics import ACTIONS, ANOMALIES, CHANGES, DEADLETTER, DECISIONS, FEEDBACK, INCIDENTS, STRICTNESS
from contracts.units import MILLISECOND, SECOND
from contracts.verdicts import AnomalyPhase, DecisionVerdict, IncidentPhase, Outcome, ServiceState
from homeostat import terminal
from homeostat.cli.common import broker_option, connected, local_option, run
from homeostat.cli.status import in_a_line
from homeostat.terminal import echo
from homeostat.times import said

Line = tuple[int, str, str, str]
"""Event time (ns), colour, kind, text."""


class Teller:
    """Makes lines of events. An incident's updates are told only when somebody else is blamed, strictness only when it changed."""

    def __init__(self) -> None:
        self._blamed: dict[str, tuple[str, str]] = {}
        self._strictness: dict[str, float] = {}

    def line(self, record: Record) -> Line | None:
        """One event as a line, or None for what is not worth one.

        Raises:
            UnreadableEvent: it is not what its topic promises.
        """
        if record.topic == INCIDENTS:
            return self._incident(decode(Incident, record.value))
        if record.topic == STRICTNESS:
            return self._stricter(decode(Strictness, record.value))
        teller = _TELLERS.get(record.topic)
        return teller(record.value) if teller else None

    def _stricter(self, s: Strictness) -> Line | None:
        before = self._strictness.get(s.environment, 0.0)
        self._strictness[s.environment] = s.strictness
        if s.strictness == before:
            return None
        return s.time_ns, "cyan", "strictness", f"{s.environment}: {s.strictness:+.2f} decades ({s.text})"

    def _incident(self, i: Incident) -> Line | None:
        lead = i.candidates[0] if i.candidates else None
        blamed = (lead.service, lead.kind.value) if lead else ("", "")
        before = self._blamed.get(i.id)
        self._blamed[i.id] = blamed
        if i.phase is IncidentPhase.RESOLVED:
            return i.time_ns, "green", "incident resolved", f"{i.id}: {i.text.split('. ')[0]}"
        if before is None:
            return i.time_ns, "red", "incident opened", f"{i.id}: {i.text}"
        if before == blamed or lead is None:
            return None
        return (
            i.time_ns,
            "red",
            "incident updated",
            f"{i.id}: now blames {lead.service} ({lead.kind.value}, {lead.probability:.0%})",
        )


def _anomaly(value: bytes) -> Line | None:
    a = decode(Anomaly, value)
    if a.step is not None:
        return a.time_ns, "cyan", f"model {a.step.value.replace('_', ' ')}", f"{a.service}: {a.text}"
    if a.phase is AnomalyPhase.UPDATED:
        return None
    colour = "yellow" if a.phase is AnomalyPhase.OPENED else "green"
    text = "back to normal" if a.phase is AnomalyPhase.CLOSED and a.state is ServiceState.HEALTHY else a.text
    return a.time_ns, colour, f"anomaly {a.phase.value}", f"{a.service}: {text}"


def _decision(value: bytes) -> Line | None:
    d = decode(Decision, value)
    colour = "magenta" if d.verdict is DecisionVerdict.ACT else "cyan"
    others = "".join(f"\n    · {o.playbook} {o.target} ({o.score:+.2f}): {o.why}" for o in d.options if o != d.chosen)
    return d.time_ns, colour, f"decision {d.verdict.value}", f"{d.id}: {d.text}{others}"


def _action(value: bytes) -> Line | None:
    r = decode(ActionRecord, value)
    return r.time_ns, "blue", r.type.removeprefix("io.homeostat."), f"{r.playbook} on {r.target}: {r.text}"


def _feedback(value: bytes) -> Line | None:
    f = decode(Feedback, value)
    return f.time_ns, "green" if f.outcome is Outcome.BETTER else "red", f"verified {f.outcome.value}", f.text


def _change(value: bytes) -> Line | None:
    c = decode(Change, value)
    return c.time_ns, "cyan", f"change {c.kind}", f"{c.service}: {c.text or f'{c.before} → {c.after}'}"


def _dead(value: bytes) -> Line | None:
    d = decode(DeadLetter, value)
    return d.time_ns, "red", "dead letter", f"{d.source_topic}: {d.reason}: {d.detail}"


_TELLERS: dict[str, Callable[[bytes], Line | None]] = {
    ANOMALIES: _anomaly,
    DECISIONS: _decision,
    ACTIONS: _action,
    FEEDBACK: _feedback,
    CHANGES: _change,
    DEADLETTER: _dead,
}


def render(line: Line, local: bool = False) -> Text:
    """A line as coloured text."""
    at, colour, kind, text = line
    return Text.assemble((said(at, local) + " ", "dim"), (f"{kind:20} ", colour), terminal.hanging(text))


class WatchView:
    """Prints lines, and one now and then where nothing happens, so that silence isn't taken for a view that has ended.

    Lines are never broken where a program reads them.
    """

    def __init__(self, console: Console, local: bool, clock: Clock) -> None:
        self._console, self._local, self._clock = console, local, clock
        self._last_ns = clock.now_ns()

    def show(self, line: Line) -> None:
        """Print one line."""
        self._last_ns = self._clock.now_ns()
        self._console.print(render(line, self._local), soft_wrap=not self._console.is_terminal)

    async def keep_beating(self, every_s: float, how_it_is: Callable[[], Awaitable[str]]) -> None:
        """Say how it is whenever nothing was shown for `every_s`."""
        while True:
            quiet_s = (self._clock.now_ns() - self._last_ns) / SECOND
            if quiet_s >= every_s:
                self.show((self._clock.now_ns(), "dim", "nothing happened", await how_it_is()))
            else:
                await asyncio.sleep(every_s - quiet_s)


@click.command()
@click.option("--from-beginning", is_flag=True, help="Show what happened before, too.")
@click.option("--json", "as_json", is_flag=True, help="One JSON event per line instead.")
@click.option(
    "--heartbeat",
    type=click.FloatRange(min=0),
    default=30.0,
    show_default=True,
    metavar="SECONDS",
    help="Say how it is when nothing happened for this long; 0 for never.",
)
@local_option
@broker_option
@click.pass_context
def watch(
    ctx: click.Context, from_beginning: bool, as_json: bool, heartbeat: float, local: bool, broker: str | None
) -> None:
    """Follow anomalies, incidents, decisions, actions and their verification as they happen (Ctrl-C ends)."""
    clock, teller = SystemClock(), Teller()
    view = WatchView(terminal.console(), local, clock)

    async def work() -> None:
        async with connected(ctx, broker) as (client, settings), AsyncExitStack() as stack:
            if not as_json:
                how_it_is = partial(in_a_line, ctx, settings, broker)
                zone = "of this machine's zone" if local else "UTC"
                text = f"{client.bootstrap}, times are {zone}; {await how_it_is()}"
                view.show((clock.now_ns(), "bold", "watching", text))
                if heartbeat:
                    beating = Supervised("heartbeat", lambda: view.keep_beating(heartbeat, how_it_is))
                    stack.push_async_callback(beating.start().stop)
            async for record in client.read(
                [INCIDENTS, STRICTNESS, *_TELLERS], from_beginning=from_beginning, follow=True
            ):
                if as_json:
                    event = {"topic": record.topic, "event": msgspec.Raw(record.value)}
                    echo(msgspec.json.encode(event).decode())
                    continue
                try:
                    line = teller.line(record)
                except UnreadableEvent as e:
                    line = (record.timestamp_ms * MILLISECOND, "red", record.topic, str(e))
                if line:
                    view.show(line)

    try:
        run(work())
    except KeyboardInterrupt:
        echo("stopped watching")
