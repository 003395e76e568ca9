"""Documentation is code: what it shows runs, what it links to exists, and what is made from the code is current."""

from __future__ import annotations

import asyncio
import itertools
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import click
import pytest
from ruamel.yaml import YAML

from connectors.actuators.command import VARIABLES
from connectors.encodings.series_points import from_json
from connectors.kafka.client import KafkaBroker
from connectors.kafka.embedded import EmbeddedBroker
from connectors.otlp.raw import decode_raw
from connectors.otlp.receiving.over_http import WRITE_PATH
from contracts import events, settings_sources
from contracts.checks import graph_rows as rows
from contracts.checks.graph_rows import T0
from contracts.errors import InvalidSettings
from contracts.events import Change, decode
from contracts.ports import GraphStore
from contracts.settings import BrokerSettings, Settings, load
from contracts.topics import CHANGES, TOPICS, partition_of
from contracts.units import SECOND
from graph.stores.ladybug import LadybugStore
from graph.topology_file import parse_topology
from homeostat import reference
from homeostat.bench.column_map import read_map
from homeostat.cli.app import cli, settings_of
from playbooks.language.reader import inspect
from tests.patience import PATIENCE_S
from tools import docs

ROOT = Path(__file__).parents[3]
PAGES = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").rglob("*.md"))]
PROSE = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)
BLOCK = re.compile(r"^```([^\n`]*)\n(.*?)^```", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\[[^\]\n]*\]\(([^)\s]+)\)")
HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)


