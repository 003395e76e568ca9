"""How well the tests guard the code: a random sample of small mistakes (mutants), and how many of them a test notices.

    python -m tools.mutants --seed 1 --count 300 [--only playbooks/guards]

The sample is drawn from all mutants of each folder, in proportion to its lines of code; the same seed and text give the same
sample. Each mutant is tried with the tests that run its line, the cheapest first (`tools/mutant_trials.py`); one whose line no test
runs has survived. Within functions it is tried in a fork of one process that has imported everything, so tests that start a program of
their own don't see it; what runs at import, and what can't be made of a function that is there already, is tried in a copy of the
tree. A mutant that changes nothing anybody could notice counts as a survivor too.
"""

from __future__ import annotations

import argparse
import ast
import random
import sys
import tempfile
from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import msgspec

from tools.mutant_sites import Mutant, mutants_of
from tools.mutant_trials import (
    NO_VERDICT,
    ROOT,
    SURVIVED,
    UNCHANGED,
    Bench,
    CoverMap,
    Measured,
    Outcome,
    copy_of,
    measured,
    patched,
)

TESTS: Final = {
    "playbooks/runs": ("tests/unit/playbooks", "tests/checks/crash"),
    "playbooks/guards": ("tests/unit/playbooks",),
    "streams/windows": ("tests/unit/streams",),
}
"""Folder that is judged -> its tests. Scenarios guard it too, at a hundred times the price: they are not counted."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Print a line per survivor and the score of each folder; 1 if tests fail on the text as it is."""
    asked = _parser().parse_args(arguments)
    folders = asked.only or list(TESTS)
    texts = {
        f: {p.relative_to(ROOT).as_posix(): p.read_text("utf-8") for p in sorted((ROOT / f).rglob("*.py"))}
        for f in folders
    }
    sample = sampled(texts, asked.seed, asked.count)
    every = {path: text for modules in texts.values() for path, text in modules.items()}
    with tempfile.TemporaryDirectory(prefix="mutants-") as scratch:
        known = _known(Path(scratch), every, asked)
        print(f"mutants: {len(known.trials)} tests, {sum(t.seconds for t in known.trials):.0f} s", flush=True)
        cover = CoverMap(known.trials)
        work = [(m, cover.covering(m, _users(m.path, every), asked.budget)) for m in sample]
        # The tests of some mutants on the text as it is: one that fails there kills by chance.
        control = [(UNCHANGED, chosen) for _, chosen in work if chosen][: asked.control]
        outcomes = [Outcome(m, "not covered") for m, chosen in work if not chosen]
        covered = {m: chosen for m, chosen in work if chosen}
        inside = [(m, chosen) for m, chosen in covered.items() if not m.at_import]
        left = set(covered)
        for outcome in patched([*control, *inside], Path(scratch), asked.jobs):
            if outcome.mutant != UNCHANGED and outcome.verdict == NO_VERDICT:
                continue  # it can't be made of functions that are there already
            left.discard(outcome.mutant)
            if not _note(outcome, outcomes, every):
                return 1
        at_import = [(m, chosen) for m, chosen in covered.items() if m in left]
        bench = Bench([copy_of(ROOT, Path(scratch) / str(n)) for n in range(asked.jobs)], known.needed)
        for outcome in bench.tried([*((None, chosen) for _, chosen in at_import[: asked.control]), *at_import]):
            if not _note(outcome, outcomes, every):
                return 1
    return _report(outcomes, texts)


def _note(outcome: Outcome, outcomes: list[Outcome], texts: dict[str, str]) -> bool:
    """Tell of an outcome; whether it can be one: tests that fail on the text as it is notice nothing."""
    if outcome.mutant == UNCHANGED:
        if outcome.verdict != SURVIVED:
            print(f"mutants: the chosen tests fail without a mutant: {outcome}", file=sys.stderr)
        return outcome.verdict == SURVIVED
    outcomes.append(outcome)
    if not outcome.killed:
        told = outcome.mutant.told(texts[outcome.mutant.path])
        print(f"{outcome.verdict} {outcome.tests} tests: {told}", flush=True)
    if len(outcomes) % 25 == 0:
        print(f"{len(outcomes)} tried, {sum(o.killed for o in outcomes)} noticed", file=sys.stderr, flush=True)
    return True


