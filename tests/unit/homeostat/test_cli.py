"""The command line, command by command: what it prints, and how it ends."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from contracts.settings import GraphSettings, Settings
from contracts.topics import TOPICS
from graph.stores import open_store
from homeostat.cli.app import COMMANDS, cli
from homeostat.reference import settings_reference
from playbooks.language import reader

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
    assert found.exit_code == 1
    assert "incident" in str(found.exception)


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
