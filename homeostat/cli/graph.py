"""`homeostat graph …` and `homeostat why`: the knowledge graph for people."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import click
import msgspec
from rich.console import Console
from rich.table import Table

from contracts.errors import InvalidQuery
from contracts.ports import GraphStore
from contracts.settings import Settings
from graph import queries
from graph.stores import open_reader
from homeostat.cli.app import settings_of
from homeostat.endpoints import running


@contextmanager
def reader(settings: Settings) -> Iterator[GraphStore]:
    """The configured graph for asking; through the running Homeostat where that holds the file."""
    alive = running(settings.data_dir)
    store = open_reader(settings.graph, settings.data_dir, alive.api if alive else "http://127.0.0.1:0")
    try:
        yield store
    finally:
        store.close()


@click.group()
def graph() -> None:
    """Query the knowledge graph: services and who calls whom, incidents, causes, actions."""


@graph.command()
@click.argument("cypher")
@click.option("--parameter", "-p", "parameters", multiple=True, metavar="NAME=JSON", help="A $NAME of the query.")
@click.option("--json", "as_json", is_flag=True, help="Rows as JSON lines.")
@click.pass_context
def query(ctx: click.Context, cypher: str, parameters: tuple[str, ...], as_json: bool) -> None:
    """Run a read-only CYPHER query.

    \b
    homeostat graph query 'MATCH (a:Service)-[c:CALLS]->(b:Service) RETURN a.service, b.service, c.calls ORDER BY c.calls DESC'
    """
    with reader(settings_of(ctx)) as store:
        rows = store.query(cypher, dict(map(_parameter, parameters)))
    if as_json:
        for row in rows:
            click.echo(msgspec.json.encode(row, enc_hook=str).decode())
    elif rows:
        table = Table(*rows[0].keys())
        for row in rows:
            table.add_row(*(_cell(v) for v in row.values()))
        Console().print(table)
    click.echo(f"{len(rows)} row{'s' if len(rows) != 1 else ''}", err=True)


@graph.command()
@click.argument("caller")
@click.argument("callee")
@click.option("--environment", help="Environment of both. Default: settings.environment.")
@click.pass_context
def path(ctx: click.Context, caller: str, callee: str, environment: str | None) -> None:
    """Shortest call paths from CALLER to CALLEE."""
    settings = settings_of(ctx)
    with reader(settings) as store:
        click.echo(queries.render_path(queries.path(store, environment or settings.environment, caller, callee)))


@click.command()
@click.argument("incident", default=queries.LATEST)
@click.pass_context
def why(ctx: click.Context, incident: str) -> None:
    """Tell the story of INCIDENT (default: the latest): cause, causal path, evidence, rivals, what was done."""
    with reader(settings_of(ctx)) as store:
        click.echo(queries.render_why(queries.why(store, incident)))


def _parameter(text: str) -> tuple[str, object]:
    name, equals, value = text.partition("=")
    if not equals:
        raise InvalidQuery(f"--parameter {text}: NAME=JSON is expected")
    try:
        return name, msgspec.json.decode(value)
    except msgspec.DecodeError:
        return name, value


def _cell(value: object) -> str:
    return value if isinstance(value, str) else msgspec.json.encode(value, enc_hook=str).decode()