def _known(scratch: Path, texts: dict[str, str], asked: argparse.Namespace) -> Measured:
    """What is measured of the tests, now or before."""
    kept = Path(asked.known) if asked.known else None
    if kept and kept.exists():
        return msgspec.json.decode(kept.read_bytes(), type=Measured)
    tests = asked.tests or sorted(
        {name for f, names in TESTS.items() if not asked.only or f in asked.only for name in names}
    )
    found = measured(copy_of(ROOT, scratch / "watched"), texts, tests, asked.jobs)
    if kept:
        kept.write_bytes(msgspec.json.encode(found))
    return found


def sampled(texts: dict[str, dict[str, str]], seed: int, count: int) -> list[Mutant]:
    """So many mutants, from each folder in proportion to its lines of code (at least one)."""
    chance = random.Random(seed)
    lines = {folder: sum(_lines_of_code(text) for text in modules.values()) for folder, modules in texts.items()}
    found: list[Mutant] = []
    for folder, modules in texts.items():
        every = [m for path, text in modules.items() for m in mutants_of(path, text)]
        share = max(1, round(count * lines[folder] / sum(lines.values())))
        found += chance.sample(every, min(share, len(every)))
    # Dear and cheap ones mixed, whatever folder they are of.
    chance.shuffle(found)
    return found


def _lines_of_code(text: str) -> int:
    """Lines on which something begins: no blank lines, comments or docstrings."""
    tree = ast.parse(text)
    words = {id(n.value) for n in ast.walk(tree) if isinstance(n, ast.Expr) and isinstance(n.value, ast.Constant)}
    return len({n.lineno for n in ast.walk(tree) if isinstance(n, ast.expr | ast.stmt) and id(n) not in words})


def _users(path: str, texts: dict[str, str]) -> list[str]:
    """Modules that import a module by its name."""
    name = path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
    return [other for other, text in texts.items() if f"from {name} import" in text]


def _report(outcomes: Sequence[Outcome], texts: dict[str, dict[str, str]]) -> int:
    verdicts = defaultdict[str, Counter[str]](Counter)
    for outcome in outcomes:
        folder = next(f for f, modules in texts.items() if outcome.mutant.path in modules)
        verdicts[folder][outcome.verdict] += 1
        if outcome.verdict == "not covered":
            print(f"not covered: {outcome.mutant.told(texts[folder][outcome.mutant.path])}")
    for folder, counts in [*verdicts.items(), ("together", sum(verdicts.values(), Counter[str]()))]:
        killed, tried = counts["killed"] + counts["endless"], counts.total()
        told = ", ".join(f"{n} {verdict}" for verdict, n in sorted(counts.items()))
        print(f"{folder}: {killed} of {tried} noticed, {100 * killed / tried:.1f} % ({told})")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m tools.mutants", description="How many small mistakes the tests notice."
    )
    parser.add_argument("--seed", type=int, default=1, help="of the sample")
    parser.add_argument("--count", type=int, default=300, help="mutants of all folders together")
    parser.add_argument("--only", action="append", choices=list(TESTS), help="a folder (may be repeated)")
    parser.add_argument("--tests", action="append", help="files or folders of tests instead of the folder's own")
    parser.add_argument("--jobs", type=int, default=2, help="processes at a time")
    parser.add_argument("--budget", type=float, default=60.0, help="processor seconds of the tests of a mutant")
    parser.add_argument("--known", help="file for what is measured of the tests: written, and read if it is there")
    parser.add_argument("--control", type=int, default=10, help="mutants whose tests also run on the text as it is")
    return parser


if __name__ == "__main__":
    sys.exit(main())
