"""Labelled failure cases: what was seen before and after an onset, and who was to blame. Two layouts are read.

An exported folder    <case>/case.json (entities, calls, columns, truth, and target and alerts where there are any), metrics.npz (`normal`
                      and `abnormal`: time, column), and spans_normal.csv.gz, spans_abnormal.csv.gz, logs_… where there are any
RCAEval (RE1 to RE3)  <service>_<fault>/<n>/inject_time.txt beside data.csv, simple_metrics.csv or metrics.csv (time, <service>_<metric>),
                      traces.csv and logs.csv where there are any
"""

from __future__ import annotations

import csv
import dataclasses
import gzip
import json
import math
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Final, NamedTuple

import numpy as np

from contracts.errors import InvalidSettings
from contracts.frames.decoded import F64

ROOT: Final = frozenset({"", "root", "nan"})
"""Parents of spans that have none."""
_TABLES: Final = ("data.csv", "simple_metrics.csv", "metrics.csv")
_ERRORS: Final = frozenset({"error", "fatal", "critical", "severe", "emergency", "alert"})
_KEPT_S: Final = 600.0
"""Of an RCAEval case, as its authors do: so much before the injection and after it."""


class LabelledAlert(NamedTuple):
    """An anomaly that a data set ships ready made. `entity` shows the symptom; of a trace's alert `source` is the caller."""

    entity: str
    modality: str
    name: str
    detail: str
    source: str = ""


class SpanRow(NamedTuple):
    """A span of a case; times in epoch seconds, `parent` "" at the root."""

    trace: str
    span: str
    parent: str
    service: str
    name: str
    start: float
    end: float
    error: bool = False


class LogRow(NamedTuple):
    """A log record of a case."""

    service: str
    time: float
    text: str
    error: bool
    trace: str = ""


@dataclass(frozen=True, slots=True)
class FailureCase:
    """One failure. `normal` and `abnormal` are (time, column), NaN where nothing was measured; `truth` is for scoring only.

    `target` is whose objective was violated, and by which metric, where that is given.
    """

    id: str
    fault: str
    truth: frozenset[str]
    entities: tuple[str, ...]
    columns: tuple[tuple[str, str], ...] = ()
    normal: F64 = field(default_factory=lambda: np.empty((0, 0)))
    abnormal: F64 = field(default_factory=lambda: np.empty((0, 0)))
    calls: tuple[tuple[str, str], ...] = ()
    target: tuple[str, str] | None = None
    alerts: tuple[LabelledAlert, ...] = ()
    folder: Path | None = None
    split_s: float = math.nan
    """Of a case whose spans and logs are not split: when the fault began, epoch seconds."""
    times: F64 | None = None
    """When the samples of `abnormal` were taken, epoch seconds, where that is told."""

    @property
    def rcaeval(self) -> bool:
        """Whether its spans and logs are in RCAEval's layout."""
        return math.isfinite(self.split_s)

    def until(self, after_s: float) -> FailureCase:
        """The case with the metrics that were known so long after the onset (the first span of the failure, else the first sample); all for 0, or
        where their times are not told."""
        if not after_s or self.times is None or not len(self.times):
            return self
        onset = min((s.start for s in self.spans()[1]), default=float(self.times[0]))
        return dataclasses.replace(self, abnormal=self.abnormal[self.times <= onset + after_s], times=None)

    def spans(self) -> tuple[list[SpanRow], list[SpanRow]]:
        """Spans from before the onset, and from then on; empty where there are none."""
        if self.folder is None:
            return [], []
        if self.rcaeval:
            rows = list(_rcaeval_spans(self.folder))
            return [r for r in rows if r.start < self.split_s], [r for r in rows if r.start >= self.split_s]
        before, after = (list(map(_span, _rows(self.folder / f"spans_{n}.csv.gz"))) for n in ("normal", "abnormal"))
        return before, after

    def logs(self) -> tuple[list[LogRow], list[LogRow]]:
        """Log records from before the onset, and from then on; empty where there are none."""
        if self.folder is None:
            return [], []
        if self.rcaeval:
            rows = list(_rcaeval_logs(self.folder))
            return [r for r in rows if r.time < self.split_s], [r for r in rows if r.time >= self.split_s]
        before, after = (list(map(_log, _rows(self.folder / f"logs_{n}.csv.gz"))) for n in ("normal", "abnormal"))
        return before, after


def cases(folder: Path) -> Iterator[FailureCase]:
    """The cases under a folder, in the order of their paths.

    Raises:
        InvalidSettings: it holds none, or one that can't be read.
    """
    exported, injected = sorted(folder.rglob("case.json")), sorted(folder.rglob("inject_time.txt"))
    if not exported and not injected:
        raise InvalidSettings(
            f"{folder} holds no labelled cases", fix="give a folder of <case>/case.json, or of RCAEval's layout"
        )
    for path in exported:
        yield _exported(path)
    for path in injected:
        yield _rcaeval(path)


