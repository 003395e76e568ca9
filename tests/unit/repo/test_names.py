"""Names of modules and classes: too many of one are found, and an implementation may bear its port's name."""

from __future__ import annotations

from pathlib import Path

import pytest

from tools.names import main, repeated_classes, repeated_modules


def test_three_modules_of_one_name_are_too_many() -> None:
    two = [Path("graph/words.py"), Path("models/words.py")]
    assert list(repeated_modules([*two, *(Path(p, "__init__.py") for p in "abc")])) == []
    (line,) = repeated_modules([*two, Path("streams/words.py")])
    assert line == "words.py: 3 modules are called so: graph/words.py, models/words.py, streams/words.py"


@pytest.mark.parametrize(
    ("second", "too_many"),
    [
        ("class Window: ...", True),
        ("class Outer:\n    class Window: ...", True),
        ("class Window(Base): ...", True),
        ("class Window(ports.Window): ...", False),
        ("class Window(Port[Window]): ...", False),
        ("class Windows: ...", False),
    ],
)
def test_a_class_name_belongs_to_one_class(second: str, too_many: bool) -> None:
    found = list(
        repeated_classes(
            [(Path("a.py"), "class Window: ...\nclass _Own: ..."), (Path("b.py"), second + "\nclass _Own: ...")]
        )
    )
    assert bool(found) == too_many
    assert all(line.startswith("class Window: 2 of them: a.py:1, b.py:") for line in found)


def test_the_house_keeps_to_it(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(Path(__file__).resolve().parents[3])
    assert main() == 0, capsys.readouterr().out
