"""Labelled failures are read in each layout, told through the product's stages, ranked and scored."""

from __future__ import annotations

import csv
import gzip
import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from contracts.errors import InvalidSettings
from contracts.features import CALL_LATENCY_P95, ERROR_RATE, LATENCY_P50, LATENCY_P95, REQUEST_RATE
from homeostat.bench.cases import FailureCase, cases
from homeostat.bench.column_map import ColumnMap, read_map
from homeostat.bench.diagnosis import (
    Placement,
    calibration,
    ece,
    half_of,
    outcome,
    outcomes,
    report,
    share,
    situation_of,
    suspects_of,
    wilson,
)
from homeostat.bench.rivals import METRICS
from homeostat.bench.telling import told
from homeostat.cli.app import cli

CALLS = [["web", "cart"], ["cart", "stock"]]
SERVICES = ["web", "cart", "stock"]


def metrics_case(folder: Path, name: str, culprit: str, metric: str = "latency.Average", seed: int = 1) -> Path:
    """The culprit becomes slow, and by as much everybody above it."""
    rng = np.random.default_rng(seed)
    columns = [[s, metric] for s in SERVICES]
    normal = 0.1 * np.exp(rng.normal(0, 0.05, (200, 3)))
    abnormal = 0.1 * np.exp(rng.normal(0, 0.05, (10, 3)))
    abnormal[:, : SERVICES.index(culprit) + 1] += 0.5
    path = folder / name
    path.mkdir(parents=True)
    np.savez(path / "metrics.npz", normal=normal, abnormal=abnormal)
    said = {"id": name, "fault": "slow", "truth": [culprit], "entities": SERVICES, "columns": columns, "calls": CALLS}
    (path / "case.json").write_text(json.dumps({**said, "target": ["web", metric]}))
    return path


def spans(rng: np.random.Generator, begin: float, seconds: int, slow: float = 0.0, fails: float = 0.0) -> list[list]:
    """Ten requests per second: web asks cart, cart asks stock."""
    rows = []
    for i in range(10 * seconds):
        at, trace = begin + i / 10, f"{int(begin)}-{i}"
        own = 0.01 * float(np.exp(rng.normal(0, 0.1)))
        stock = own + slow
        cart, web = stock + 0.02, stock + 0.04
        ids = {k: f"{trace}-{k}" for k in ("web", "out", "cart", "on", "stock")}
        failed = "True" if rng.random() < fails else "False"
        for span, parent, service, begins, took in (
            ("web", "root", "web", 0.0, web),
            ("out", ids["web"], "web", 0.01, cart + 0.002),
            ("cart", ids["out"], "cart", 0.011, cart),
            ("on", ids["cart"], "cart", 0.02, stock + 0.002),
            ("stock", ids["on"], "stock", 0.021, stock),
        ):
            rows.append([trace, ids[span], parent, service, span, at + begins, at + begins + took, failed])
    return rows


