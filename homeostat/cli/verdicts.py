"""`homeostat verdict`: a person's word on what was detected, and on what was not. It moves how sure detection must be, within bounds."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from typing import Final

import click
import msgspec

from connectors.kafka.client import KafkaBroker
from contracts.errors import UnreadableEvent, suggest
from contracts.events import Incident, IncidentVerdict, decode, encode
from contracts.ports import SystemClock
from contracts.settings import Settings
from contracts.topics import INCIDENTS, VERDICTS
from contracts.units import MINUTE
from contracts.verdicts import VerdictKind
from homeostat.cli.common import broker_option, connected, run, time_ns, who
from homeostat.status import of_log
from homeostat.terminal import echo
from homeostat.times import said, utc
from models.judgement import VERDICTS_COUNT_NS

SAME_NS: Final = 10 * MINUTE
"""What was missed in one service within this long is one incident."""
_WORDS: Final = {
    VerdictKind.FALSE_ALARM: "a false alarm",
    VerdictKind.RIGHT: "right",
    VerdictKind.MISSED: "missed",
}
withdraw_option = click.option("--withdraw", is_flag=True, help="Take it back, as if it had never been said.")
comment_option = click.option("--comment", default="", help="Why, for the record.")


@click.group()
def verdict() -> None:
    """Say what came true: a false alarm has detection ask for more evidence in that environment, a missed incident for less, within bounds
    and for four weeks; `homeostat status` tells what is in force and why."""


@verdict.command("false-alarm")
@click.argument("incident")
@withdraw_option
@comment_option
@broker_option
@click.pass_context
def false_alarm(ctx: click.Context, incident: str, withdraw: bool, comment: str, broker: str | None) -> None:
    """Nothing was wrong: INCIDENT (its id is in `homeostat watch` and on telemetry.incidents) should not have been opened."""
    run(_of_incident(ctx, broker, incident, VerdictKind.FALSE_ALARM, (withdraw, comment)))


@verdict.command("right")
@click.argument("incident")
@withdraw_option
@comment_option
@broker_option
@click.pass_context
def right(ctx: click.Context, incident: str, withdraw: bool, comment: str, broker: str | None) -> None:
    """Something was wrong: INCIDENT was rightly opened. It moves nothing; what nobody says anything of is not taken for right."""
    run(_of_incident(ctx, broker, incident, VerdictKind.RIGHT, (withdraw, comment)))


@verdict.command("missed")
@click.argument("service")
@click.option("--at", "at", required=True, metavar="TIME", help="When it began (ISO 8601; UTC where it names no zone).")
@click.option("--environment", help="Environment of the service; default: the one of the settings.")
@withdraw_option
@comment_option
@broker_option
@click.pass_context
def missed(
    ctx: click.Context,
    service: str,
    at: str,
    environment: str | None,
    withdraw: bool,
    comment: str,
    broker: str | None,
) -> None:
    """Something was wrong with SERVICE at that time, and no incident told of it."""
    now_ns, about_ns = SystemClock().now_ns(), time_ns(at)
    if about_ns > now_ns:
        raise click.BadParameter(f"{said(about_ns)} is yet to come", param_hint="--at")
    if about_ns < now_ns - VERDICTS_COUNT_NS:
        raise click.BadParameter(
            f"{said(about_ns)} is more than four weeks ago, and would not count", param_hint="--at"
        )
    run(_of_service(ctx, broker, (environment, service), about_ns, (withdraw, comment)))


async def _of_incident(
    ctx: click.Context, broker: str | None, incident: str, kind: VerdictKind, how: tuple[bool, str]
) -> None:
    async with connected(ctx, broker) as (client, settings):
        found, (withdraw, _) = await _incident(client, incident), how
        if found is None and not withdraw:
            raise click.ClickException(
                f"no incident {incident!r} on {INCIDENTS}, which keeps a week (an embedded one: what came since its start); "
                "see `homeostat watch --from-beginning`"
            )
        about = IncidentVerdict(
            id=incident,
            environment=found.environment if found is not None else settings.environment,
            verdict=kind,
            by=who(),
            time_ns=SystemClock().now_ns(),
            about_ns=found.onset_ns if found is not None else 0,
        )
        await _say(client, settings, about, how)


async def _of_service(
    ctx: click.Context, broker: str | None, where: tuple[str | None, str], about_ns: int, how: tuple[bool, str]
) -> None:
    async with connected(ctx, broker) as (client, settings):
        now_ns = SystemClock().now_ns()
        environment, service = where[0] or settings.environment, where[1]
        overview = await of_log(client, settings, now_ns)
        known = sorted(row["service"] for row in overview.services if row["environment"] == environment)
        if service not in known:
            close = suggest(service, known)
            more = f"did you mean {close!r}?" if close else "see `homeostat status`, and --environment"
            raise click.ClickException(f"no service {service!r} is known in {environment}; {more}")
        about = IncidentVerdict(
            id=f"missed:{service}@{utc(about_ns)}",
            environment=environment,
            verdict=VerdictKind.MISSED,
            by=who(),
            time_ns=now_ns,
            about_ns=about_ns,
            service=service,
        )
        await _say(client, settings, about, how)


async def _incident(client: KafkaBroker, incident: str) -> Incident | None:
    """An incident by its id, as it was told last."""
    found = None
    async for record in client.read([INCIDENTS]):
        with contextlib.suppress(UnreadableEvent):  # of another release
            event = decode(Incident, record.value)
            found = event if event.id == incident else found
    return found


async def _say(client: KafkaBroker, settings: Settings, new: IncidentVerdict, how: tuple[bool, str]) -> None:
    """Put a verdict on the log, or what takes it back; who says the same again, or takes back what somebody else said, is told so."""
    withdraw, comment = how
    await client.ensure_topics(settings.broker.partitions)
    holds = standing(new, await _verdicts(client))
    _refuse(new, holds, withdraw=withdraw)
    word = msgspec.structs.replace(
        new,
        id=holds.id if holds else new.id,
        environment=holds.environment if holds else new.environment,
        verdict=VerdictKind.WITHDRAWN if withdraw else new.verdict,
        time_ns=max(new.time_ns, holds.time_ns + 1 if holds else 0),  # the newest holds, whatever this clock says
        comment=comment,
    )
    await client.send(VERDICTS, encode(word), key=f"{word.environment}/{word.id}".encode())
    told = f"{_what(new)} was {_WORDS[new.verdict]}"
    if withdraw:
        told = f"taken back: {told}" + (
            "" if holds else "; no such verdict is on the log, it counts if there was one before"
        )
    echo(f"{told} ({word.environment}); see `homeostat status`")


def _refuse(new: IncidentVerdict, holds: IncidentVerdict | None, *, withdraw: bool) -> None:
    if holds is None:
        return
    already = (
        f"{holds.by} said at {said(holds.time_ns)} that {_what(holds)} was {_WORDS[holds.verdict]}; nothing was changed"
    )
    if not withdraw and holds.verdict is new.verdict:
        raise click.ClickException(f"{already} (--withdraw takes it back)")
    if withdraw and holds.verdict is not new.verdict:
        raise click.ClickException(f"{already} (that is taken back with the command that says it)")


def _what(verdict: IncidentVerdict) -> str:
    return verdict.id if not verdict.service else f"what {verdict.service} had at {said(verdict.about_ns)}"


async def _verdicts(client: KafkaBroker) -> list[IncidentVerdict]:
    found = []
    async for record in client.read([VERDICTS]):
        try:
            found.append(decode(IncidentVerdict, record.value))
        except UnreadableEvent:  # of another release: whoever reads it for good says so
            continue
    return found


def standing(new: IncidentVerdict, all_: Sequence[IncidentVerdict]) -> IncidentVerdict | None:
    """What holds of the same: of an incident by its id, of one that was missed by its service and about when it was. None where
    nothing was said, or it was taken back."""
    newest: dict[tuple[str, str], IncidentVerdict] = {}
    for word in sorted(all_, key=lambda v: v.time_ns):
        newest[word.environment, word.id] = word
    for word in newest.values():
        there = word.environment == new.environment and word.service == new.service
        same = there and abs(word.about_ns - new.about_ns) < SAME_NS if new.service else word.id == new.id
        if same and word.verdict is not VerdictKind.WITHDRAWN:
            return word
    return None
