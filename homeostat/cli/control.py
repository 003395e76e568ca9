"""Commands by which people steer: kill switch, approvals, and reading the audit trail."""

from __future__ import annotations

import time
from pathlib import Path

import click

from connectors.journal.sqlite import SqliteJournal
from contracts.events import ActionRecord, Approval, Control, decode, encode
from contracts.topics import ACTIONS, APPROVALS, CONTROL, DECISIONS, partition_of
from contracts.verdicts import Autonomy
from homeostat.cli.app import settings_of
from homeostat.cli.common import broker_option, connected, local_option, run, who
from homeostat.endpoints import running
from homeostat.terminal import echo, hanging
from homeostat.times import said


@click.command("stop-acting")
@click.option("--environment", "scope", default="*", show_default=True, help="Environment to stop; * for all.")
@click.option("--reason", default="", help="Why, for the record.")
@broker_option
@click.pass_context
def stop_acting(ctx: click.Context, scope: str, reason: str, broker: str | None) -> None:
    """Kill switch: no further effect until `homeostat resume`. Running repairs stop before their next effect."""
    run(
        _control(
            ctx,
            broker,
            Control(scope=scope, acting=False, autonomy=Autonomy.OBSERVE, by=who(), time_ns=0, reason=reason),
        )
    )
    echo(f"acting stopped in {'all environments' if scope == '*' else scope}")


@click.command()
@click.option("--environment", "scope", default="*", show_default=True, help="Environment to resume; * for all.")
@click.option(
    "--autonomy",
    type=click.Choice([a.value for a in Autonomy]),
    default=Autonomy.ACT.value,
    show_default=True,
    help="How much may be done without a person.",
)
@broker_option
@click.pass_context
def resume(ctx: click.Context, scope: str, autonomy: str, broker: str | None) -> None:
    """Allow acting again."""
    run(_control(ctx, broker, Control(scope=scope, acting=True, autonomy=Autonomy(autonomy), by=who(), time_ns=0)))
    echo(f"acting resumed in {'all environments' if scope == '*' else scope}, autonomy: {autonomy}")


async def _control(ctx: click.Context, broker: str | None, control: Control) -> None:
    stamped = Control(
        scope=control.scope,
        acting=control.acting,
        autonomy=control.autonomy,
        by=control.by,
        time_ns=time.time_ns(),
        reason=control.reason,
    )
    async with connected(ctx, broker) as (client, _):
        await client.send(CONTROL, encode(stamped), key=control.scope.encode())


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
    from contracts.events import Decision

    async with connected(ctx, broker) as (client, settings):
        environment = None
        async for record in client.read([DECISIONS]):
            found = decode(Decision, record.value)
            if found.id == decision:
                environment = found.environment
        if environment is None:
            raise click.ClickException(f"no decision {decision!r} on {DECISIONS}; see `homeostat watch`")
        answer = Approval(
            decision=decision,
            environment=environment,
            approve=approved,
            by=who(),
            time_ns=time.time_ns(),
            comment=comment,
        )
        partitions = (await client.ensure_topics(settings.broker.partitions))[APPROVALS]
        await client.send(
            APPROVALS, encode(answer), key=decision.encode(), partition=partition_of(environment, partitions)
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
