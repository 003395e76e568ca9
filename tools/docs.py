"""The generated parts of docs/: whole pages, and parts of pages between `<!-- generated: name -->` and `<!-- end -->`.

python -m tools.docs write     renew them
python -m tools.docs check     say which are out of date; exit status 1 if there are any
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from homeostat import conventions_page, metrics, reference
from playbooks.language import reader
from playbooks.language.reference import renewed
from playbooks.runs import diagram

ROOT = Path(__file__).resolve().parent.parent
DOCS = ROOT / "docs"
RENEW: Final = "python -m tools.docs write"

PAGES: Final[dict[str, Callable[[], str]]] = {
    "settings.md": reference.settings_reference,
    "metrics.md": metrics.reference,
    "conventions.md": conventions_page.page,
}
PARTS: Final[dict[str, Callable[[], str]]] = {
    "actions": reference.actions_reference,
    "topics": reference.topics_reference,
    "events": reference.events_reference,
    "frames": reference.frames_reference,
    "reasons": reference.reasons_reference,
    "gaps": reference.gaps_reference,
    "run_states": diagram.run_states,
    "step_states": diagram.step_states,
}
_PART: Final = re.compile(r"(<!-- generated: (\w+) -->\n).*?(<!-- end -->)", re.DOTALL)


def current(page: Path) -> str:
    """A page as it should be now.

    Raises:
        KeyError: it has a generated part of an unknown name.
    """
    if page.name in PAGES:
        return PAGES[page.name]()
    text = _PART.sub(lambda m: f"{m[1]}\n{PARTS[m[2]]()}\n{m[3]}", page.read_text("utf-8"))
    return renewed(text, reader.library()) if page.name == "playbooks.md" else text


def pages() -> list[Path]:
    """Every page, whether it is there yet or not."""
    return sorted({*DOCS.glob("*.md"), *(DOCS / name for name in PAGES)})


def stale() -> Iterator[tuple[Path, str]]:
    """Pages that are not as they should be, with their right text."""
    for page in pages():
        wanted = current(page)
        if not page.exists() or page.read_text("utf-8") != wanted:
            yield page, wanted


def main(arguments: list[str]) -> int:
    """Write or check; the exit status says whether something was wrong."""
    if arguments not in (["write"], ["check"]):
        print(__doc__)
        return 2
    found = list(stale())
    for page, wanted in found:
        print(f"{page.relative_to(ROOT)}: {'renewed' if arguments == ['write'] else f'out of date; run {RENEW}'}")
        if arguments == ["write"]:
            page.write_text(wanted, "utf-8")
    if not found:
        print(f"docs: {len(pages())} pages, generated parts current")
    return 1 if found and arguments == ["check"] else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
