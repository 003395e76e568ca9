"""`homeostat plugin …`: what is plugged in, and whether it does what its port asks for."""

from __future__ import annotations

import click

from contracts.errors import InvalidPlugin
from contracts.plugins import KINDS, InstalledPlugin
from contracts.settings import Settings
from homeostat.cli.app import settings_of
from homeostat.cli.common import document, json_option, run
from homeostat.plugins import CheckOutcome, check, find, reports
from homeostat.terminal import echo


@click.group()
def plugin() -> None:
    """List what is built in and plugged in; check that a plugin does what its port asks for."""


@plugin.command("list")
@json_option
@click.pass_context
def list_(ctx: click.Context, as_json: bool) -> None:
    """Every name that settings may choose, by kind, who brings it, and the settings that plugins declare. `*`: in use. Exit status 1 if a
    plugin can't be used."""
    found = reports(settings_of(ctx))
    if as_json:
        echo(document(found))
    else:
        for each in found:
            echo(f"{'*' if each.in_use else ' '} {each.kind:12} {each.name:20} {each.brought_by}")
            for name, text in each.settings.items():
                echo(f"{'':17}{name}{f': {text}' if text else ''}")
            if each.problem:
                echo(f"{'':17}FIX {each.problem}")
    if any(each.problem for each in found):
        raise SystemExit(1)


@plugin.command("check")
@click.argument("names", nargs=-1, required=True, metavar="NAME...")
@click.option("--kind", type=click.Choice(KINDS), help="Where plugins of several kinds have that name.")
@json_option
@click.pass_context
def check_(ctx: click.Context, names: tuple[str, ...], kind: str | None, as_json: bool) -> None:
    """Run the check-suite of its port on each installed plugin NAME, with the settings in force. Exit status 1 if one fails."""
    settings = settings_of(ctx)
    plugins = [find(name, kind or "") for name in names]
    outcomes = {p.name: run(_checked(p, settings, quiet=as_json)) for p in plugins}
    if as_json:
        echo(document(outcomes))
    if any(outcome.problem for found in outcomes.values() for outcome in found):
        raise SystemExit(1)


async def _checked(plugin: InstalledPlugin, settings: Settings, *, quiet: bool) -> list[CheckOutcome]:
    """Run one suite, telling how each check ends as it ends. What can't be opened has one outcome."""
    outcomes: list[CheckOutcome] = []
    try:
        async for outcome in check(plugin, settings):
            outcomes.append(outcome)
            _tell(outcome, quiet)
    except InvalidPlugin as e:
        outcomes.append(CheckOutcome("opens", "", str(e)))
        _tell(outcomes[-1], quiet)
    failed = sum(bool(o.problem) for o in outcomes)
    if not quiet:
        echo(
            f"{plugin.words}: "
            + (f"{failed} of {len(outcomes)} checks failed" if failed else f"{len(outcomes)} checks passed")
        )
    return outcomes


def _tell(outcome: CheckOutcome, quiet: bool) -> None:
    if not quiet:
        mark, text = ("FIX", outcome.problem) if outcome.problem else ("ok ", _sentence(outcome.text))
        echo(f"{mark} {outcome.check:32} {text}")


def _sentence(text: str) -> str:
    return " ".join(text.split("\n\n", maxsplit=1)[0].split())
