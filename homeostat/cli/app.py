"""The root command: settings, errors as one clear line, and lazily loaded commands (so that `--help` is quick)."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, NoReturn

import click

from contracts import settings_sources
from contracts.errors import HomeostatError, suggest
from contracts.settings import Settings, load
from contracts.settings_sources import Layer
from homeostat.terminal import echo

COMMANDS: Final[Mapping[str, tuple[str, str]]] = {
    "up": ("homeostat.cli.run:up", "Run everything in one process on embedded parts."),
    "worker": ("homeostat.cli.run:worker", "Run the pipeline against Kafka; any number of workers share the load."),
    "demo": ("homeostat.cli.run:demo", "Break a small real shop and watch it being repaired."),
    "replay": ("homeostat.cli.replay:replay", "Feed recorded OTLP JSON lines and print what is found."),
    "status": ("homeostat.cli.status:status", "How it is: services with their state, and what Homeostat itself lacks."),
    "watch": ("homeostat.cli.watch:watch", "Live view of anomalies, incidents, decisions and actions."),
    "why": ("homeostat.cli.graph:why", "Tell the story of an incident: cause, path, evidence, what was done."),
    "explain": (
        "homeostat.cli.explain:explain",
        "Explain an anomaly: what spoke, how much each counted, what is foreseen.",
    ),
    "graph": ("homeostat.cli.graph:graph", "Query the knowledge graph."),
    "playbook": ("homeostat.cli.playbook:playbook", "Lint, show and list playbooks; export their JSON schema."),
    "plugin": ("homeostat.cli.plugin:plugin", "List what is built in and plugged in; check a plugin."),
    "approve": ("homeostat.cli.control:approve", "Approve what a decision proposes."),
    "deny": ("homeostat.cli.control:deny", "Refuse what a decision proposes."),
    "adopt": ("homeostat.cli.adoption:adopt", "Take a service's new level for normal, or refuse to."),
    "verdict": (
        "homeostat.cli.verdicts:verdict",
        "Say that an incident was a false alarm or right, or one was missed.",
    ),
    "stop-acting": ("homeostat.cli.control:stop_acting", "Kill switch: nothing is done until `resume`."),
    "resume": ("homeostat.cli.control:resume", "Allow acting again."),
    "audit": ("homeostat.cli.control:audit", "Read the audit trail and verify its hash chain."),
    "send-raw": ("homeostat.cli.tools:send_raw", "Put a JSON measurement on telemetry.raw."),
    "topics": ("homeostat.cli.tools:topics", "Create or list the topics."),
    "telemetry": ("homeostat.cli.unmapped:telemetry", "What is sent: what is missing, what can't be read, who is who."),
    "doctor": ("homeostat.cli.doctor:doctor", "Check broker, topics, graph, clock and cluster; say what to fix."),
    "settings": ("homeostat.cli.tools:settings", "Show the settings in force, or their reference."),
    "drill": ("homeostat.cli.judging:drill", "Break a real system, and judge what becomes of it."),
    "bench": ("homeostat.cli.bench:bench", "Measure throughput and detection cost on this machine."),
}


class _Commands(click.Group):
    """Loads a command's module only when it is used."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module, name = COMMANDS[cmd_name][0].split(":")
        command = getattr(importlib.import_module(module), name)
        assert isinstance(command, click.Command)
        return command

    def resolve_command(self, ctx: click.Context, args: list[str]) -> Any:
        if args and args[0] not in COMMANDS and not args[0].startswith("-"):
            close = suggest(args[0], COMMANDS)
            raise click.UsageError(
                f"No such command {args[0]!r}." + (f" Did you mean {close!r}?" if close else ""), ctx
            )
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in COMMANDS.items()])


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.option("--config", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="YAML file with settings.")
@click.option(
    "--data-dir", type=click.Path(file_okay=False, path_type=Path), help="Folder for journal, state and graph."
)
@click.option(
    "--set", "overrides", multiple=True, metavar="SECTION.FIELD=VALUE", help="Override one setting (repeatable)."
)
@click.option("--log-level", type=click.Choice(["debug", "info", "warning", "error"]), help="Lowest level written.")
@click.version_option(package_name="homeostat")
@click.pass_context
def cli(
    ctx: click.Context, config: Path | None, data_dir: Path | None, overrides: tuple[str, ...], log_level: str | None
) -> None:
    """Homeostat heals services: it reads OpenTelemetry from Kafka, notices within seconds that something is wrong,
    works out which service caused it and why, runs the safest playbook that is likely to help, verifies with numbers
    whether it did, undoes it if not, and writes down every step.

    \b
    Begin with     homeostat demo                    a real shop, real faults, real repairs
    Then           homeostat up                      and point any OpenTelemetry SDK at it
    In production  homeostat worker --broker kafka://kafka:9092
    """
    line = [settings_sources.of_override(Settings, override) for override in overrides]
    if data_dir is not None:
        line.append(Layer("--data-dir", {"data_dir": data_dir}))
    if log_level is not None:
        line.append(Layer("--log-level", {"log": {"level": log_level}}))
    ctx.obj = _Given(settings_sources.of_file(config) if config else None, tuple(line))


@dataclass(frozen=True, slots=True)
class _Given:
    """What was said before the command's name."""

    file: Layer | None = None
    line: tuple[Layer, ...] = ()


def settings_of(
    ctx: click.Context, *, under: Mapping[str, Any] | None = None, **sections: Mapping[str, Any]
) -> Settings:
    """The settings in force for a command. `sections`: its own options (None means not given), which win over all else;
    `under`: its own defaults, over which all else wins."""
    given: _Given = ctx.obj or _Given()
    own = {name: {k: v for k, v in fields.items() if v is not None} for name, fields in sections.items()}
    options = Layer(f"options of {ctx.info_name}", own)
    return load(given.file, over=(*given.line, options), under=under)


def main() -> NoReturn:
    """Run the command line; our own errors are one line on standard error and exit status 1."""
    try:
        cli.main(standalone_mode=False)
    except click.exceptions.Exit as e:
        sys.exit(e.exit_code)
    except click.ClickException as e:
        e.show()
        sys.exit(e.exit_code)
    except click.Abort:
        sys.exit(130)
    except HomeostatError as e:
        echo(f"homeostat: {e}", err=True)
        sys.exit(1)
    except BrokenPipeError:  # who read it has seen enough
        sys.stderr.close()
        sys.exit(0)
    except OSError as e:
        where = f"{e.filename}: " if e.filename is not None else ""
        echo(f"homeostat: {where}{e.strerror or e}", err=True)
        sys.exit(1)
    sys.exit(0)
