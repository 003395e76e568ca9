"""Settings: every source times every kind of setting, which source wins, and where a mistake is said to be."""

from __future__ import annotations

import itertools
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr
from ruamel.yaml import YAML

from contracts import settings_sources
from contracts.errors import InvalidSettings
from contracts.secrets import MASK
from contracts.settings import Settings, load, shown
from contracts.settings_sources import PREFIX, Layer

ROOT = Path(__file__).resolve().parents[3]


@dataclass(frozen=True)
class Kind:
    """A kind of setting: where, and three values with the text that stands for each."""

    path: str
    values: tuple[Any, Any, Any]
    texts: tuple[str, str, str]
    read: Callable[[Any], Any] = field(default=lambda value: value)


KINDS = {
    "whole number": Kind("ingest.window_ms", (500, 2000, 3000), ("500", "2000", "3000")),
    "duration": Kind("ingest.max_delay_s", (2.5, 60.0, 1e3), ("2.5", "60", "1e3")),
    "probability": Kind("detect.open_p", (0.5, 0.001, 1e-5), ("0.5", "0.001", "1e-5")),
    "bool": Kind("act.library", (False, True, False), ("false", "yes", "0")),
    "word": Kind("graph.database", ("a", "007", "true"), ("a", "007", "true")),
    "choice": Kind("log.level", ("debug", "error", "warning"), ("debug", "error", "warning")),
    "top level": Kind("environment", ("prod", "[a]", "1"), ("prod", "[a]", "1")),
    "secret": Kind(
        "broker.password",
        ("p: [=#ü", "1234", "null"),
        ("p: [=#ü", "1234", "null"),
        lambda v: v.get_secret_value(),
    ),
    "list": Kind(
        "act.actuators", (["dry-run"], ["process", "webhook"], []), ("[dry-run]", '["process", "webhook"]', "[]"), list
    ),
    "list of words": Kind(
        "kubernetes.service_labels", (["app"], ["a.b/c"], ["x", "y"]), ("[app]", "[a.b/c]", "[x, y]"), list
    ),
    "path": Kind("broker.ca_file", (Path("/a"), Path("b.crt"), None), ("/a", "b.crt", "")),
    "map": Kind(
        "act.webhooks",
        ({"pager": "http://a/1"}, {"pager": "http://a/2?x=y"}, {"pager": "c"}),
        ("{pager: http://a/1}", '{"pager": "http://a/2?x=y"}', "{pager: c}"),
        lambda v: {name: url.get_secret_value() for name, url in v.items()},
    ),
    "entry of a map": Kind(
        "act.webhooks.pager",
        ("http://a/1", "http://a/2", "3"),
        ("http://a/1", "http://a/2", "3"),
        SecretStr.get_secret_value,
    ),
    "list in a map": Kind("act.commands.flush", (["a", "-b"], ["c"], ["d", "1"]), ("[a, -b]", "[c]", "[d, '1']"), list),
}
SOURCES = ("default of the command", "file", "environment", "set", "option")


def layered(kind: Kind, said: Mapping[str, int], tmp_path: Path) -> Settings:
    """Settings where each source in `said` gives the value of that number."""
    nested: dict[str, Any] = {}
    for source, number in said.items():
        value: Any = kind.values[number]
        if isinstance(value, Path):
            value = str(value)
        for part in reversed(kind.path.split(".")):
            value = {part: value}
        nested[source] = value
    file = tmp_path / "homeostat.yaml"
    with file.open("w") as f:
        YAML(typ="safe").dump(nested.get("file", {}), f)
    texts = {source: kind.texts[number] for source, number in said.items()}
    variable = PREFIX + kind.path.replace(".", "__").upper()
    over = [settings_sources.of_override(Settings, f"{kind.path}={texts['set']}")] if "set" in texts else []
    over += [Layer("option", nested["option"])] if "option" in nested else []
    return load(
        settings_sources.of_file(file),
        under=nested.get("default of the command"),
        environ={variable: texts["environment"]} if "environment" in texts else {},
        over=over,
    )


def value_of(settings: Settings, kind: Kind) -> Any:
    at: Any = settings
    for part in kind.path.split("."):
        at = at[part] if isinstance(at, dict) else getattr(at, part)
    return kind.read(at)


@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize("name", KINDS)
def test_every_source_gives_every_kind(name: str, source: str, tmp_path: Path) -> None:
    kind = KINDS[name]
    for number, wanted in enumerate(kind.values):
        assert value_of(layered(kind, {source: number}, tmp_path), kind) == wanted


