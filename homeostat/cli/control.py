"""Commands by which people steer: kill switch, approvals, and reading the audit trail."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click

from connectors.journal.sqlite import SqliteJournal
from contracts.errors import HomeostatError
from contracts.events import ActionRecord, Approval, Control, Decision, decode, encode
from contracts.ports import SystemClock
from contracts.topics import ACTIONS, APPROVALS, DECISIONS, partition_of
from contracts.verdicts import Autonomy
from homeostat import control_client
from homeostat.cli.app import settings_of
from homeostat.cli.common import broker_option, connected, local_option, run, who
from homeostat.control_client import Followed, arm, disarm, followed, journal_file, turn
from homeostat.endpoints import running
from homeostat.terminal import echo, hanging
from homeostat.times import said
from playbooks.runs.authenticity import digest_of

UNCONFIRMED = 3
"""Exit status where somebody who runs has not said that he follows."""
wait_option = click.option(
    "--wait",
    "patience_s",
    type=click.FloatRange(0),
    default=15.0,
    show_default=True,
    help="Seconds to wait for confirmations.",
)
ended_option = click.option(
    "--ended", multiple=True, metavar="NODE", help="This process has ended without saying so (repeatable)."
)


@click.command("stop-acting")
@click.option("--environment", "scope", default="*", show_default=True, help="Environment to stop; * for all.")
@click.option("--reason", default="", help="Why, for the record.")
@wait_option
@ended_option
@broker_option
@click.pass_context
def stop_acting(
    ctx: click.Context, scope: str, reason: str, patience_s: float, ended: tuple[str, ...], broker: str | None
) -> None:
    """Kill switch: no further effect until `homeostat resume`. Waits until every running process confirms that it follows, and
    has no effect under way. Where nothing runs it is armed for the next start. Exit status 3: not confirmed by all."""
    _turn(ctx, broker, _control(scope, Autonomy.OBSERVE, acting=False, reason=reason), patience_s, ended)


@click.command()
@click.option("--environment", "scope", default="*", show_default=True, help="Environment to resume; * for all.")
@click.option(
    "--autonomy",
    type=click.Choice([a.value for a in Autonomy]),
    default=Autonomy.ACT.value,
    show_default=True,
    help="How much may be done without a person.",
)
@wait_option
@ended_option
@broker_option
@click.pass_context
def resume(
    ctx: click.Context, scope: str, autonomy: str, patience_s: float, ended: tuple[str, ...], broker: str | None
) -> None:
    """Allow acting again. Waits until every running process confirms it. Exit status 3: not confirmed by all."""
    _turn(ctx, broker, _control(scope, Autonomy(autonomy), acting=True), patience_s, ended)


def _control(scope: str, autonomy: Autonomy, *, acting: bool, reason: str = "") -> Control:
    return Control(
        scope=scope, acting=acting, autonomy=autonomy, by=who(), time_ns=SystemClock().now_ns(), reason=reason
    )


def _turn(ctx: click.Context, broker: str | None, control: Control, patience_s: float, ended: Sequence[str]) -> None:
    settings, words = settings_of(ctx), _said(control)
    file = None if broker else journal_file(settings)
    if file is not None and running(settings.data_dir) is None:
        arm(settings, control)
        echo(f"{words}: nothing runs, it holds from the next start on ({file})")
        return
    try:
        found = run(_follow(ctx, broker, control, patience_s, ended))
    except HomeostatError as e:
        if control.acting or file is None:
            raise
        arm(settings, control)
        echo(f"error: NOT confirmed, but written to {file}, which who runs here looks at: {e}", err=True)
        raise SystemExit(UNCONFIRMED) from e
    if control.acting and file is not None:
        disarm(settings, control.scope)
    _tell(words, found)


async def _follow(
    ctx: click.Context, broker: str | None, control: Control, patience_s: float, ended: Sequence[str]
) -> Followed:
    async with connected(ctx, broker) as (client, settings):
        await client.ensure_topics(settings.broker.partitions)
        wanted = await turn(client, control)
        await control_client.ended(client, ended, control.by, control.time_ns)
        return await followed(client, wanted, control, patience_s)


def _said(control: Control) -> str:
    where = "all environments" if control.scope == "*" else control.scope
    return (
        f"acting resumed in {where}, autonomy: {control.autonomy}" if control.acting else f"acting stopped in {where}"
    )


def _tell(words: str, found: Followed) -> None:
    if found.waiting:
        echo(f"error: written, but NOT confirmed by all: {words}", err=True)
        for node, why in found.waiting.items():
            echo(f"  {node} {why}", err=True)
        for node in found.confirmed:
            echo(f"  {node} confirmed", err=True)
        echo("what has ended without a word can be named with --ended NODE", err=True)
        raise SystemExit(UNCONFIRMED)
    nobody = "nobody runs; it holds for whoever starts"
    echo(f"{words}: " + (f"confirmed by {', '.join(found.confirmed)}" if found.confirmed else nobody))


@click.command()
@click.argument("decision")
@click.option("--comment", default="", help="Why, for the record.")
@broker_option
@click.pass_context
def approve(ctx: click.Context, decision: str, comment: str, broker: str | None) -> None:
    """Approve what DECISION proposes (its id is in `homeostat watch` and on autonomous.decisions)."""
    run(_answer(ctx, broker, decision, comment, approved=True))


@click.command()
@click.argument("decision")
@click.option("--comment", default="", help="Why, for the record.")
@broker_option
@click.pass_context
def deny(ctx: click.Context, decision: str, comment: str, broker: str | None) -> None:
    """Refuse what DECISION proposes."""
    run(_answer(ctx, broker, decision, comment, approved=False))


async def _answer(ctx: click.Context, broker: str | None, decision: str, comment: str, *, approved: bool) -> None:
    async with connected(ctx, broker) as (client, settings):
        asked = None
        async for record in client.read([DECISIONS]):
            found = decode(Decision, record.value)
            if found.id == decision:
                asked = found
        if asked is None:
            raise click.ClickException(f"no decision {decision!r} on {DECISIONS}; see `homeostat watch`")
        answer = Approval(
            decision=decision,
            environment=asked.environment,
            approve=approved,
            by=who(),
            time_ns=SystemClock().now_ns(),
            comment=comment,
            digest=digest_of(asked),
        )
        partitions = (await client.ensure_topics(settings.broker.partitions))[APPROVALS]
        await client.send(
            APPROVALS, encode(answer), key=decision.encode(), partition=partition_of(asked.environment, partitions)
        )
    echo(f"{'approved' if approved else 'denied'} {decision}")


@click.command()
@click.option("--verify/--no-verify", default=True, show_default=True, help="Verify the hash chain.")
@click.option(
    "--json",
    "as_json",
    is_flag=True,
    help="One record per line as JSON, and the verdict on each chain on standard error.",
)
@local_option
@broker_option
@click.pass_context
def audit(ctx: click.Context, verify: bool, as_json: bool, local: bool, broker: str | None) -> None:
    """Read the audit trail from autonomous.actions (or, where nothing runs, from the journal in the data folder), and verify its
    hash chain. Exit status 1 if it is broken."""
    from playbooks.audit.chain import verify_chain

    settings = settings_of(ctx)
    journal = settings.data_dir / "journal.sqlite"
    if broker is None and running(settings.data_dir) is None and journal.exists():
        records = _journalled(journal)
    else:
        records = run(_published(ctx, broker))
    for r in sorted(records, key=lambda r: (r.environment, r.sequence)):
        kind = r.type.removeprefix("io.homeostat.")
        line = f"{said(r.time_ns, local)} {r.environment} #{r.sequence} {kind:22} {r.target:20} {r.text}"
        echo(encode(r).decode() if as_json else hanging(line))
    broken = False
    if verify:
        for environment in sorted({r.environment for r in records}):
            report = verify_chain([r for r in records if r.environment == environment])
            verdict = "chain intact" if report.intact else "CHAIN BROKEN: " + "; ".join(report.problems)
            echo(f"{environment}: {report.records} records, {verdict}", err=as_json)
            broken = broken or not report.intact
    if broken:
        raise SystemExit(1)


async def _published(ctx: click.Context, broker: str | None) -> list[ActionRecord]:
    async with connected(ctx, broker) as (client, _):
        return [decode(ActionRecord, r.value) async for r in client.read([ACTIONS])]


def _journalled(path: Path) -> list[ActionRecord]:
    journal = SqliteJournal(path)
    try:
        environments = [key.removeprefix("audit/head/") for key in journal.facts("audit/head/")]
        return [decode(ActionRecord, record) for e in sorted(environments) for _, record in journal.audit(e)]
    finally:
        journal.close()
