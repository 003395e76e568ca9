"""Labelled series: folders are read, scores are counted as their definitions say, and a report comes of it."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from contracts.errors import HomeostatError
from homeostat.bench.event_scores import PROFILES, NabScore, best_threshold, event_counts, pooled
from homeostat.bench.labelled_series import read_folder, scored
from homeostat.bench.series_report import figures, report
from homeostat.cli.app import cli


def array(*values: float) -> np.ndarray:
    return np.array(values, dtype=np.float64)


@pytest.mark.parametrize(
    ("alarmed", "found", "false", "delays"),
    [
        ([0, 0, 0, 0, 0, 0], 0, 0, ()),
        ([0, 0, 1, 0, 0, 0], 1, 0, (0,)),
        ([0, 0, 0, 1, 1, 1], 1, 0, (1,)),  # goes on after the event: still its own
        ([1, 0, 0, 1, 0, 0], 1, 1, (1,)),
        ([1, 0, 0, 0, 0, 1], 0, 1, ()),  # two alarms within ten points are one
    ],
)
def test_events_are_counted(alarmed: list[int], found: int, false: int, delays: tuple[int, ...]) -> None:
    counts = event_counts(array(*alarmed), np.array([0, 0, 1, 1, 0, 0], dtype=bool), 0.5)
    assert (counts.found, counts.events, counts.false_alarms, counts.delays) == (found, 1, false, delays)


def test_an_alarm_that_never_ends_is_many() -> None:
    assert event_counts(np.ones(600), np.zeros(600, dtype=bool), 0.5).false_alarms == 10


def test_the_scores_are_those_of_the_definitions(shared_data: Path) -> None:
    """Beside another reckoning of the same."""
    sys.path.insert(0, str(shared_data.parent / "bench"))
    try:
        import adbench
    finally:
        sys.path.pop(0)
    rng = np.random.default_rng(3)
    series = adbench.load(str(shared_data / "ad" / "nab"))
    scores = [rng.random(len(s.X)) ** 8 for s in series]
    theirs = adbench.NabScorer(series)
    ours = NabScore([len(s.X) for s in series], [s.windows for s in series])
    for name, profile in zip(("standard", "reward_low_FP_rate", "reward_low_FN_rate"), PROFILES, strict=True):
        for threshold in (0.5, 0.9, 0.99):
            expected, _ = theirs.score(scores, name, thr=threshold)
            assert ours.score(scores, profile, threshold, range(len(series))) == pytest.approx(expected, abs=1e-6)
    labels = [rng.random(len(s)) < 0.01 for s in scores]
    mine, other = pooled(scores, labels, 0.9), adbench.pooled(scores, labels, 0.9)
    assert (mine.found, mine.events, mine.false_alarms) == (other["TP"], other["N"], other["FP"])


def folder_of_csv(folder: Path) -> Path:
    data = folder / "data" / "real"
    data.mkdir(parents=True)
    rows = [f"2024-01-{1 + i // 288:02d} {i // 12 % 24:02d}:{i % 12 * 5:02d}:00,{100 + i % 7}" for i in range(600)]
    (data / "a.csv").write_text("timestamp,value\n" + "\n".join(rows) + "\n")
    (folder / "labels").mkdir()
    windows = {"real/a.csv": [["2024-01-02 10:00:00.000000", "2024-01-02 11:00:00.000000"]]}
    (folder / "labels" / "combined_windows.json").write_text(json.dumps(windows))
    return folder / "data"


def test_the_benchmarks_own_folders_are_read(tmp_path: Path) -> None:
    (one,) = read_folder(folder_of_csv(tmp_path))
    assert (one.name, one.values.shape, one.windows) == ("real/a.csv", (600, 1), ((408, 420),))
    assert one.labels is None


def test_packed_series_are_read_with_their_history_and_reported(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    for k in range(2):
        values, labels = rng.standard_normal((220, 3)), np.zeros(220, dtype=np.int8)
        values[200:206] += 30
        labels[200:206] = 1
        np.savez(
            tmp_path / f"s{k}.npz",
            t=60.0 * np.arange(220),
            x=values,
            y=labels,
            history=rng.standard_normal((150, 3)),
        )
    series = read_folder(tmp_path)
    said = scored(series)
    assert [len(s) for s in said.scores] == [220, 220]
    labels = [s.labels for s in series if s.labels is not None]
    counts = pooled(said.scores, labels, best_threshold(said.scores, labels))
    assert (counts.recall, counts.precision) == (1.0, 1.0)
    (found,) = figures([tmp_path], rivals=False)
    (ours,) = found.detectors
    assert (ours.event_f1, ours.delay_points, ours.nab) == ((1.0, 1.0), 0.0, {})
    assert ours.vus_pr is not None
    assert ours.vus_pr > 0.9
    _, _, line = report(found)
    assert "event F1 1.000 (1.000): precision 1.00, recall 1.00, found after 0 points, 0.000 false alarms" in line
    assert f"VUS-PR {ours.vus_pr:.3f}" in line


def test_rows_with_values_that_are_missing_are_left_out_of_what_libraries_are_compared_on(tmp_path: Path) -> None:
    rng = np.random.default_rng(5)
    values = rng.normal(size=900)
    values[[0, 400, 880]] = np.nan
    values[700:704] = 40.0
    labels = np.zeros(900, dtype=bool)
    labels[700:704] = True
    np.savez(tmp_path / "gaps.npz", t=np.arange(900.0) * 60, x=values, y=labels)
    (found,) = figures([tmp_path])
    _, why, *lines = report(found)
    assert "there are no others to take one from" in why
    assert [line.split()[0] for line in lines] == ["homeostat", "river", "pyod", "chance"]
    assert all("nan" not in line for line in lines)
    *others, chance = found.detectors
    assert all(d.event_f1[1] > 0 for d in others), "the event is 40 spreads high"
    assert all(d.vus_pr > chance.vus_pr for d in others), "nor does the mean over buffers miss it"


def test_windows_are_scored_in_all_ways_and_figures_are_written(tmp_path: Path) -> None:
    folder, written = folder_of_csv(tmp_path), tmp_path / "figures.json"
    said = CliRunner().invoke(cli, ["bench", "detect", "--json", str(written), str(folder)]).output
    (found,) = json.loads(written.read_text())
    assert [d["detector"] for d in found["detectors"]] == ["homeostat", "river HalfSpaceTrees", "pyod ECOD", "chance"]
    assert all(list(d["nab"]) == ["standard", "low FP", "low FN"] for d in found["detectors"])
    assert all(0.0 <= d["vus_pr"] <= 1.0 and d["event_f1"][0] is None for d in found["detectors"])
    assert said.count("NAB standard (") == said.count("VUS-PR ") == said.count("µs a point") == 4


def test_figures_that_nobody_measures_are_not_asked_for(tmp_path: Path) -> None:
    refused = CliRunner().invoke(cli, ["bench", "detect", "--json", str(tmp_path / "figures.json")])
    assert refused.exit_code != 0
    assert "name their FOLDERS" in refused.output


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("", b"", "no series in it"),
        ("a.npz", b"nonsense", "not a series"),
        ("a.csv", b"timestamp,value\n2024-01-01,1\n", "combined_windows.json"),
    ],
)
def test_what_is_no_folder_of_series_is_refused_by_name(tmp_path: Path, name: str, content: bytes, says: str) -> None:
    if name:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(HomeostatError, match=says) as refused:
        read_folder(tmp_path)
    assert str(tmp_path) in str(refused.value)