@pytest.mark.parametrize(("low", "high"), list(itertools.combinations(SOURCES, 2)))
@pytest.mark.parametrize("name", KINDS)
def test_the_higher_source_wins_for_every_kind(name: str, low: str, high: str, tmp_path: Path) -> None:
    kind = KINDS[name]
    for one, other in itertools.permutations(range(3), 2):
        assert value_of(layered(kind, {low: one, high: other}, tmp_path), kind) == kind.values[other]


def test_sections_and_maps_are_put_together_and_lists_are_not() -> None:
    found = load(
        {"ingest": {"window_ms": 500}, "act": {"webhooks": {"a": "1"}, "actuators": ["process"]}},
        environ={"HOMEOSTAT_INGEST__FLUSH_MS": "50", "HOMEOSTAT_ACT__WEBHOOKS__B": "2"},
        over=[
            settings_sources.of_override(Settings, text) for text in ("act.webhooks.c.d=3", "act.actuators=[dry-run]")
        ],
    )
    assert (found.ingest.window_ms, found.ingest.flush_ms) == (500, 50)
    assert {n: u.get_secret_value() for n, u in found.act.webhooks.items()} == {"a": "1", "b": "2", "c.d": "3"}
    assert found.act.actuators == ("dry-run",)


def test_a_section_may_be_given_whole_or_left_empty() -> None:
    found = load(
        {"ingest": None},
        environ={"HOMEOSTAT_RECEIVERS": "{enabled: false, http_port: 5}", "HOMEOSTAT_RECEIVERS__HTTP_PORT": "6"},
    )
    assert (found.receivers.enabled, found.receivers.http_port) == (False, 6)


# --- mistakes ----------------------------------------------------------------------------------------------------------

MISSPELT = {
    "recievers.enabled": ("receivers.enabled", 3),
    "broker.ulr": ("broker.url", 4),
    "grpc_port": ("receivers.grpc_port", 3),
    "api_port": ("api.port", 3),
    "datadir": ("data_dir", 3),
    "detect.warmup_window": ("detect.warmup_windows", 4),
    "act.webhook.pager": ("act.webhooks", 4),
}
"""Wrong name -> the right one, and the line of the first wrong part in the file that the test writes."""


@pytest.mark.parametrize("wrong", MISSPELT)
def test_a_misspelt_name_is_refused_with_its_place_and_the_right_one(wrong: str, tmp_path: Path) -> None:
    right, line = MISSPELT[wrong]
    file, parts = tmp_path / "homeostat.yaml", wrong.split(".")
    nested = "".join(f"{'  ' * depth}{part}:\n" for depth, part in enumerate(parts)).rstrip()
    file.write_text(f"# a comment\nenvironment: prod\n{nested} true\n")
    with pytest.raises(InvalidSettings, match=re.escape(f"{file}:{line}: ") + ".*unknown setting, did you mean"):
        load(settings_sources.of_file(file), environ={})
    variable = PREFIX + wrong.replace(".", "__").upper()
    meant = PREFIX + right.replace(".", "__").upper()
    with pytest.raises(InvalidSettings, match=rf"variable {variable}: unknown setting, did you mean {meant}\?"):
        load(environ={variable: "true"})
    with pytest.raises(InvalidSettings, match=f"--set {wrong}: unknown setting, did you mean '{right}'"):
        settings_sources.of_override(Settings, f"{wrong}=true")


def test_every_mistake_of_the_environment_is_said_at_once() -> None:
    with pytest.raises(InvalidSettings) as caught:
        load(environ={"HOMEOSTAT_BROKR__URL": "x", "HOMEOSTAT_API_PORT": "8790", "homeostat_log__levle": "x"})
    assert [
        text in str(caught.value) for text in ("BROKR", "API_PORT: unknown", "did you mean HOMEOSTAT_LOG__LEVEL?")
    ] == [True] * 3


def test_variables_of_others_are_none_of_our_business() -> None:
    links = {
        "HOMEOSTAT_SERVICE_HOST": "10.0.0.1",
        "HOMEOSTAT_SERVICE_PORT": "8790",
        "HOMEOSTAT_SERVICE_PORT_API": "8790",
        "HOMEOSTAT_PORT": "tcp://10.0.0.1:8790",
        "HOMEOSTAT_PORT_8790_TCP": "tcp://10.0.0.1:8790",
        "HOMEOSTAT_PORT_8790_TCP_ADDR": "10.0.0.1",
        "HOMEOSTAT_API_SERVICE_HOST": "10.0.0.1",
        "HOMEOSTAT_API_PORT": "tcp://10.0.0.1:8790",
        "PATH": "/bin",
    }
    assert load(environ=links | dict.fromkeys((PREFIX + name for name in settings_sources.OTHERS), "x")) == Settings()


