"""The command that judges: it runs, keeps, resumes, tells, and refuses what there is not."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
from click.testing import CliRunner, Result

from homeostat.cli.app import cli
from homeostat.judge.intervals import mean, quantile, ratio, share


def run(*arguments: str) -> Result:
    return CliRunner().invoke(
        cli, ["--set", 'detect.detectors=["bank"]', "bench", "judge", *arguments], catch_exceptions=False
    )


@pytest.mark.slow
def test_it_judges_keeps_and_resumes(tmp_path: Path):
    results, figures, page = tmp_path / "r.jsonl", tmp_path / "f.json", tmp_path / "p.html"
    common = ("--split", "tuning", "--services", "5", "--kinds", "crash", "--results", str(results), "--jobs", "1")
    first = run("--episodes", "1", *common, "--detect-only", "--json", str(figures), "--html", str(page))
    assert first.exit_code == 0, first.output
    assert "recall" in first.output
    report = msgspec.json.decode(figures.read_bytes())
    assert set(report["overall"]) == {"homeostat", "static rules", "nothing", "restart what alarms"}
    html = page.read_text()
    assert html.count("<svg") >= 3
    assert "http://" not in html.replace("http://www.w3.org/2000/svg", "")
    kept = results.read_bytes()
    assert len(kept.splitlines()) == 4
    again = run("--episodes", "1", *common, "--detect-only")
    assert again.exit_code == 0
    assert results.read_bytes() == kept


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--kinds", "earthquake"), "there are"),
        (("--style", "baroque"), "there are"),
        (("--explain", "nonsense"), "proving/17"),
    ],
)
def test_what_there_is_not_is_refused_with_what_there_is(arguments: tuple[str, ...], words: str):
    found = run(*arguments)
    assert found.exit_code == 2
    assert words in found.output


def test_intervals_are_those_of_the_books():
    found = share([True] * 8 + [False] * 2)
    assert (found.value, found.n) == (0.8, 10)
    assert (found.low, found.high) == pytest.approx((0.490, 0.943), abs=1e-3)  # Wilson, 8 of 10
    assert share([]).value is None
    assert mean([1.0, 2.0, 3.0]).value == 2.0
    half = quantile(list(range(101)))
    assert half.value == 50
    assert half.low is not None
    assert half.high is not None
    assert half.low < 50 < half.high
    rate = ratio([1, 2, 3], [10, 10, 10], 100.0)
    assert rate.value == pytest.approx(20.0)
