"""The command line, command by command: what it prints, and how it ends."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result

from contracts.settings import GraphSettings, Settings
from contracts.topics import TOPICS
from graph.stores import open_store
from homeostat.cli import run
from homeostat.cli.app import COMMANDS, cli
from homeostat.reference import settings_reference
from playbooks.language import reader
from tests.patience import PATIENCE_S

BAD = Path(__file__).resolve().parents[2] / "testdata" / "bad_playbooks"


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return tmp_path / "data"


def invoke(data: Path, *arguments: str) -> Result:
    return CliRunner().invoke(cli, ["--data-dir", str(data), *arguments])


def printed(data: Path, *arguments: str) -> str:
    found = invoke(data, *arguments)
    assert found.exit_code == 0, found.output
    return found.stdout


def test_help_lists_every_command_and_each_has_its_own(data: Path) -> None:
    text = printed(data, "--help")
    assert all(f"  {name} " in text for name in COMMANDS)
    for name in COMMANDS:
        assert f"{name} " in printed(data, name, "--help")


def test_settings_in_force(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "homeostat.yaml"
    file.write_text("detect: {open_p: 0.001, seed: 1, warmup_windows: 40}\ngraph: {password: hush}\n")
    monkeypatch.setenv("HOMEOSTAT_DETECT__SEED", "2")
    text = printed(data, "--config", str(file), "--set", "detect.warmup_windows=50", "settings")
    found = json.loads(text)
    assert found["detect"]["open_p"] == 0.001, "from the file"
    assert found["detect"]["seed"] == 2, "the environment comes before the file"
    assert found["detect"]["warmup_windows"] == 50, "the command line comes before the file"
    assert found["data_dir"] == str(data)
    assert "hush" not in text


def test_the_settings_reference_names_every_setting(data: Path) -> None:
    text = printed(data, "settings", "--reference")
    assert text == settings_reference()
    for section in Settings.model_fields.values():
        fields = getattr(section.annotation, "model_fields", {})
        assert all(f".{name}`" in text for name in fields)


def test_topics(data: Path) -> None:
    lines = printed(data, "topics", "list").splitlines()
    assert [line.split()[0] for line in lines] == list(TOPICS)


def test_the_library_is_listed_and_free_of_mistakes(data: Path) -> None:
    lines = printed(data, "playbook", "list").splitlines()
    assert [line.split()[0] for line in lines] == [p.name for p in reader.library()]


@pytest.mark.parametrize("name", ["unknown_key", "cel_syntax", "many_at_once"])
def test_lint_says_where_and_what_and_fails(data: Path, name: str) -> None:
    found = invoke(data, "playbook", "lint", str(BAD / f"{name}.yaml"))
    wanted = (BAD / f"{name}.txt").read_text().splitlines()
    assert found.exit_code == 1
    assert len(found.stdout.splitlines()) == len(wanted)
    assert all(f"{name}.yaml:" in line for line in found.stdout.splitlines())


def test_lint_of_what_is_right(data: Path, tmp_path: Path) -> None:
    source = Path(reader.__file__).parents[1] / "library" / "restart-hung-service.yaml"
    assert "1 playbooks, no mistakes" in printed(data, "playbook", "lint", str(source))
    schema = json.loads(printed(data, "playbook", "schema"))
    assert {"apiVersion", "kind", "metadata", "steps"} <= set(schema["properties"])


@pytest.fixture
def known(data: Path) -> Path:
    """A folder with a graph of two services."""
    data.mkdir()
    store = open_store(GraphSettings(), data)
    try:
        store.query("CREATE (:Service {key: 'default|a', service: 'a', environment: 'default'})", read_only=False)
        store.query("CREATE (:Service {key: 'default|b', service: 'b', environment: 'default'})", read_only=False)
    finally:
        store.close()
    return data


def test_graph_query_as_json_lines_and_as_a_table(known: Path) -> None:
    question = "MATCH (s:Service) WHERE s.service >= $least RETURN s.service AS name ORDER BY name"
    as_json = invoke(known, "graph", "query", question, "-p", 'least="a"', "--json")
    assert [json.loads(line) for line in as_json.stdout.splitlines()] == [{"name": "a"}, {"name": "b"}]
    assert as_json.stderr == "2 rows\n"
    table = invoke(known, "graph", "query", question, "-p", "least=b")
    assert "name" in table.stdout
    assert table.stderr == "1 row\n"


def test_the_graph_is_only_read(known: Path) -> None:
    found = invoke(known, "graph", "query", "MATCH (s:Service) DELETE s")
    assert found.exit_code == 1
    assert invoke(known, "graph", "query", "MATCH (s:Service) RETURN s.key AS k", "--json").stderr == "2 rows\n"


def test_without_incidents_why_says_so(known: Path) -> None:
    found = invoke(known, "why")
    assert found.exit_code == 0
    assert "no incident is open: there was none so far" in found.stdout
    assert "no running `homeostat up` uses" in found.stdout, "and that nobody looks"
    assert json.loads(printed(known, "why", "--json")) is None
    assert invoke(known, "why", "inc-7").exit_code == 1


def test_doctor_without_anything_running_says_what_to_fix(data: Path) -> None:
    found = invoke(data, "doctor")
    assert found.exit_code == 1
    assert "FIX broker" in found.stdout
    assert "-> start it, or say where Kafka is: --broker kafka://host:9092" in found.stdout
    assert "ok  data" in found.stdout
    assert f"{len(reader.library())} playbooks, no mistakes" in found.stdout


def test_send_raw_wants_one_of_two(data: Path) -> None:
    assert invoke(data, "send-raw").exit_code == 2
    assert invoke(data, "send-raw", "cart", "--stdin").exit_code == 2


def context_of(*words: str) -> click.Context:
    """The context of a subcommand, parsed as from the command line, its own callback not called."""
    root = cli.make_context("homeostat", list(words))
    with root:
        assert cli.callback is not None
        root.invoke(cli.callback, **root.params)
    name, command, rest = cli.resolve_command(root, [*root._protected_args, *root.args])
    assert command is not None
    return command.make_context(name, rest, parent=root)


def settings_that_run(monkeypatch: pytest.MonkeyPatch, *words: str) -> Settings:
    """What `up` or `worker` would run with."""
    ran: list[Settings] = []
    monkeypatch.setattr(run, "_run", ran.append)
    ctx = context_of(*words)
    with ctx:
        ctx.invoke(ctx.command.callback, **ctx.params)  # type: ignore[arg-type]
    return ran[0]


WORKER = ("worker", "--broker", "kafka://k:9092")


@pytest.mark.parametrize(
    ("file", "variable", "words", "enabled"),
    [
        ("", "", ("up",), True),
        ("", "", WORKER, False),
        ("receivers: {enabled: true}", "", WORKER, True),
        ("receivers: {enabled: true}", "", (*WORKER, "--no-receive"), False),
        ("receivers: {enabled: true}", "false", WORKER, False),
        ("receivers: {enabled: false}", "", ("up",), False),
        ("receivers: {enabled: false}", "", (*WORKER, "--receive"), True),
        ("", "true", WORKER, True),
        ("", "false", ("up",), False),
        ("", "false", ("--set", "receivers.enabled=true", *WORKER), True),
        ("receivers: {http_port: 1}", "", WORKER, False),
    ],
)
def test_who_listens(
    file: str, variable: str, words: tuple[str, ...], enabled: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = tmp_path / "homeostat.yaml"
    config.write_text(file)
    if variable:
        monkeypatch.setenv("HOMEOSTAT_RECEIVERS__ENABLED", variable)
    assert settings_that_run(monkeypatch, "--config", str(config), *words).receivers.enabled is enabled


def test_the_command_line_wins_over_the_environment_and_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = tmp_path / "homeostat.yaml"
    config.write_text("act: {actuators: [kubernetes]}\napi: {port: 1}\ndata_dir: of-file\nlog: {level: error}\n")
    for name, text in (
        ("ACT__ACTUATORS", "[process]"),
        ("API__PORT", "2"),
        ("DATA_DIR", "of-env"),
        ("LOG__LEVEL", "info"),
    ):
        monkeypatch.setenv(f"HOMEOSTAT_{name}", text)
    found = settings_that_run(monkeypatch, "--config", str(config), "up")
    assert (found.act.actuators, found.api.port, found.data_dir, found.log.level) == (
        ("process",),
        2,
        Path("of-env"),
        "info",
    )
    line = ("--set", "act.actuators=[dry-run]", "--set", "api.port=3", "--data-dir", "of-line", "--log-level", "debug")
    found = settings_that_run(monkeypatch, "--config", str(config), *line, "up", "--api-port", "4")
    assert (found.act.actuators, found.api.port, found.data_dir, found.log.level) == (
        ("dry-run",),
        4,
        Path("of-line"),
        "debug",
    )


def test_settings_shows_no_secret(data: Path) -> None:
    text = printed(data, "--set", "act.webhooks.pager=https://hooks.example.com/hunter2", "settings")
    assert "pager" in text
    assert "hunter2" not in text


@pytest.mark.parametrize("command", ["up", "doctor"])
def test_a_folder_that_cannot_be_made_is_one_clear_line(command: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    words = [sys.executable, "-m", "homeostat", "--data-dir", str(tmp_path / "file" / "data"), command]
    found = subprocess.run(words, capture_output=True, text=True, check=False, timeout=PATIENCE_S)
    assert found.returncode == 1
    assert "cannot be made: not a directory" in found.stdout + found.stderr
    assert "set another data_dir" in found.stdout + found.stderr
    assert "Traceback" not in found.stderr


def test_any_file_that_cannot_be_written_is_one_clear_line(tmp_path: Path) -> None:
    report = tmp_path / "missing" / "report.json"
    script = (
        "import homeostat.cli.app as app, click\n"
        f"app.cli.get_command = lambda *_: click.Command('x', callback=lambda: open({str(report)!r}, 'w'))\n"
        "app.main()\n"
    )
    found = subprocess.run([sys.executable, "-c", script, "topics"], capture_output=True, text=True, check=False)
    assert (found.returncode, found.stderr) == (1, f"homeostat: {report}: No such file or directory\n")


NAMING = """
apiVersion: homeostat.io/v1
kind: Playbook
metadata: {name: call-someone, version: "1", description: Calls what the settings should name.}

