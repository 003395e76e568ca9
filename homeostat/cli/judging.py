"""`homeostat bench judge`: how well the whole loop does on simulated systems, and one of their stories."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from homeostat.cli.app import settings_of
from homeostat.terminal import echo

if TYPE_CHECKING:
    from homeostat.judge.report import JudgeReport
    from homeostat.judge.running import Task
    from homeostat.judge.trial import Trial


@click.command("judge")
@click.option("--episodes", default=200, show_default=True, help="How many episodes.")
@click.option(
    "--split",
    type=click.Choice(["proving", "tuning"]),
    default="proving",
    show_default=True,
    help="Whose worlds: figures count on proving, tune on tuning.",
)
@click.option(
    "--fidelity",
    type=click.Choice(["window", "request"]),
    default="window",
    show_default=True,
    help="Feature frames directly, or each request as OTLP bytes through the whole pipeline.",
)
@click.option("--first", default=0, show_default=True, help="The first episode's seed.")
@click.option("--jobs", default=2, show_default=True, help="Processes beside each other.")
@click.option("--kinds", default="", help="Only these kinds of faults, separated by commas.")
@click.option("--services", default=0, help="Systems of about so many services, up to 500; 0: as drawn.")
@click.option("--style", default="", help="Only this style of instrumentation.")
@click.option("--detect-only", is_flag=True, help="Detection and diagnosis alone; nothing is done.")
@click.option("--baselines/--no-baselines", default=True, help="Static rules, nobody, restarting what alarms.")
@click.option(
    "--results",
    type=click.Path(dir_okay=False, path_type=Path),
    default=Path("judge.jsonl"),
    show_default=True,
    help="Where trials are kept: what is there already is not run again.",
)
@click.option("--json", "json_path", type=click.Path(dir_okay=False, path_type=Path), help="Write figures here.")
@click.option("--html", "html_path", type=click.Path(dir_okay=False, path_type=Path), help="Write a page here.")
@click.option("--explain", metavar="CASE", help="The story of one episode instead: proving/17.")
@click.pass_context
def judge(  # noqa: PLR0913 - a command's options
    ctx: click.Context,
    *,
    episodes: int,
    split: str,
    fidelity: str,
    first: int,
    jobs: int,
    kinds: str,
    services: int,
    style: str,
    detect_only: bool,
    baselines: bool,
    results: Path,
    json_path: Path | None,
    html_path: Path | None,
    explain: str | None,
) -> None:
    """Judge the whole loop on simulated systems, in virtual time.

    Each episode is a system drawn from a seed that lives for some minutes: load, deploys, jobs, and mostly a fault.
    What was found, named, done and mended is judged by what was true.
    """
    from homeostat.judge.report import lines, report_of
    from homeostat.judge.running import BASELINES, PRODUCT, Task
    from twin.configuration import Split

    if explain:
        _explain(ctx, explain, fidelity, html_path)
        return
    wanted = _known(kinds, style)

    def trial_of(by: str, seed: int) -> Task:
        mine = by == PRODUCT
        own = fidelity if mine else "window"
        return Task(Split(split), seed, by, own, detect_only and mine, wanted, services, style)

    who = (PRODUCT, *(BASELINES if baselines else ()))
    tasks = [trial_of(by, seed) for seed in range(first, first + episodes) for by in who]
    report = report_of(_run(ctx, tasks, results, jobs), split, fidelity)
    for text in lines(report):
        echo(text)
    _keep(report, json_path, html_path)


def _known(kinds: str, style: str) -> tuple[str, ...]:
    """The kinds of faults that are asked for: there are such, and there is such a style.

    Raises:
        click.UsageError: there are none of that name.
    """
    from twin.catalogue import KINDS
    from twin.habits import STYLES

    wanted = tuple(k for k in kinds.split(",") if k)
    unknown = sorted(set(wanted) - KINDS.keys())
    if unknown:
        raise click.UsageError(
            f"--kinds: no such kind of fault: {', '.join(unknown)}; there are {', '.join(sorted(KINDS))}"
        )
    if style and style not in STYLES:
        raise click.UsageError(f"--style: no style {style}; there are {', '.join(sorted(STYLES))}")
    return wanted


def _run(ctx: click.Context, tasks: Sequence[Task], results: Path, jobs: int) -> Iterable[Trial]:
    """Trials of all tasks, with progress for who waits; those that are in the file already are not run again."""
    from homeostat.judge.running import ResultsFile, run_all

    kept = ResultsFile(results)
    bar = (TextColumn("judge"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TimeRemainingColumn())
    with Progress(*bar) as progress:
        line = progress.add_task("judge", total=len(tasks), completed=sum(t.key in kept.trials for t in tasks))
        for _ in run_all(tasks, settings_of(ctx), kept, jobs):
            progress.advance(line)
    return [kept.trials[t.key] for t in tasks]


def _keep(report: JudgeReport, json_path: Path | None, html_path: Path | None) -> None:
    """Write a report where it is wanted."""
    if json_path is not None:
        import msgspec

        json_path.write_bytes(msgspec.json.format(msgspec.json.encode(report), indent=1))
    if html_path is not None:
        from homeostat.judge.page import judge_page

        html_path.write_text(judge_page(report), "utf-8")


def _explain(ctx: click.Context, case: str, fidelity: str, html_path: Path | None) -> None:
    """Run one episode and tell it."""
    from homeostat.judge.running import Task, run_task
    from homeostat.judge.story import told
    from twin.configuration import Split

    split, _, seed = case.partition("/")
    if split not in set(Split) or not seed.isdigit():
        raise click.UsageError(f"--explain {case}: give split and seed, as in proving/17")
    trial = run_task(Task(Split(split), int(seed), fidelity=fidelity), settings_of(ctx))
    for line in told(trial):
        echo(line)
    if html_path is not None:
        from homeostat.judge.page import episode_page

        html_path.write_text(episode_page(trial), "utf-8")


@click.command("drill")
@click.argument("faults", nargs=-1)
@click.option(
    "--system", default="shop", show_default=True, help="shop (the demo's), hotel, or a variation of it: hotel/7."
)
@click.option(
    "--json", "json_path", type=click.Path(dir_okay=False, path_type=Path), help="Write what came of it here."
)
@click.option("--html", "html_path", type=click.Path(dir_okay=False, path_type=Path), help="Write a page here (shop).")
@click.option("--keep", type=click.Path(file_okay=False, path_type=Path), help="Keep logs and data in this folder.")
def drill(
    faults: tuple[str, ...], system: str, json_path: Path | None, html_path: Path | None, keep: Path | None
) -> None:
    """Break a real system with FAULTS, one after another, and judge what becomes of it; without any, list them; `all`.

    The shop's are told as `bench judge --explain` tells a simulated system, one at a time. Of other systems the exit
    status is 1 where one did not end as it should.
    """
    import contextlib
    import tempfile

    titles = _titles(system)
    if not faults:
        for name, title in titles.items():
            echo(f"{name:16} {title}")
        return
    names = tuple(titles) if faults == ("all",) else faults
    unknown = [n for n in names if n not in titles]
    if unknown:
        raise click.UsageError(f"{system} has no fault {unknown[0]}; there are {', '.join(titles)}")
    with contextlib.ExitStack() as stack:
        folder = keep or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="homeostat-drill-")))
        folder.mkdir(parents=True, exist_ok=True)
        if system == "shop":
            _drill_shop(names, folder, json_path, html_path)
        elif not _drill(system, names, folder, json_path):
            raise SystemExit(1)


def _titles(system: str) -> dict[str, str]:
    """The faults of a system, with what they are.

    Raises:
        click.UsageError: there is no such system.
    """
    from contracts.errors import UnknownName
    from homeostat.demo.scenes import SCENES
    from homeostat.drills.drilling import faults_named
    from homeostat.drills.systems import system_named

    if system == "shop":
        return {s.name: s.title for s in SCENES}
    try:
        system_named(system)
    except UnknownName as e:
        raise click.UsageError(str(e)) from e
    return {f.name: f.title for f in faults_named(system, ())}


def _drill(system: str, names: Sequence[str], folder: Path, json_path: Path | None) -> bool:
    import asyncio

    from homeostat import terminal
    from homeostat.drills.drilling import drill_system

    rows = asyncio.run(drill_system(system, names, folder, terminal.console(markup=True), json_path))
    echo("")
    for row in rows:
        echo(("as it should  " if row.passed else "NOT SO        ") + row.line())
    return all(row.passed for row in rows)


def _drill_shop(names: Sequence[str], folder: Path, json_path: Path | None, html_path: Path | None) -> None:
    import asyncio

    import msgspec

    from homeostat import terminal
    from homeostat.judge import drill as drills
    from homeostat.judge.page import episode_page
    from homeostat.judge.story import told

    for name in names:
        place = folder / name
        place.mkdir(parents=True, exist_ok=True)
        trial = asyncio.run(drills.drill(name, place, terminal.console(markup=True)))
        for line in told(trial):
            echo(line)
        if json_path is not None:
            json_path.write_bytes(msgspec.json.format(msgspec.json.encode(trial), indent=1))
        if html_path is not None:
            html_path.write_text(episode_page(trial), "utf-8")
