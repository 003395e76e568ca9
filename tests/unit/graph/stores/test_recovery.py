"""What the embedded graph was told survives the death of the process, and a newer file is refused."""

import subprocess
import sys
from pathlib import Path

import pytest

from contracts.errors import Permanent
from graph.stores.ladybug import LadybugStore
from graph.stores.migrations import migrations, pending

_WRITE_AND_DIE = """
import os, sys
from pathlib import Path
from contracts.checks import graph_rows as rows
from graph.stores.ladybug import LadybugStore
store = LadybugStore(Path(sys.argv[1]))
store.migrate()
for i in range(20):
    store.write("upsert_services", [rows.service(f"s{i}-{j}") for j in range(5)])
    store.write("upsert_calls", [rows.call(f"s{i}-0", f"s{i}-1")])
os.kill(os.getpid(), 9)
"""


def test_killed_between_writes(tmp_path: Path) -> None:
    file = tmp_path / "graph.lbug"
    done = subprocess.run([sys.executable, "-c", _WRITE_AND_DIE, str(file)], check=False, capture_output=True)
    assert done.returncode == -9, done.stderr
    store = LadybugStore(file)
    store.migrate()
    assert store.query("MATCH (s:Service) RETURN count(*) AS n") == [{"n": 100}]
    assert store.query("MATCH ()-[c:CALLS]->() RETURN count(*) AS n") == [{"n": 20}]
    store.close()


def test_a_file_of_a_later_release(tmp_path: Path) -> None:
    store = LadybugStore(tmp_path / "graph.lbug")
    store.migrate()
    store.query("CREATE (:SchemaVersion {version: 999})", read_only=False)
    with pytest.raises(Permanent, match="schema version 999") as caught:
        store.migrate()
    store.close()
    assert caught.value.reason == "newer_schema"


@pytest.mark.parametrize("store", ["ladybug", "neo4j"])
def test_migrations_are_numbered_without_gaps(store: str) -> None:
    assert [m.version for m in migrations(store)] == list(range(1, len(migrations(store)) + 1))
    assert pending(store, 0) == migrations(store)
    assert pending(store, migrations(store)[-1].version) == []
