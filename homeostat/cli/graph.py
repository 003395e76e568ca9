"""`homeostat graph …` and `homeostat why`: the knowledge graph for people."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

import click
import msgspec
from rich.table import Table
from rich.text import Text

from contracts.errors import HomeostatError, InvalidQuery
from contracts.ports import GraphStore
from contracts.settings import Settings
from contracts.verdicts import IncidentPhase
from graph import queries, rendering
from graph.stores import open_reader
from homeostat import terminal
from homeostat.cli.app import settings_of
from homeostat.cli.common import document, json_option, local_option, run
from homeostat.cli.status import line, overview
from homeostat.endpoints import running
from homeostat.terminal import echo
from homeostat.times import said

_WIDE = 10_000


@contextmanager
def reader(settings: Settings) -> Iterator[GraphStore]:
    """The configured graph for asking; through the running Homeostat where that holds the file."""
    alive = running(settings.data_dir)
    store = open_reader(
        settings.graph, settings.data_dir, alive.api if alive else "http://127.0.0.1:0", settings.plugins
    )
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
            echo(msgspec.json.encode(row, enc_hook=str).decode())
    elif rows:
        table = Table()
        for name in rows[0]:
            table.add_column(Text(name))
        for row in rows:
            table.add_row(*(Text(_cell(v)) for v in row.values()))
        console = terminal.console()
        if not console.is_terminal:  # what reads it wants whole lines
            console.width = _WIDE
        console.print(table)
    echo(f"{len(rows)} row{'s' if len(rows) != 1 else ''}", err=True)


@graph.command()
@click.argument("caller")
@click.argument("callee")
@click.option("--environment", help="Environment of both. Default: settings.environment.")
@json_option
@click.pass_context
def path(ctx: click.Context, caller: str, callee: str, environment: str | None, as_json: bool) -> None:
    """Shortest call paths from CALLER to CALLEE."""
    settings = settings_of(ctx)
    with reader(settings) as store:
        found = queries.path(store, environment or settings.environment, caller, callee)
    echo(document(found) if as_json else rendering.render_path(found))


@click.command()
@click.argument("incident", default=queries.LATEST)
@json_option
@local_option
@click.pass_context
def why(ctx: click.Context, incident: str, as_json: bool, local: bool) -> None:
    """Tell the story of INCIDENT (default: the latest): cause, causal path, evidence, rivals, what was done. If nothing was wrong, it
    says so, and how things are."""
    settings = settings_of(ctx)
    with reader(settings) as store:
        found = None
        if incident != queries.LATEST or queries.latest(store) is not None:
            found = queries.why(store, incident)
    if as_json:
        echo(document(found))
        return
    if found is None or (incident == queries.LATEST and found.phase == IncidentPhase.RESOLVED):
        echo(_quiet(ctx, settings, found, local))
    if found is not None:
        echo(rendering.render_why(found, partial(said, local=local)))


def _quiet(ctx: click.Context, settings: Settings, last: queries.Why | None, local: bool) -> str:
    """What to say where no incident is open: that nothing is wrong only if all is known to be well."""
    news = "there was none so far" if last is None else f"the latest is resolved since {said(last.time_ns, local)}"
    try:
        found = run(overview(ctx, settings, None))
    except HomeostatError as e:
        return f"no incident is open: {news}\n{e}\n"
    return f"{'nothing is wrong' if found.nothing_wrong else 'no incident is open'}: {news}\n{line(found)}\n"


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
