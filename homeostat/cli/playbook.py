"""`homeostat playbook …`: for those who author playbooks."""

from __future__ import annotations

from pathlib import Path

import click
import msgspec

from contracts.errors import UnknownName
from homeostat.cli.app import settings_of
from homeostat.cli.common import document, json_option
from homeostat.implementations import load_playbooks, names_for
from homeostat.terminal import echo
from playbooks.language import reader, schema

_FILES = click.Path(exists=True, path_type=Path)


@click.group()
def playbook() -> None:
    """Lint, show and list playbooks; export their JSON schema."""


@playbook.command()
@click.argument("files", nargs=-1, required=True, type=_FILES)
@click.option("--without-settings", is_flag=True, help="Let names of webhooks and commands be; settings define them.")
@json_option
@click.pass_context
def lint(ctx: click.Context, files: tuple[Path, ...], without_settings: bool, as_json: bool) -> None:
    """Check FILES (or folders): every mistake with file:line:column and a suggestion, also webhooks and commands that the settings
    in force (--config, environment) don't define. Exit status 1 if there are any."""
    problems = reader.lint_all(files, {} if without_settings else names_for(settings_of(ctx).act))
    if as_json:
        echo(document(problems))
    else:
        for problem in problems:
            echo(str(problem))
    if problems:
        raise SystemExit(1)
    if not as_json:
        echo(f"{len(reader.read_all(files))} playbooks, no mistakes")


@playbook.command("list")
@click.argument("files", nargs=-1, type=_FILES)
@json_option
def list_(files: tuple[Path, ...], as_json: bool) -> None:
    """The built-in library, or the playbooks in FILES."""
    found = reader.read_all(files) if files else reader.library()
    if as_json:
        echo(document(found))
        return
    for p in found:
        causes = ", ".join(c.value for c in p.trigger.match.causes) or "any cause"
        echo(f"{p.name:32} tier {p.tier}  {causes:36} {p.description.splitlines()[0]}")


@playbook.command("show")
@click.argument("name")
@json_option
@click.pass_context
def show(ctx: click.Context, name: str, as_json: bool) -> None:
    """The playbook NAME that is in force: as its file has it, or as it was read (--json)."""
    known = reader.by_name(load_playbooks(settings_of(ctx).act))
    if name not in known:
        raise UnknownName("playbook", name, known)
    found = known[name]
    echo(
        document(found) if as_json else f"# {found.source}\n{Path(found.source).read_text('utf-8')}",
        nl=as_json,
    )


@playbook.command("schema")
def schema_() -> None:
    """The JSON schema, for editors."""
    echo(msgspec.json.format(msgspec.json.encode(schema.json_schema()), indent=2).decode())
