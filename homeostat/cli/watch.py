"""`homeostat watch`: a live terminal view of what is seen, blamed, decided and done."""

from __future__ import annotations

import time
from collections.abc import Callable

import click
import msgspec
from rich.console import Console
from rich.text import Text

from contracts.errors import UnreadableEvent
from contracts.events import ActionRecord, Anomaly, Change, DeadLetter, Decision, Feedback, Incident, decode
from contracts.ports import Record
from contracts.topics import ACTIONS, ANOMALIES, CHANGES, DEADLETTER, DECISIONS, FEEDBACK, INCIDENTS
from contracts.verdicts import AnomalyPhase, DecisionVerdict, IncidentPhase, Outcome, ServiceState
from homeostat.cli.common import broker_option, connected, run

Line = tuple[int, str, str, str]
"""Event time (ns), colour, kind, text."""


class Teller:
    """Makes lines of events. An incident's updates are told only when somebody else is blamed."""

    def __init__(self) -> None:
        self._blamed: dict[str, tuple[str, str]] = {}

    def line(self, record: Record) -> Line | None:
        """One event as a line, or None for what is not worth one.

        Raises:
            UnreadableEvent: it is not what its topic promises.
        """
        if record.topic == INCIDENTS:
            return self._incident(decode(Incident, record.value))
        teller = _TELLERS.get(record.topic)
        return teller(record.value) if teller else None

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


def render(line: Line) -> Text:
    """A line as coloured text."""
    at, colour, kind, text = line
    clock = time.strftime("%H:%M:%S", time.localtime(at / 1e9)) + f".{at // 100_000_000 % 10}"
    return Text.assemble((clock + " ", "dim"), (f"{kind:20} ", colour), text)


@click.command()
@click.option("--from-beginning", is_flag=True, help="Show what happened before, too.")
@click.option("--json", "as_json", is_flag=True, help="One JSON event per line instead.")
@broker_option
@click.pass_context
def watch(ctx: click.Context, from_beginning: bool, as_json: bool, broker: str | None) -> None:
    """Follow anomalies, incidents, decisions, actions and their verification as they happen (Ctrl-C ends)."""
    console, teller = Console(highlight=False, emoji=False), Teller()

    async def work() -> None:
        async with connected(ctx, broker) as (client, _):
            async for record in client.read([INCIDENTS, *_TELLERS], from_beginning=from_beginning, follow=True):
                if as_json:
                    event = {"topic": record.topic, "event": msgspec.Raw(record.value)}
                    click.echo(msgspec.json.encode(event).decode())
                    continue
                try:
                    line = teller.line(record)
                except UnreadableEvent as e:
                    line = (record.timestamp_ms * 1_000_000, "red", record.topic, str(e))
                if line:
                    console.print(render(line))

    try:
        run(work())
    except KeyboardInterrupt:
        click.echo("stopped watching")
