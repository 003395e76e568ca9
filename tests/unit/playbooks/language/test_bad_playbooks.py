"""One file per mistake in tests/testdata/bad_playbooks, and beside it the exact lines that lint gives."""

from pathlib import Path

import pytest

from contracts.errors import InvalidPlaybook
from playbooks.language import lint_all, read

FOLDER = Path(__file__).parents[3] / "testdata" / "bad_playbooks"
FILES = sorted(FOLDER.glob("*.yaml"))
TWINS = {"duplicate_name_2.yaml": "duplicate_name_1.yaml"}
GOOD_ALONE = {"duplicate_name_1.yaml", "duplicate_name_2.yaml"}


def linted(name: str, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    monkeypatch.chdir(FOLDER)
    names = [TWINS[name], name] if name in TWINS else [name]
    return [str(p) for p in lint_all([Path(n) for n in names])]


def test_there_is_a_file_for_every_mistake():
    assert len(FILES) >= 60
    assert {f.stem for f in FILES} - {"duplicate_name_1"} == {f.stem for f in FOLDER.glob("*.txt")}


@pytest.mark.parametrize("name", [f.name for f in FILES if f.name != "duplicate_name_1.yaml"])
def test_exactly_these_messages(name: str, monkeypatch: pytest.MonkeyPatch):
    expected = (FOLDER / name).with_suffix(".txt").read_text(encoding="utf-8").splitlines()
    assert linted(name, monkeypatch) == expected
    assert expected


@pytest.mark.parametrize("name", [f.name for f in FILES if f.name not in GOOD_ALONE])
def test_a_bad_playbook_is_never_read(name: str):
    with pytest.raises(InvalidPlaybook):
        read(FOLDER / name)


def test_a_file_that_is_not_there_is_a_problem():
    (problem,) = lint_all([Path("no-such-playbook.yaml")])
    assert str(problem).startswith("no-such-playbook.yaml:1:1: the file can't be read: No such file")