@dataclass(frozen=True)
class Block:
    """A fenced block: the page and line it begins at, its language, the word behind that, its text."""

    page: Path
    line: int
    language: str
    mark: str
    text: str

    def __str__(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"


def blocks(language: str) -> list[Block]:
    found = []
    for page in PAGES:
        text = page.read_text("utf-8")
        for match in BLOCK.finditer(text):
            info = [*match[1].split(), "", ""]
            if info[0] == language:
                found.append(Block(page, text.count("\n", 0, match.start()) + 2, info[0], info[1], match[2]))
    return found


def cases(found: list[Block]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("block", found, ids=str)


# --- made from the code ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("page", docs.pages(), ids=lambda p: p.name)
def test_generated_parts_are_current(page: Path) -> None:
    assert page.read_text("utf-8") == docs.current(page), f"{page.name} is out of date: run `{docs.RENEW}`"


def test_every_part_that_can_be_generated_is_somewhere() -> None:
    everything = "".join(p.read_text("utf-8") for p in docs.pages())
    assert all(f"<!-- generated: {name} -->" in everything for name in docs.PARTS)
    assert len(re.findall(r"^<!-- end -->$", everything, re.MULTILINE)) == len(docs.PARTS)


def test_the_reference_knows_every_event_and_its_topic() -> None:
    kinds = {k for k in events.Event.__subclasses__() if k.__module__.startswith("contracts.")}
    assert kinds | {events.RawMeasurement} == set(reference.EVENTS)
    assert set(reference.EVENTS.values()) | set(reference.FRAMES.values()) <= set(TOPICS)
    assert all(
        TOPICS[topic].value in {kind.__name__, "JSON measurement", "CloudEvents 1.0, binary mode"}
        for kind, topic in reference.EVENTS.items()
    )


def test_a_field_is_explained_by_the_comment_beside_it_or_the_docstring_below() -> None:
    page = reference.events_reference()
    assert "| `kind` | text | **required** | deploy \\| config \\|" in page
    assert '| `why` | text | `""` | Why it won or lost, in words. |' in page
    assert "`hang` (it is there but does not answer in time" in page


# --- links -------------------------------------------------------------------------------------------------------------


def anchors(page: Path) -> set[str]:
    """As GitHub makes them from headings."""
    plain = (re.sub(r"[`*]", "", h).strip().lower() for h in HEADING.findall(PROSE.sub("", page.read_text("utf-8"))))
    return {re.sub(r"[^\w\- ]", "", h).replace(" ", "-") for h in plain}


@pytest.mark.parametrize("page", PAGES, ids=lambda p: str(p.relative_to(ROOT)))
def test_relative_links_lead_somewhere(page: Path) -> None:
    broken = []
    for link in LINK.findall(PROSE.sub("", page.read_text("utf-8"))):
        if re.match(r"[a-z]+:", link):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        if not target.exists() or (anchor and anchor not in anchors(target)):
            broken.append(link)
    assert broken == []


def test_every_page_is_linked_from_the_readme_or_another_page() -> None:
    linked = {
        (p.parent / link.partition("#")[0]).resolve() for p in PAGES for link in LINK.findall(p.read_text("utf-8"))
    }
    assert {p for p in PAGES if p.parent.name == "docs"} <= linked


# --- commands ----------------------------------------------------------------------------------------------------------


def commands(block: Block) -> Iterator[list[str]]:
    """Each command of a block: words without environment assignments, redirections, comments and what a pipe feeds."""
    for line in block.text.replace("\\\n", " ").splitlines():
        words = shlex.split(line, comments=True)
        for part in _split(words):
            if command := list(itertools.dropwhile(lambda word: re.fullmatch(r"[A-Z_]+=.*", word), part)):
                yield command


def _split(words: list[str]) -> Iterator[list[str]]:
    part: list[str] = []
    skip = False
    for word in [*words, ";"]:
        if word in {"|", "&&", "&", ";"}:
            yield part
            part = []
        elif word in {"<", ">"}:
            skip = True
        elif skip:
            skip = False
        else:
            part.append(word)


def parse(words: list[str]) -> None:
    """Parse a command line as `homeostat` would, without running it.

    Raises:
        click.UsageError, InvalidSettings: it is none. Files that are only named in the documentation may be absent.
    """
    command: click.Command = cli
    context, rest = None, words
    while True:
        try:
            context = command.make_context(command.name or "homeostat", list(rest), parent=context)
        except click.BadParameter as e:
            if "does not exist" not in e.message:
                raise
            return
        if context.parent is None:
            command.invoke_without_command = True  # type: ignore[attr-defined]
            with context:
                assert command.callback is not None
                context.invoke(command.callback, **context.params)
                settings_of(context)
        if not isinstance(command, click.Group):
            return
        rest = [*context._protected_args, *context.args]
        if not rest and command is not cli and command.invoke_without_command:
            return
        _, found, rest = command.resolve_command(context, rest)
        assert found is not None
        command = found


SHELL = blocks("sh")


@cases(SHELL)
def test_commands_exist_with_their_options(block: Block, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for words in commands(block):
        match words:
            case ["homeostat", *rest]:
                parse(rest)
            case ["make", target, *_]:
                assert target in targets, target
            case ["python", script, *_] if script.endswith(".py"):
                assert (ROOT / script).is_file(), script


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ("up --prot 1", "No such option"),
        ("graf query x", "No such command"),
        ("graph query", "Missing argument|CYPHER"),
        ("--set broker.ulr=x up", "did you mean 'broker.url'"),
        ("resume --autonomy maybe", "is not one of"),
    ],
)
def test_a_wrong_command_would_be_noticed(wrong: str, message: str) -> None:
    with pytest.raises((click.UsageError, InvalidSettings)) as caught:
        parse(shlex.split(wrong))
    said = caught.value.format_message() if isinstance(caught.value, click.UsageError) else str(caught.value)
    assert re.search(message, said), said


def test_environment_variables_in_the_docs_are_settings() -> None:
    named = {v for p in PAGES for v in re.findall(r"\bHOMEOSTAT_[A-Z_]+\b", p.read_text("utf-8"))}
    patterns = {"HOMEOSTAT_SECTION__FIELD", "HOMEOSTAT_PLUGINS__NAME__FIELD"}
    variables = dict.fromkeys(named - patterns - set(VARIABLES), "[]")
    assert len(variables) > 50
    with pytest.raises(InvalidSettings) as caught:
        settings_sources.of_environment(Settings, variables)
    assert "unknown setting" not in str(caught.value)


def test_settings_in_prose_are_settings() -> None:
    sections = {n: f.annotation for n, f in Settings.model_fields.items() if hasattr(f.annotation, "model_fields")}
    elsewhere = {"graph.stores", "graph.lbug"}  # a package, and a file
    for page in PAGES:
        if page.name == "conventions.md":  # names of telemetry, which begin as they like
            continue
        for name in re.findall(r"`(\w+\.[a-z_]+)(?::[^`]*)?`", PROSE.sub("", page.read_text("utf-8"))):
            section, _, field = name.partition(".")
            if section in sections and name not in elsewhere:
                assert field in sections[section].model_fields, f"{page.name}: {name}"


# --- other languages ---------------------------------------------------------------------------------------------------


def _collector(text: str) -> None:
    config, shipped = (YAML(typ="safe").load(t) for t in (text, (ROOT / "deploy/collector/config.yaml").read_text()))
    assert config["processors"] == shipped["processors"]
    assert config["receivers"] == shipped["receivers"]
    assert config["exporters"]["kafka"].items() <= shipped["exporters"]["kafka"].items()
    assert config["service"]["pipelines"] == shipped["service"]["pipelines"]
    topics = {v["topic"] for v in config["exporters"]["kafka"].values() if isinstance(v, dict)}
    assert topics <= set(TOPICS)


@cases([b for b in blocks("yaml") if b.page.name != "plugins.md"])  # tests/checks/plugins/test_page.py loads that one
def test_yaml(block: Block, tmp_path: Path) -> None:
    match block.mark:
        case "collector":
            _collector(block.text)
        case "settings":
            load(YAML(typ="safe").load(block.text))
        case "prometheus":
            written = {w["url"] for w in YAML(typ="safe").load(block.text)["remote_write"]}
            assert {url.partition(":4318")[2] for url in written} == {WRITE_PATH}
        case "columns":
            metrics = tmp_path / "columns.yaml"
            metrics.write_text(block.text, "utf-8")
            assert read_map(metrics).of("p90_ms") is not None
        case "topology":
            assert parse_topology(block.text, str(block), "default").calls
        case _:
            assert inspect(str(block), block.text.encode())[1] == []


def test_the_mistake_that_is_shown_is_what_lint_says() -> None:
    """docs/playbooks.md shows what becomes of its first playbook with a misspelt cause."""
    first = next(b for b in blocks("yaml") if b.page.name == "playbooks.md")
    (shown,) = (b.text.splitlines()[1] for b in blocks("console") if b.page.name == "playbooks.md")
    (problem,) = inspect("playbooks/checkout.yaml", first.text.replace("[hang,", "[hnag,").encode())[1]
    assert str(problem) == shown


@pytest.mark.parametrize(("example", "mark"), [("topology.yaml", "topology"), ("homeostat.yaml", "settings")])
def test_examples_are_what_the_pages_show(example: str, mark: str) -> None:
    shown = [b.text for b in blocks("yaml") if b.mark == mark]
    assert (ROOT / "docs/examples" / example).read_text("utf-8").partition("\n")[2] in shown


@cases([b for b in blocks("json") if b.mark == "telemetry.series"])
def test_json_is_a_point_of_a_series(block: Block) -> None:
    points, skips = from_json(block.text.encode(), 1_800_000_000 * SECOND, "prod")
    assert points
    assert not skips.counts


@cases([b for b in blocks("json") if b.mark != "telemetry.series"])
def test_json_is_a_raw_measurement(block: Block) -> None:
    assert block.mark == "telemetry.raw"
    decoded = decode_raw(block.text.encode())
    assert decoded.spans is not None
    assert decoded.points is not None
    assert (len(decoded.spans), decoded.spans.error.tolist()) == (3, [False, False, True])
    assert decoded.skipped == {}


@pytest.fixture(scope="module")
def store() -> Iterator[GraphStore]:
    """An incident in a shop: web calls cart calls the database, which is to blame."""
    store = LadybugStore()
    store.migrate()
    names = ("web", "shop/cart", "db:postgresql/orders")
    store.write("upsert_services", [rows.service(n) for n in names])
    store.write("upsert_calls", [rows.call(a, b) for a, b in itertools.pairwise(names)])
    store.write("upsert_anomalies", [rows.anomaly("x", "web"), rows.anomaly("y", "shop/cart")])
    store.write("upsert_incidents", [rows.incident("inc-1", ["x", "y"])])
    store.write("upsert_causes", [rows.cause("inc-1", names[-1], 1), rows.cause("inc-1", "web", 2)])
    store.write("upsert_changes", [rows.change("c", names[-1], time=T0 - 60 * SECOND)])
    store.write("upsert_actions", [rows.action("run-1", "inc-1", names[-1], outcome="better")])
    store.write("upsert_objects", [rows.thing("Deployment", "cart"), rows.thing("Pod", "p"), rows.thing("Node", "n1")])
    store.write(
        "link_objects", [rows.link("deployment/cart", "owns", "pod/p"), rows.link("pod/p", "runs_on", "node/n1")]
    )
    store.write("link_services", [rows.deployed("shop/cart", "deployment/cart")])
    yield store
    store.close()


PARAMETERS = {"incident": "inc-1", "at": T0 + SECOND, "environment": "e", "service": "shop/cart"}


def _ask(store: GraphStore, text: str) -> list[dict[str, object]]:
    return store.query(text, {n: v for n, v in PARAMETERS.items() if f"${n}" in text})


@cases(blocks("cypher"))
def test_cypher_runs_and_finds_something(block: Block, store: GraphStore) -> None:
    assert _ask(store, block.text)


@cases(SHELL)
def test_queries_on_the_command_line_run(block: Block, store: GraphStore) -> None:
    for words in commands(block):
        if words[:3] == ["homeostat", "graph", "query"]:
            assert _ask(store, words[-1])


# --- examples ----------------------------------------------------------------------------------------------------------


async def test_announcing_a_change() -> None:
    broker = EmbeddedBroker(BrokerSettings())
    await broker.start()
    try:
        await broker.ensure_topics(4)
        told = ["--environment", "production", "--service", "shop/cart", "--before", "1.4.1", "--after", "1.4.2"]
        script = ROOT / "docs/examples/announce_change.py"
        run = [sys.executable, str(script), "--bootstrap", broker.bootstrap, *told]
        done = await asyncio.to_thread(
            subprocess.run, run, capture_output=True, text=True, timeout=PATIENCE_S, check=False
        )
        assert done.returncode == 0, done.stderr
        (record,) = [r async for r in KafkaBroker.read(broker, [CHANGES])]
    finally:
        await broker.stop()
    change = decode(Change, record.value)
    assert (change.service, change.kind, change.before, change.after) == ("shop/cart", "deploy", "1.4.1", "1.4.2")
    assert record.partition == partition_of("production", 4)
    assert record.key == b"shop/cart"
