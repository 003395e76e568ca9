"""`homeostat adopt`: a person's word on whether a service's new level is the new normal."""

from __future__ import annotations

import click

from contracts.events import Adoption, encode
from contracts.ports import SystemClock
from contracts.topics import ADOPTIONS
from contracts.verdicts import AdoptionVerdict
from homeostat.cli.common import broker_option, connected, run, who
from homeostat.terminal import echo


@click.command()
@click.argument("service")
@click.option("--environment", help="Environment of the service; default: the one of the settings.")
@click.option("--refuse", is_flag=True, help="It is not normal: undo its adoption, and let nothing of it be adopted.")
@click.option("--comment", default="", help="Why, for the record.")
@broker_option
@click.pass_context
def adopt(
    ctx: click.Context, service: str, environment: str | None, refuse: bool, comment: str, broker: str | None
) -> None:
    """Take what SERVICE does now for its normal behaviour, or refuse to (the newest word holds)."""
    verdict = AdoptionVerdict.REFUSE if refuse else AdoptionVerdict.ACCEPT
    where = run(_say(ctx, broker, (environment, service), verdict, comment))
    told = (
        "is not normal: nothing of it is adopted" if refuse else "does now is taken for normal, if an anomaly is open"
    )
    echo(f"what {service} ({where}) {told}; see `homeostat watch`")


async def _say(
    ctx: click.Context, broker: str | None, about: tuple[str | None, str], verdict: AdoptionVerdict, comment: str
) -> str:
    async with connected(ctx, broker) as (client, settings):
        environment, service = about[0] or settings.environment, about[1]
        word = Adoption(
            environment=environment,
            service=service,
            verdict=verdict,
            by=who(),
            time_ns=SystemClock().now_ns(),
            comment=comment,
        )
        await client.ensure_topics(settings.broker.partitions)
        await client.send(ADOPTIONS, encode(word), key=f"{environment}/{service}".encode())
    return environment
