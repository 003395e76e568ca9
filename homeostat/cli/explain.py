"""`homeostat explain`: one anomaly, what spoke and how much of its score each value accounts for."""

from __future__ import annotations

from pathlib import Path

import click

from contracts.settings import Settings
from homeostat import explanation
from homeostat.cli.app import settings_of
from homeostat.cli.common import broker_option, connected, document, json_option, local_option, run
from homeostat.endpoints import running
from homeostat.explanation_text import lines
from homeostat.terminal import echo


@click.command()
@click.argument("anomaly", default=explanation.LATEST)
@json_option
@click.option(
    "--png", type=click.Path(dir_okay=False, path_type=Path), metavar="FILE", help="Also draw it, into this file."
)
@local_option
@broker_option
@click.pass_context
def explain(ctx: click.Context, anomaly: str, as_json: bool, png: Path | None, local: bool, broker: str | None) -> None:
    """Explain ANOMALY (an id of telemetry.anomalies, or its beginning; default: the latest): which value, window and range spoke, how many
    decades of the score each accounts for (they add up to it), and what is foreseen.

    It is asked of the Homeostat that runs on this machine, or read from the log that --broker or the settings name.
    """
    found = run(_asked(ctx, settings_of(ctx), anomaly, broker))
    if png is not None:
        from homeostat.explanation_picture import draw

        draw(found, png)
    echo(document(found) if as_json else "\n".join(lines(found, local)))
    if png is not None:
        echo(f"drawn into {png}", err=True)


async def _asked(ctx: click.Context, settings: Settings, anomaly: str, broker: str | None) -> explanation.Explanation:
    here = running(settings.data_dir)
    if broker is None and here is not None:
        return await explanation.of_process(here.api, anomaly)
    async with connected(ctx, broker) as (client, _):
        return await explanation.of_log(client, anomaly)
