"""Which feature a data set's metric is: the names of public sets, and a user's mapping file for others.

    columns:
      "availability*": {feature: error_rate, percent: true, complement: true}
      "p90_ms": {feature: latency_p95, scale: 0.001}
      "cpu": cpu_cores

Names are compared in lower case; `*` stands for anything; the first that fits counts, the file's before the built-in ones.
"""

from __future__ import annotations

import fnmatch
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import yaml

from contracts import features as f
from contracts.errors import InvalidSettings
from contracts.features import FEATURES
from contracts.frames.decoded import F64


@dataclass(frozen=True, slots=True)
class Mapped:
    """A metric as a feature: `scale` times the value, in parts of a hundred where `percent`, and what is missing to 1 where
    `complement` (an availability). `counted`: of requests, how many there were in each sample, and not how many a second."""

    feature: str
    scale: float = 1.0
    percent: bool = False
    complement: bool = False
    counted: bool = False

    def values(self, raw: F64) -> F64:
        """The feature's values."""
        found = raw * self.scale / (100.0 if self.percent else 1.0)
        return 1.0 - found if self.complement else found


BUILT_IN: Final[Mapping[str, Mapped]] = {
    "latency.p50": Mapped(f.LATENCY_P50),
    "latency.average": Mapped(f.LATENCY_P50),
    "latency.p9[05]": Mapped(f.LATENCY_P95),
    "latency.p99": Mapped(f.LATENCY_P99),
    "lat_50": Mapped(f.LATENCY_P50),
    "lat_90": Mapped(f.LATENCY_P95),
    "lat_99": Mapped(f.LATENCY_P99),
    "latency-50": Mapped(f.LATENCY_P50),
    "latency-9[05]": Mapped(f.LATENCY_P95),
    "latency-99": Mapped(f.LATENCY_P99),
    "latency": Mapped(f.LATENCY_P95),
    "podserverlatencyp90(s)": Mapped(f.LATENCY_P95),
    "availability.average": Mapped(f.ERROR_RATE, percent=True, complement=True),
    "error": Mapped(f.METRIC_ERROR_RATE),
    "cpu": Mapped(f.CPU_CORES),
    "cpuusagerate(%)": Mapped(f.CPU, percent=True),
    "mem": Mapped(f.MEMORY_BYTES),
    "memoryusagerate(%)": Mapped(f.MEMORY, percent=True),
    "requests.sum": Mapped(f.REQUEST_RATE, counted=True),
    "podworkload(ops)": Mapped(f.REQUEST_RATE),
    "lod": Mapped(f.REQUEST_RATE),
    "load": Mapped(f.REQUEST_RATE),
    "workload": Mapped(f.REQUEST_RATE),
}
"""By the metric names of PetShop, Nezha, the Sock Shop of RCD, and RCAEval's simple tables."""


class ColumnMap:
    """Features by metric name."""

    def __init__(self, own: Mapping[str, Mapped] | None = None) -> None:
        self._patterns = {**{k.lower(): v for k, v in (own or {}).items()}, **BUILT_IN}
        self._known: dict[str, Mapped | None] = {}

    def of(self, metric: str) -> Mapped | None:
        """The feature of a metric; None for one that is not read."""
        if metric not in self._known:
            name = metric.lower()
            exact = self._patterns.get(name)
            fits = (v for k, v in self._patterns.items() if fnmatch.fnmatchcase(name, k))
            self._known[metric] = exact or next(fits, None)
        return self._known[metric]


def read_map(path: Path) -> ColumnMap:
    """A mapping file.

    Raises:
        InvalidSettings: it is none, or names an unknown feature.
    """
    try:
        said: Any = yaml.safe_load(path.read_text("utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as e:
        raise InvalidSettings(f"{path}: {e}") from e
    columns = said.get("columns") if isinstance(said, dict) else None
    if not isinstance(columns, dict) or not columns:
        raise InvalidSettings(
            f"{path} maps nothing", fix="begin it with `columns:`, and a metric name and feature on each line"
        )
    return ColumnMap({str(name): _mapped(path, str(name), what) for name, what in columns.items()})


def _mapped(path: Path, name: str, what: Any) -> Mapped:
    if isinstance(what, str):
        what = {"feature": what}
    if not isinstance(what, dict) or what.get("feature") not in FEATURES:
        raise InvalidSettings(f"{path}: {name}: unknown feature {what!r}", fix=f"one of {', '.join(sorted(FEATURES))}")
    unknown = set(what) - {"feature", "scale", "percent", "complement", "counted"}
    if unknown:
        raise InvalidSettings(
            f"{path}: {name}: unknown {', '.join(sorted(unknown))}", fix="feature, scale, percent, complement, counted"
        )
    try:
        return Mapped(
            what["feature"],
            float(what.get("scale", 1.0)),
            *(bool(what.get(said)) for said in ("percent", "complement", "counted")),
        )
    except (TypeError, ValueError) as e:
        raise InvalidSettings(f"{path}: {name}: scale: {e}", fix="a number") from e