tier: 3
trigger: {match: {cause: [crash]}}
steps:
  - {name: page, action: webhook, with: {name: pagr}}
rollback: []
"""


def test_names_that_no_setting_defines_fail_lint_and_doctor(data: Path, tmp_path: Path) -> None:
    file = tmp_path / "call.yaml"
    file.write_text(NAMING)
    found = invoke(data, "playbook", "lint", str(file))
    assert found.exit_code == 1
    assert f"{file}:9:48: no setting act.webhooks defines 'pagr'; there are: none [not_in_settings]" in found.stdout
    near = invoke(data, "--set", "act.webhooks.pager=http://x", "playbook", "lint", str(file))
    assert "did you mean 'pager'?" in near.stdout
    assert "no mistakes" in printed(data, "--set", "act.webhooks.pagr=http://x", "playbook", "lint", str(file))
    assert "no mistakes" in printed(data, "playbook", "lint", "--without-settings", str(file))
    told = invoke(data, "--set", f"act.playbooks=[{file}]", "doctor")
    assert told.exit_code == 1
    assert "no setting act.webhooks defines 'pagr'" in told.stdout


def test_doctor_says_which_playbooks_wait_for_a_webhook(data: Path) -> None:
    told = invoke(data, "doctor").stdout
    assert "page-dependency-owner, page-network-owner can never be chosen: nothing defines act.webhooks.pager" in told
    assert "-> set act.webhooks.pager" in told
    assert "can never be chosen" not in invoke(data, "--set", "act.webhooks.pager=http://127.0.0.1:1", "doctor").stdout


def test_doctor_says_which_playbooks_wait_for_somebody_who_does_it(data: Path) -> None:
    acting = ["--set", "act.actuators=[webhook]", "--set", "act.webhooks.pager=http://127.0.0.1:1"]
    told = invoke(data, *acting, "doctor").stdout
    assert "shift-traffic-from-bad-path, turn-off-flag can never be chosen: nothing defines act.actions.flag" in told
    done = [*acting, "--set", "act.actions={flag: webhook:pager, shift: webhook:pager}"]
    assert "can never be chosen" not in invoke(data, *done, "doctor").stdout


def test_a_playbook_is_shown_as_its_file_and_as_it_was_read(data: Path) -> None:
    text = printed(data, "playbook", "show", "restart-hung-service")
    assert "name: restart-hung-service" in text
    found = json.loads(printed(data, "playbook", "show", "restart-hung-service", "--json"))
    assert found["name"] == "restart-hung-service"
    missing = invoke(data, "playbook", "show", "restart-hang-service")
    assert "did you mean 'restart-hung-service'?" in str(missing.exception)


def test_text_of_playbooks_has_no_marks_of_the_yaml_reader(data: Path) -> None:
    for p in reader.library():
        assert p.description.replace("\n", " ").isprintable(), p.name
