"""`homeostat bench`: figures of this machine, each beside a named alternative measured in the same run."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import click

from contracts.settings import Settings
from homeostat.cli.app import settings_of
from homeostat.cli.common import document
from homeostat.cli.judging import judge
from homeostat.terminal import echo

if TYPE_CHECKING:
    from homeostat.bench import stores


@click.group(chain=True, invoke_without_command=True)
@click.pass_context
def bench(ctx: click.Context) -> None:
    """Measure parts of Homeostat, one or several (default: ingest and detect).

    Each figure is printed beside a named alternative that was measured in the same run.
    """
    if ctx.invoked_subcommand is None:
        _ingest()
        _detect()


@bench.command("ingest")
def ingest_bench() -> None:
    """Spans per CPU second from bytes to feature frames, and of decoding against protobuf's bare parser."""
    _ingest()


@bench.command("detect")
@click.argument("folders", nargs=-1, type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--rivals/--no-rivals", default=True, help="With FOLDERS: also river, pyod and chance, for comparison.")
@click.option(
    "--json", "json_path", type=click.Path(dir_okay=False, path_type=Path), help="With FOLDERS: write figures here."
)
@click.option(
    "--forecaster",
    "forecasters",
    multiple=True,
    metavar="CLASS(PARAMETERS)",
    help="With FOLDERS: also with forecasts of this class, as `series.forecasters` has it: "
    "'river.time_series.SNARIMAX(p=1, d=0, q=0, m=48)'.",
)
def detect_bench(folders: tuple[Path, ...], rivals: bool, json_path: Path | None, forecasters: tuple[str, ...]) -> None:
    """Milliseconds per tick for 1,000 services x 8 features: the whole engine, the bank alone, all detectors.

    With FOLDERS of labelled series (.npz, or CSV as the Numenta Anomaly Benchmark has them): how well general series find what is
    labelled, beside river and pyod in the same run: event F1, delay, false alarms per series-day, VUS-PR, NAB's profiles where windows are
    labelled, microseconds per point.
    """
    if not folders:
        if json_path is not None:
            raise click.UsageError("--json writes figures of labelled series: name their FOLDERS")
        if forecasters:
            raise click.UsageError("--forecaster is for labelled series: name their FOLDERS")
        _detect()
        return
    from homeostat.bench.forecasting import named
    from homeostat.bench.series_report import figures, report

    measured = []
    for found in figures(folders, rivals=rivals, forecasting=named(forecasters)):
        measured.append(found)
        echo("\n".join(report(found)))
        if json_path is not None:
            json_path.write_text(document(measured) + "\n", encoding="utf-8")


@bench.command("receive")
def receive_bench() -> None:
    """CPU time per small message of 23 SDKs, put together against each by itself (two minutes)."""
    _receive()


@bench.command("quality")
@click.option("--seed", default=101, show_default=True, help="Seed of the simulated faults.")
def quality_bench(seed: int) -> None:
    """Precision, recall and delay of detection on simulated faults, against river and pyod alone (minutes)."""
    _quality(seed)


@bench.command("graph")
@click.option(
    "--graph", "graph_url", metavar="BOLT_URL", help="Measure this Neo4j, too: bolt://[user:password@]host:port."
)
@click.pass_context
def graph_bench(ctx: click.Context, graph_url: str | None) -> None:
    """Refreshing a topology of 500 services and 3,000 calls, against row by row; a path through it."""
    _graph(settings_of(ctx), graph_url)


@bench.command("mapping")
@click.option("--seed", default=1, show_default=True, help="Seed of the day.")
@click.pass_context
def mapping_bench(ctx: click.Context, seed: int) -> None:
    """Shares of points and of callees that are understood in a day of the OpenTelemetry demo's kind of telemetry, and the rest."""
    _mapping(settings_of(ctx), seed)


@bench.command("twin")
@click.option("--seed", default=1, show_default=True, help="Seed of the system.")
@click.option(
    "--realism", is_flag=True, help="Lay its laws beside real processes: the demo's shop, run for four minutes."
)
@click.option(
    "--html",
    "html_path",
    type=click.Path(dir_okay=False, path_type=Path),
    help="With --realism: also a page with pictures.",
)
@click.option(
    "--json", "json_path", type=click.Path(dir_okay=False, path_type=Path), help="With --realism: write figures here."
)
def twin_bench(seed: int, realism: bool, html_path: Path | None, json_path: Path | None) -> None:
    """CPU seconds to simulate a system of 15 services for five minutes, as windows and request by request.

    With --realism instead: latency against load, propagation, recovery after a restart, and timing of telemetry, of the demo's shop and of
    one drawn to the same plan, side by side; how far the simulator is off is told as a ratio with its interval.
    """
    if realism:
        _realism(seed, html_path, json_path)
        return
    if html_path is not None or json_path is not None:
        raise click.UsageError("--html and --json are of the comparison with real processes: add --realism")
    from homeostat.bench.simulating import simulation_cost

    for line in simulation_cost(seed).lines():
        echo(f"twin     {line}")


@bench.command("diagnose")
@click.argument("folders", nargs=-1, required=True, type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option(
    "--mapping",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Which feature a metric of the data set is: YAML, see docs/benchmarks.md.",
)
@click.option("--after", default=0.0, metavar="SECONDS", help="Judge so long after the onset; 0 at the end.")
@click.option("--half", type=click.Choice(("all", "tuned", "other")), default="all", help="Which cases.")
def diagnose_bench(folders: tuple[Path, ...], mapping: Path | None, after: float, half: str) -> None:
    """FOLDERS of labelled failures: AC@k, calibration, milliseconds per case, beside published methods."""
    from homeostat.bench.column_map import ColumnMap, read_map
    from homeostat.bench.diagnosis import report

    columns = read_map(mapping) if mapping else ColumnMap()
    for line in report(folders, columns, half, after):
        echo(line)


bench.add_command(judge)


def _ingest() -> None:
    from homeostat.bench import ingest
    from homeostat.bench import reading as decoding

    for line in ingest.run().lines():
        echo(f"ingest   {line}")
    payload = decoding.protobuf_payload()
    ours, bare = decoding.spans_per_cpu_second(payload), decoding.parsed_per_cpu_second(payload)
    echo(
        f"ingest   decoding to columns: {ours / bare:.2f} x the speed of protobuf's bare parser, which extracts nothing"
    )


def _detect() -> None:
    from homeostat.bench.detection import tick_milliseconds

    whole, alone = tick_milliseconds(), tick_milliseconds(engine=False)
    every = tick_milliseconds(detectors=("bank", "river", "pyod", "iforest"))
    echo(
        f"detect   1,000 services x 8 features: {whole:.2f} ms per tick of the whole engine (of it the bank {alone:.2f} ms); with river "
        f"and pyod {every / whole:.1f} x that"
    )


def _receive() -> None:
    from homeostat.senders import EVERY_S, SENDERS, SPANS, cost

    alone, together = cost(0), cost(100)
    echo(
        f"receive  {SENDERS} SDKs, {SPANS} spans every {EVERY_S:g} s each: {together.per_message_ms:.2f} ms of CPU per message "
        f"together, {alone.per_message_ms:.2f} ms each by itself: {together.per_message_ms / alone.per_message_ms:.2f} x"
    )


def _quality(seed: int) -> None:
    from contracts.settings import DetectSettings
    from homeostat.bench.detection import engine_runs, found_within, score
    from homeostat.bench.simulated import PROVING, Plan, simulate

    plan = Plan(seed=seed, laws=PROVING)
    series = simulate(plan)
    for names in (("bank",), ("bank", "river", "pyod", "iforest"), ("river",), ("pyod",), ("iforest",)):
        result = score("+".join(names), engine_runs(DetectSettings(detectors=names)), series, plan)
        echo(f"quality  {result.line()}")
    for share, rate, seconds in ((0.02, 100.0, 10), (0.05, 20.0, 15)):
        found = found_within(share, rate, seconds, seed)
        echo(f"quality  {share:.0%} of {rate:.0f} requests/s failing, found within {seconds} s: {found:.0%}")


def _realism(seed: int, html_path: Path | None, json_path: Path | None) -> None:
    from homeostat.realism.beside import laid_beside
    from homeostat.realism.realism_page import realism_page

    found = laid_beside(seed, lambda words: echo(f"twin     {words}", err=True))
    for law in found.laws:
        echo(f"twin     {law.line()}")
    if json_path is not None:
        json_path.write_text(document(found.laws) + "\n", encoding="utf-8")
    if html_path is not None:
        html_path.write_text(realism_page(found.real, found.drawn, found.laws), encoding="utf-8")


def _mapping(settings: Settings, seed: int) -> None:
    from connectors.otlp.conventions import conventions_of
    from homeostat.bench.astronomy.shop_day import ShopDay
    from homeostat.bench.mapping import understood

    for line in understood(ShopDay(seed), conventions_of(settings.conventions)).lines():
        echo(f"mapping  {line}")


def _graph(settings: Settings, url: str | None) -> None:
    from graph.stores.ladybug import LadybugStore
    from homeostat.bench import stores

    embedded = LadybugStore()
    try:
        embedded.migrate()
        figures = stores.run(embedded)
    finally:
        embedded.close()
    for line in figures.lines():
        echo(f"graph    Ladybug: {line}")
    if url:
        for line in _neo4j(settings, url).lines():
            echo(f"graph    Neo4j: {line}")


def _neo4j(settings: Settings, url: str) -> stores.Figures:
    from graph.stores.neo4j import Neo4jStore
    from homeostat.bench import stores

    at = urlsplit(url)
    if at.scheme != "bolt" or not at.hostname:
        raise click.UsageError(
            f"--graph {url}: give bolt://[user:password@]host:port (a relay counts what is sent, so not bolt+s)"
        )
    trips = stores.RoundTrips(at.hostname, at.port or 7687)
    user, password = at.username or settings.graph.user, at.password or settings.graph.password.get_secret_value()
    try:
        store = Neo4jStore(f"bolt://{trips.address}", user, password, settings.graph.database)
        try:
            store.migrate()
            return stores.run(store, trips)
        finally:
            store.close()
    finally:
        trips.close()
