"""What docstrings and pages name is there: modules, files, commands, flags, settings, topics, endpoints, metrics, alerts.

A name is what stands in backticks. What a package's docstring says lives there is named so, and everything that lives there is named.
"""

from __future__ import annotations

import ast
import importlib
import importlib.util
import re
import shlex
import subprocess
import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import click
import pytest

from contracts import plugins
from contracts.settings import Settings
from contracts.settings_sources import names
from contracts.topics import TOPICS
from homeostat.cli.app import cli
from homeostat.metrics import METRICS
from tools.names import PACKAGES

ROOT = Path(__file__).resolve().parents[3]
PAGES = [p for p in (*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").rglob("*.md"))) if p.name != "CHANGELOG.md"]
FENCED = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)
TICKED = re.compile(r"(?<!`)`([^`\n]+)`(?!`)")
FILE = re.compile(r"[\w-]*\.(py|md|ya?ml|sqlite|lbug|json|rego|toml|lock|cypher|sql|sh|example)$")
OTHERS = {"shared", "dist"}
"""Folders that are made, or lie beside the repository."""
EXAMPLES = {"--token"}
"""Options of others, named as examples."""
ENCODINGS = {"otlp_proto", "otlp_json"}
"""What a Collector calls its encodings; no topics."""


@cache
def tracked() -> frozenset[str]:
    listed = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    files = set(listed.stdout.split())
    return frozenset(files | {str(parent) for f in files for parent in Path(f).parents})


@cache
def sources() -> str:
    return "\n".join(p.read_text("utf-8") for package in PACKAGES for p in sorted((ROOT / package).rglob("*.py")))


@cache
def options() -> frozenset[str]:
    def of(command: click.Command) -> Iterator[str]:
        yield from (o for p in command.params for o in (*p.opts, *p.secondary_opts))
        if isinstance(command, click.Group):
            context = click.Context(command)
            for name in command.list_commands(context):
                found = command.get_command(context, name)
                assert found is not None
                yield from of(found)

    return frozenset({*of(cli), "--help", "--version"})


@cache
def groups() -> frozenset[str]:
    """Entry-point groups that some code reads."""
    return frozenset(plugins.GROUPS)


def there(name: str) -> bool | None:  # noqa: PLR0911 - a table, read from top to bottom
    """Whether what a name stands for exists; None for what is no name of ours."""
    if name.startswith(("homeostat ", "make ")):
        return _command(name)
    if " " in name or re.search(r"[<>|*{}()=…:]", name):
        return None
    if name.startswith("-"):
        return name in options() | EXAMPLES if name.startswith("--") else None
    if re.fullmatch(r"/[a-z]+", name):
        return f'"{name}"' in sources()
    if name.startswith("homeostat_"):
        base = name.removesuffix("_total").removeprefix("homeostat_")
        return base in METRICS
    if re.fullmatch(r"Homeostat[A-Z]\w+", name):
        return f"alert: {name}\n" in (ROOT / "deploy/prometheus/alerts.yaml").read_text("utf-8")
    if "/" in name:
        return _path(name)
    if re.match(r"(telemetry|autonomous)\.[a-z]+$|otlp_[a-z]+$", name):
        return name in {*TOPICS, *ENCODINGS} or _dotted(name)
    if name.partition(".")[0] in PACKAGES and "." in name:
        return name in {*TOPICS, *names(Settings), *groups()} or _file(name) or _dotted(name)
    return _file(name) if FILE.match(name) else None


def _command(text: str) -> bool:
    words = [w for w in shlex.split(text.replace("…", "")) if w]
    if words[0] == "make":
        return re.search(rf"^{words[1]}:", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE) is not None
    command: click.Command = cli
    for word in words[1:]:
        if word.startswith("--"):
            if word.partition("=")[0] not in options():
                return False
        elif isinstance(command, click.Group):
            found = command.get_command(click.Context(command), word)
            if found is None:
                return False
            command = found
    return True


def _path(name: str) -> bool | None:
    first, bare = name.partition("/")[0], name.strip("/").removeprefix("../")
    if name.startswith("/") or bare.partition("/")[0] in OTHERS or "://" in name:
        return None
    if (ROOT / first).exists() or name.endswith("/") or FILE.match(Path(name).name):
        return bare in tracked() or any(t.endswith(f"/{bare}") for t in tracked()) or f'"{bare}"' in sources()
    return None


def _file(name: str) -> bool:
    """A file of the repository, or one that the code makes."""
    return any(t == name or t.endswith(f"/{name}") for t in tracked()) or f'"{name}"' in sources()


def _dotted(name: str) -> bool:
    parts = name.split(".")
    for i in range(len(parts), 0, -1):
        try:
            if importlib.util.find_spec(".".join(parts[:i])) is None:
                continue
        except ModuleNotFoundError:
            continue
        at: object = importlib.import_module(".".join(parts[:i]))
        for part in parts[i:]:
            if not hasattr(at, part):
                return False
            at = getattr(at, part)
        return True
    return False


def modules() -> list[Path]:
    return [p for package in PACKAGES for p in sorted((ROOT / package).rglob("*.py"))]


def docstring(path: Path) -> str:
    return ast.get_docstring(ast.parse(path.read_text("utf-8"))) or ""


@pytest.mark.parametrize("page", PAGES, ids=lambda p: str(p.relative_to(ROOT)))
def test_pages_name_what_is_there(page: Path) -> None:
    named = set(TICKED.findall(FENCED.sub("", page.read_text("utf-8"))))
    assert [n for n in sorted(named) if there(n) is False] == []


def test_docstrings_of_modules_name_what_is_there() -> None:
    missing = {
        f"{path.relative_to(ROOT)}: {name}"
        for path in modules()
        for name in TICKED.findall(docstring(path))
        if there(name) is False
    }
    assert missing == set()


@pytest.mark.parametrize("package", PACKAGES)
def test_a_package_names_all_that_lives_there_and_nothing_else(package: str) -> None:
    folder = ROOT / package
    inside = {
        p.name for p in folder.iterdir() if (p / "__init__.py").exists() or (p.is_dir() and list(p.glob("*.yaml")))
    }
    inside |= {p.stem for p in folder.glob("*.py") if not p.stem.startswith("__")}
    said = docstring(folder / "__init__.py").partition("Never here")[0].partition("Here live")[2]
    named = set(TICKED.findall(said))
    assert {n for n in named if n not in inside and not there(n)} == set(), "promised and not there"
    folders = {name for name in inside if (folder / name).is_dir()}
    assert folders - named == set(), "there and not named"


def glossary() -> frozenset[str]:
    """Words that the glossary replaces by others: its tables' last column."""
    rows = [line.strip("| ").split("|") for line in (ROOT / "docs/glossary.md").read_text("utf-8").splitlines()]
    return frozenset(
        w.strip() for r in rows if len(r) == 3 and r[2].strip() not in {"not", "---"} for w in r[2].split(",")
    )


def test_nothing_bears_a_name_that_the_glossary_replaces() -> None:
    replaced = glossary()
    assert {"turns", "overhearing", "knock"} <= replaced
    wrong = []
    for path in modules():
        tree = ast.parse(path.read_text("utf-8"))
        names = {
            path.stem,
            *(n.name.strip("_") for n in ast.walk(tree) if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef)),
        }
        for node in ast.walk(tree):
            if isinstance(node, ast.ClassDef):
                names.update(w.lower() for w in re.findall(r"[A-Z][a-z]+", node.name))
        wrong += [f"{path.relative_to(ROOT)}: {name}" for name in sorted(names & replaced)]
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize(
    "wrong",
    [
        "homeostat.apy",
        "models/drift.py",
        "homeostat playbook sing",
        "homeostat watch --loud",
        "--lokal",
        "telemetry.anomaly",
        "graph.qeue",
        "homeostat.sinck",
        "streams/wurker/",
        "homeostat_laags",
        "HomeostatIsSad",
        "/healthy",
        "sqlight.py",
        "make peace",
        "contracts.checks.nothing",
    ],
)
def test_a_name_of_nothing_would_be_noticed(wrong: str) -> None:
    assert there(wrong) is False