def _exported(path: Path) -> FailureCase:
    try:
        said = json.loads(path.read_text("utf-8"))
        normal, abnormal, times = np.empty((0, 0)), np.empty((0, 0)), None
        if (arrays := path.with_name("metrics.npz")).exists():
            with np.load(arrays) as found:
                normal, abnormal = found["normal"].astype(np.float64), found["abnormal"].astype(np.float64)
                times = found["t_abnormal"].astype(np.float64) if "t_abnormal" in found else None
        target = said.get("target")
        return FailureCase(
            id=str(said["id"]),
            fault=str(said.get("fault", "")),
            truth=frozenset(said["truth"]),
            entities=tuple(said["entities"]),
            columns=tuple((a, b) for a, b in said["columns"]),
            normal=normal,
            abnormal=abnormal,
            calls=tuple((a, b) for a, b in said["calls"]),
            target=(target[0], target[1]) if target else None,
            alerts=tuple(LabelledAlert(*a) for a in said.get("alerts", ())),
            folder=path.parent,
            times=times,
        )
    except (ValueError, KeyError, TypeError, OSError) as e:
        raise InvalidSettings(f"{path}: no labelled case ({e!r})", fix="see docs/benchmarks.md for its fields") from e


def _rcaeval(path: Path) -> FailureCase:
    folder = path.parent
    try:
        split_s = float(path.read_text("utf-8").split()[0])
        service, _, fault = folder.parent.name.rpartition("_")
        table = next(folder / n for n in _TABLES if (folder / n).exists())
        header, values = _table(table)
        at = header.index("time")
        time_s = values[:, at]
        kept = [j for j, name in enumerate(header) if j != at and "_" in name]
        before = (time_s < split_s) & (time_s >= split_s - _KEPT_S)
        after = (time_s >= split_s) & (time_s < split_s + _KEPT_S)
        columns = tuple((a, b) for a, _, b in (header[j].partition("_") for j in kept))
        if not service or not before.any() or not after.any():
            raise ValueError("no culprit in the folder's name, or nothing measured before or after the injection")
        return FailureCase(
            id="/".join(folder.parts[-2:]),
            fault=fault,
            truth=frozenset({service}),
            entities=tuple(dict.fromkeys(a for a, _ in columns)),
            columns=columns,
            normal=values[before][:, kept],
            abnormal=values[after][:, kept],
            folder=folder,
            split_s=split_s,
            times=time_s[after],
        )
    except (ValueError, IndexError, StopIteration, OSError) as e:
        raise InvalidSettings(f"{folder}: no case of RCAEval's layout ({e!r})", fix="see docs/benchmarks.md") from e


def _table(path: Path) -> tuple[list[str], F64]:
    with path.open(newline="", encoding="utf-8") as file:
        reader = csv.reader(file)
        header = next(reader)
        rows = [[_number(x) for x in row] for row in reader if row]
    return header, np.array(rows, np.float64).reshape(-1, len(header))


def _number(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        return math.nan
    return value if math.isfinite(value) else math.nan


def _rows(path: Path) -> Iterator[Mapping[str, str]]:
    if not path.exists():
        return
    csv.field_size_limit(min(sys.maxsize, 1 << 30))
    with _open(path) as file:
        yield from csv.DictReader(file)


def _open(path: Path) -> IO[str]:
    if path.suffix == ".gz":
        return gzip.open(path, "rt", newline="", encoding="utf-8")
    return path.open(newline="", encoding="utf-8")


def _parent(text: str) -> str:
    return "" if text.lower() in ROOT else text


def _span(row: Mapping[str, str]) -> SpanRow:
    return SpanRow(
        row["TraceID"],
        row["SpanID"],
        _parent(row["ParentID"]),
        row["service"],
        row["OperationName"],
        float(row["start"]),
        float(row["end"]),
        row.get("error", "") in ("True", "true", "1"),
    )


def _log(row: Mapping[str, str]) -> LogRow:
    return LogRow(row["service"], float(row["time"]), row["event"], row["error"] == "True", row.get("TraceID", ""))


def _rcaeval_spans(folder: Path) -> Iterator[SpanRow]:
    for row in _rows(folder / "traces.csv"):
        start, took = float(row["startTime"]) / 1e6, float(row["duration"]) / 1e6
        status = _number(row.get("statusCode") or "0")
        failed = status >= 500 if status >= 100 else status > 0.0
        name = row.get("operationName") or row.get("methodName") or ""
        parent = _parent(row.get("parentSpanID") or "")
        yield SpanRow(row["traceID"], row["spanID"], parent, row["serviceName"], name, start, start + took, failed)


def _rcaeval_logs(folder: Path) -> Iterator[LogRow]:
    for row in _rows(folder / "logs.csv"):
        bad = (row.get("level") or "").lower() in _ERRORS or bool((row.get("error") or "").strip())
        yield LogRow(row["container_name"], float(row["timestamp"]) / 1e9, row.get("message") or "", bad)
