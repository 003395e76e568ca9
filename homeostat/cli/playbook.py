"""`homeostat playbook …`: for those who author playbooks."""

from __future__ import annotations

from pathlib import Path

import click
import msgspec

from homeostat.cli.app import settings_of
from homeostat.wiring import names_for
from playbooks.language import reader, schema

_FILES = click.Path(exists=True, path_type=Path)


@click.group()
def playbook() -> None:
    """Lint, show and list playbooks; export their JSON schema."""


@playbook.command()
@click.argument("files", nargs=-1, required=True, type=_FILES)
@click.option("--without-settings", is_flag=True, help="Let names of webhooks and commands be; settings define them.")
@click.pass_context
def lint(ctx: click.Context, files: tuple[Path, ...], without_settings: bool) -> None:
    """Check FILES (or folders): every mistake with file:line:column and a suggestion, also webhooks and commands that the settings
    in force (--config, environment) don't define. Exit status 1 if there are any."""
    problems = reader.lint_all(files, {} if without_settings else names_for(settings_of(ctx).act))
    for problem in problems:
        click.echo(str(problem))
    if problems:
        raise SystemExit(1)
    click.echo(f"{len(reader.read_all(files))} playbooks, no mistakes")


@playbook.command("list")
@click.argument("files", nargs=-1, type=_FILES)
def list_(files: tuple[Path, ...]) -> None:
    """The built-in library, or the playbooks in FILES."""
    for p in reader.read_all(files) if files else reader.library():
        causes = ", ".join(c.value for c in p.trigger.match.causes) or "any cause"
        click.echo(f"{p.name:32} tier {p.tier}  {causes:36} {p.description.splitlines()[0]}")


@playbook.command("schema")
def schema_() -> None:
    """The JSON schema, for editors."""
    click.echo(msgspec.json.format(msgspec.json.encode(schema.json_schema()), indent=2).decode())