def test_no_variable_that_tests_read_is_refused_as_a_setting() -> None:
    read = re.compile(rf'environ(?:\.get\(|\[)"{PREFIX}(\w+)"')
    files = sorted((ROOT / "tests").rglob("*.py"))
    found = {name for file in files for name in read.findall(file.read_text(encoding="utf-8"))}
    assert {"SERVICES_CACHE", "WRITE_GOLDEN"} <= found
    assert found <= set(settings_sources.OTHERS)


def test_a_wrong_value_is_said_with_the_source_that_had_the_last_word(tmp_path: Path) -> None:
    file = tmp_path / "homeostat.yaml"
    file.write_text("broker:\n  url: kafka://a:1\n  partitions: 0\nreceivers: 5\n")
    with pytest.raises(InvalidSettings) as caught:
        load(
            settings_sources.of_file(file),
            environ={"HOMEOSTAT_INGEST__WINDOW_MS": "fast", "HOMEOSTAT_LOG__LEVEL": "loud"},
        )
    text = str(caught.value)
    assert f"{file}:3: broker.partitions: Input should be greater than or equal to 1" in text
    assert f"{file}:4: receivers: a mapping of settings is expected" in text
    assert "environment variable HOMEOSTAT_INGEST__WINDOW_MS: ingest.window_ms: Input should be a valid integer" in text
    assert "environment variable HOMEOSTAT_LOG__LEVEL: log.level" in text
    with pytest.raises(InvalidSettings, match=r"--set act\.actuators: a list, as \[a, b\] is expected"):
        settings_sources.of_override(Settings, "act.actuators=dry-run")


def test_no_mistake_repeats_a_secret() -> None:
    for make in (
        lambda: settings_sources.of_override(Settings, "broker.pasword=hunter2"),
        lambda: settings_sources.of_override(Settings, "act.webhooks=hunter2"),
        lambda: load(environ={"HOMEOSTAT_BROKER__PASSWRD": "hunter2"}),
        lambda: load({"graph": {"password": ["hunter2"]}}, environ={}),
        lambda: load({"act": {"webhooks": {"a": {"url": "hunter2"}}}}, environ={}),
    ):
        with pytest.raises(InvalidSettings) as caught:
            make()
        assert "hunter2" not in str(caught.value)


# --- shown -------------------------------------------------------------------------------------------------------------


def test_secrets_are_masked_wherever_they_are() -> None:
    found = load(
        {
            "broker": {"password": "hunter2"},
            "graph": {"password": "hunter2", "url": "bolt://neo:" + "hunter2@graph:7687"},
            "act": {
                "policy": "https://user:" + "hunter2@opa/v1",
                "webhooks": {"pager": "https://hooks.example.com/hunter2"},
                "commands": {
                    "flush": ["curl", "-H", "Authorization: Bearer hunter2", "--token", "hunter2", "--data", "kept"],
                    "other": ["redis-cli", "--password=hunter2", "-n", "7"],
                },
            },
        },
        environ={},
    )
    text = str(shown(found))
    assert "hunter2" not in text
    assert "hunter2" not in repr(found.act.webhooks) + found.act.model_dump_json(exclude={"commands", "policy"})
    assert shown(found)["graph"]["url"] == f"bolt://{MASK}@graph:7687"
    assert shown(found)["act"]["commands"]["flush"][-1] == "kept"
    assert shown(found)["act"]["commands"]["other"][-2:] == ["-n", "7"]


# --- what is shipped ---------------------------------------------------------------------------------------------------


def test_the_image_listens_on_all_interfaces() -> None:
    lines = (ROOT / "Dockerfile").read_text().replace("\\\n", " ").splitlines()
    variables = dict(
        pair.split("=", 1)
        for line in lines
        if line.startswith("ENV ")
        for pair in line.split()[1:]
        if pair.startswith(PREFIX)
    )
    found = load(environ=variables)
    exposed = {int(port) for line in lines if line.startswith("EXPOSE ") for port in line.split()[1:]}
    assert exposed == {found.receivers.grpc_port, found.receivers.http_port, found.api.port}
    assert {found.receivers.host, found.api.host} == {"0.0.0.0"}


def test_this_process_is_asked_where_no_environment_is_given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(os.environ, "HOMEOSTAT_ENVIRONMENT", "here")
    assert load().environment == "here"
