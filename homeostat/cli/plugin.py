"""`homeostat plugin …`: what is plugged in, and whether it does what its port asks for."""

from __future__ import annotations

import click

from contracts.errors import InvalidPlugin
from contracts.plugins import KINDS
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
@click.argument("name")
@click.option("--kind", type=click.Choice(KINDS), help="Where plugins of several kinds have that name.")
@json_option
@click.pass_context
def check_(ctx: click.Context, name: str, kind: str | None, as_json: bool) -> None:
    """Run the check-suite of its port on the installed plugin NAME, with the settings in force. Exit status 1 if it fails."""
    settings, found = settings_of(ctx), find(name, kind or "")

    async def all_of_it() -> list[CheckOutcome]:
        outcomes: list[CheckOutcome] = []
        async for outcome in check(found, settings):
            outcomes.append(outcome)
            if not as_json:
                mark, text = ("FIX", outcome.problem) if outcome.problem else ("ok ", _sentence(outcome.text))
                echo(f"{mark} {outcome.check:32} {text}")
        return outcomes

    try:
        outcomes = run(all_of_it())
    except InvalidPlugin as e:
        raise SystemExit(_refused(e, as_json)) from e
    failed = sum(bool(o.problem) for o in outcomes)
    if as_json:
        echo(document(outcomes))
    else:
        echo(
            f"{found.words}: "
            + (f"{failed} of {len(outcomes)} checks failed" if failed else f"{len(outcomes)} checks passed")
        )
    if failed:
        raise SystemExit(1)


def _refused(error: InvalidPlugin, as_json: bool) -> int:
    echo(document({"problem": str(error)}) if as_json else f"FIX {error}")
    return 1


def _sentence(text: str) -> str:
    return " ".join(text.split("\n\n", maxsplit=1)[0].split())