def traced_case(folder: Path) -> Path:
    rng = np.random.default_rng(3)
    path = folder / "traced"
    path.mkdir(parents=True)
    healthy = [*spans(rng, 1000.0, 30), *spans(rng, 5000.0, 30)]  # with a hole in it
    for name, rows in (("normal", healthy), ("abnormal", spans(rng, 9000.0, 12, slow=0.3))):
        with gzip.open(path / f"spans_{name}.csv.gz", "wt", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(["TraceID", "SpanID", "ParentID", "service", "OperationName", "start", "end", "error"])
            writer.writerows(rows)
        with gzip.open(path / f"logs_{name}.csv.gz", "wt", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(["TraceID", "SpanID", "service", "time", "event", "error"])
            writer.writerows([[r[0], r[1], r[3], r[5], "INFO served", "False"] for r in rows if r[4] == "stock"])
    said = {"id": "traced", "fault": "slow", "truth": ["stock"], "entities": SERVICES, "columns": [], "calls": []}
    (path / "case.json").write_text(json.dumps(said))
    return path


def rcaeval_case(folder: Path) -> Path:
    path = folder / "stock_delay" / "1"
    path.mkdir(parents=True)
    (path / "inject_time.txt").write_text("6000\n")
    rng = np.random.default_rng(4)
    with (path / "simple_metrics.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["time", *(f"{s}_{m}" for s in SERVICES for m in ("cpu", "latency-90"))])
        for t in range(5800, 6100):
            slow = 0.4 if t >= 6000 else 0.0
            writer.writerow(
                [t, *(x for _ in SERVICES for x in (rng.normal(1, 0.05), 0.1 * np.exp(rng.normal(0, 0.05)) + slow))]
            )
    with (path / "traces.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        columns = (
            "time,traceID,spanID,serviceName,methodName,operationName,startTimeMillis,startTime,duration,statusCode"
        )
        writer.writerow([*columns.split(","), "parentSpanID"])
        for r in [*spans(rng, 5960.0, 39), *spans(rng, 6000.5, 10, slow=0.4)]:
            start_us, took_us = int(1e6 * r[5]), int(1e6 * (r[6] - r[5]))
            parent = "" if r[2] == "root" else r[2]
            writer.writerow(["", r[0], r[1], r[3], r[4], r[4], start_us // 1000, start_us, took_us, "0", parent])
    (path / "logs.csv").write_text(
        "time,timestamp,container_name,message,level,req_path,error\n"
        "01:40,5990000000000,stock,served,INFO,/,\n"
        "01:41,6001000000000,stock,took too long,ERROR,/,\n"
    )
    return path


def test_a_culprit_is_found_in_metrics_alone(tmp_path: Path):
    for i, culprit in enumerate(SERVICES):
        metrics_case(tmp_path, f"case-{i}", culprit, seed=i)
    found = outcomes(tmp_path, ColumnMap())
    assert [o.position for o in found["homeostat"]] == [1, 1, 1]
    assert set(found) == {"homeostat", *METRICS}
    text = "\n".join(report([tmp_path], ColumnMap()))
    assert "AC@1" in text
    assert "traversal" in text
    assert "calibration error" in text


def test_failures_weigh_by_the_requests_that_the_data_set_counts(tmp_path: Path):
    """One of a hundred requests of many fails at the stock; of a handful the cart answers, each does."""
    path = metrics_case(tmp_path, "counted", "stock")
    columns = [[s, m] for s in SERVICES for m in ("availability.Average", "requests.Sum")]
    said = {**json.loads((path / "case.json").read_text()), "columns": columns, "target": None}
    (path / "case.json").write_text(json.dumps(said))
    normal = np.tile([100.0, 1000.0, 100.0, 2.0, 100.0, 1000.0], (50, 1))
    abnormal = np.tile([100.0, 1000.0, 0.0, 1.0, 99.0, 1000.0], (2, 1))
    np.savez(path / "metrics.npz", normal=normal, abnormal=abnormal)
    nodes = situation_of(next(cases(tmp_path)), ColumnMap()).nodes
    assert nodes["stock"].shifts[ERROR_RATE].samples == pytest.approx(2000)
    assert nodes["cart"].shifts[ERROR_RATE].samples == pytest.approx(2)
    assert nodes["stock"].shifts[ERROR_RATE].decades > 4 > nodes["web"].shifts[ERROR_RATE].decades


def test_metrics_that_came_later_than_a_case_is_judged_are_not_known(tmp_path: Path):
    path = metrics_case(tmp_path, "early", "stock")
    with np.load(path / "metrics.npz") as found:
        told_at = 1000.0 + 60.0 * np.arange(len(found["abnormal"]))
        np.savez(path / "metrics.npz", normal=found["normal"], abnormal=found["abnormal"], t_abnormal=told_at)
    case = next(cases(tmp_path))
    samples = [situation_of(case, ColumnMap(), s).nodes["stock"].shifts[LATENCY_P50].samples for s in (30, 130, 0)]
    assert samples == [1, 3, 10]


def test_unknown_metric_names_work_through_a_mapping_file(tmp_path: Path):
    folder = tmp_path / "set"
    metrics_case(folder, "case", "stock", metric="how_long_ms")
    assert set(outcome_positions(folder, ColumnMap())) != {1}
    file = tmp_path / "map.yaml"
    file.write_text('columns:\n  "how_long*": {feature: latency_p95, scale: 0.001}\n')
    assert outcome_positions(folder, read_map(file)) == [1]
    said = CliRunner().invoke(cli, ["bench", "diagnose", "--mapping", str(file), str(folder)])
    assert said.exit_code == 0, said.output
    assert "set: 1 cases" in said.output


def outcome_positions(folder: Path, columns: ColumnMap) -> list[float]:
    return [o.position for o in outcomes(folder, columns)["homeostat"]]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "maps nothing"),
        ("columns: [a]", "maps nothing"),
        ("columns: {a: slowness}", "unknown feature"),
        ("columns: {a: {feature: latency_p95, unit: ms}}", "unknown unit"),
        ("columns: {a: {feature: latency_p95, scale: many}}", "scale"),
        ("columns: {a: [", r"map\.yaml"),
    ],
)
def test_a_mapping_file_with_a_mistake_is_refused(tmp_path: Path, text: str, message: str):
    file = tmp_path / "map.yaml"
    file.write_text(text)
    with pytest.raises(InvalidSettings, match=message):
        read_map(file)


def test_spans_and_logs_go_through_the_product(tmp_path: Path):
    traced_case(tmp_path)
    case = next(cases(tmp_path))
    found = told(case)
    assert found is not None
    world, onset_ns = found
    at = world.situation(list(world.topology.services), onset_ns)
    assert set(at.edges) == {("web", "cart"), ("cart", "stock")}
    slower = at.nodes["stock"].shifts[LATENCY_P95]
    assert slower.after > 10 * slower.before
    assert at.edges["cart", "stock"].shifts[CALL_LATENCY_P95].deviation > 3
    suspects, ms = suspects_of(case, ColumnMap())
    assert suspects[0].service == "stock"
    assert suspects[0].probability > 0.5
    assert ms < 1000


def test_what_is_judged_early_is_told_no_more(tmp_path: Path):
    traced_case(tmp_path)
    case = next(cases(tmp_path))
    early = situation_of(case, ColumnMap(), after_s=5)
    late = situation_of(case, ColumnMap())
    assert early.nodes["stock"].shifts[LATENCY_P95].samples < late.nodes["stock"].shifts[LATENCY_P95].samples


def test_what_has_not_ended_yet_is_not_told(tmp_path: Path):
    """Stock's requests of the fault take 0.3 s: of those that began in the last of them nothing is known, and no logs are missed of them."""
    traced_case(tmp_path)
    case = next(cases(tmp_path))
    early = situation_of(case, ColumnMap(), after_s=2).nodes["stock"].shifts[REQUEST_RATE]
    assert round(early.after * early.samples) == sum(s.service == "stock" and s.end <= 9002.0 for s in case.spans()[1])


def test_rcaevals_layout(tmp_path: Path):
    rcaeval_case(tmp_path)
    case = next(cases(tmp_path))
    assert (case.truth, case.fault, case.entities) == (frozenset({"stock"}), "delay", tuple(SERVICES))
    before, after = case.logs()
    assert [(r.error, r.service) for r in (*before, *after)] == [(False, "stock"), (True, "stock")]
    assert outcome_positions(tmp_path, ColumnMap()) == [1]


@pytest.mark.parametrize("text", ["{", "{}", '{"id": 1, "truth": 5}'])
def test_a_broken_case_is_named(tmp_path: Path, text: str):
    (tmp_path / "case.json").write_text(text)
    with pytest.raises(InvalidSettings, match=r"case\.json"):
        list(cases(tmp_path))


def test_an_empty_folder_and_a_case_without_measurements_are_named(tmp_path: Path):
    with pytest.raises(InvalidSettings, match="no labelled cases"):
        list(cases(tmp_path))
    (tmp_path / "web_cpu" / "1").mkdir(parents=True)
    (tmp_path / "web_cpu" / "1" / "inject_time.txt").write_text("12")
    with pytest.raises(InvalidSettings, match="RCAEval"):
        list(cases(tmp_path))


def test_ties_are_held_against_a_ranking():
    case = FailureCase("t", "x", frozenset({"b"}), ("a", "b", "c"))
    tied = outcome(case, {"a": 1.0, "b": 1.0, "c": 0.5})
    assert tied.strict == 2
    assert tied.position in (1, 2)
    assert outcome(case, {"a": 1.0}).position == float("inf")


def test_figures():
    found = [Placement("a", "x", 1, 1, 0.9), Placement("b", "x", 2, 2, 0.9), Placement("c", "x", 4, 4, 0.1)]
    assert (share(found, 1), share(found, 3)) == (pytest.approx(1 / 3), pytest.approx(2 / 3))
    assert ece(found) == pytest.approx((2 * 0.4 + 1 * 0.1) / 3)
    assert [n for n, _, _ in calibration(found)] == [1, 2]
    assert wilson(0.5, 10) == (pytest.approx(0.237, abs=1e-3), pytest.approx(0.763, abs=1e-3))
    assert wilson(0.0, 0) == (0.0, 1.0)
    assert {half_of(f"case-{i}") for i in range(20)} == {"tuned", "other"}


def test_an_unknown_part_and_no_folder_are_refused(tmp_path: Path):
    run = CliRunner().invoke
    assert "No such command 'speed'" in run(cli, ["bench", "speed"]).output
    assert "Missing argument 'FOLDERS...'" in run(cli, ["bench", "diagnose"]).output
    assert "does not exist" in run(cli, ["bench", "diagnose", str(tmp_path / "none")]).output


def test_the_violated_metric_says_what_the_incident_is_about(tmp_path: Path):
    """A service whose errors rise beside a slow one is not blamed for the slowness."""
    path = metrics_case(tmp_path, "case", "stock")
    said = json.loads((path / "case.json").read_text())
    said["columns"] += [[s, "availability.Average"] for s in SERVICES]
    with np.load(path / "metrics.npz") as arrays:
        normal = np.hstack([arrays["normal"], np.full((200, 3), 99.9)])
        abnormal = np.hstack([arrays["abnormal"], np.tile([99.9, 60.0, 99.9], (10, 1))])
    np.savez(path / "metrics.npz", normal=normal, abnormal=abnormal)
    (path / "case.json").write_text(json.dumps(said))
    assert outcome_positions(tmp_path, ColumnMap()) == [1]
    case = next(cases(tmp_path))
    assert ERROR_RATE not in situation_of(case, ColumnMap()).nodes["cart"].shifts