@pytest.mark.parametrize(
    "example", ["shop/17", "application/json", "namespace/name", "service.name", "GET /x", "a → b"]
)
def test_examples_are_no_names(example: str) -> None:
    assert there(example) is None


def test_entry_point_groups_that_are_declared_are_read() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    assert set(project.get("entry-points", {})) <= groups()
    read = re.findall(r'PluginRegistry\(\s*"(\w+)"', sources())
    assert {f"homeostat.{kind}" for kind in read} <= groups()
    assert len(read) == len(set(read)), "two registries of one kind"


def test_plugins_import_from_one_module_and_it_holds_what_they_need() -> None:
    api = importlib.import_module("homeostat.api")
    ports = importlib.import_module("contracts.ports")
    assert set(ports.__all__) <= set(api.__all__)
    assert all(hasattr(api, name) for name in api.__all__)
    assert len(set(api.__all__)) == len(api.__all__)
    for name in ("errors", "verdicts", "events", "features"):
        module = importlib.import_module(f"contracts.{name}")
        classes = {
            n
            for n, found in vars(module).items()
            if not n.startswith("_") and isinstance(found, type) and found.__module__.startswith(module.__name__)
        }
        assert classes
        assert classes <= set(api.__all__), name
    for kind in plugins.KINDS:
        assert getattr(api.checks, kind).CHECKS, kind
