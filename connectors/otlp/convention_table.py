"""What the rows of the table of conventions are: attributes, units, metrics and their rules, subjects of points, words for failures.

`conventions.toml` is such a table; settings may add rows (`connectors.otlp.conventions`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

import msgspec

from contracts import features as f

Kind = Literal["level", "counter", "duration", "requests", "failures", "unused"]
OF_REQUESTS: Final = ("duration", "requests", "failures")
"""Kinds of rules whose points tell of requests."""
MUST_NAME: Final = "?"
"""The unit of a row whose metrics must name theirs."""
_DIMENSIONS: Final[dict[str, str]] = {
    f.CPU: "share",
    f.MEMORY: "share",
    f.CPU_CORES: "cores",
    f.MEMORY_BYTES: "bytes",
    f.NETWORK_IO: "bytes",
}


@dataclass(frozen=True, slots=True)
class LabelMatch:
    """Some attributes, and the values of theirs that are meant; a value that ends in a star is a prefix."""

    keys: tuple[str, ...]
    values: tuple[str, ...]

    def takes(self, text: str) -> bool:
        """Whether a value is one of those meant."""
        return any(text.startswith(v[:-1]) if v.endswith("*") else text == v for v in self.values)


class PointSubject(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Whom a point is about where that isn't its resource: identifying attributes and the labels that may hold each.

    One of `needs` must be found, else it is about nobody, or `otherwise` about its resource. `unless` names values that no subject
    has. `node` is the pattern of a node's name, which keeps the attributes `keeps`.
    """

    name: str
    labels: dict[str, tuple[str, ...]]
    needs: tuple[str, ...]
    text: str = ""
    otherwise: Literal["", "resource"] = ""
    unless: dict[str, tuple[str, ...]] = {}
    node: str = ""
    keeps: tuple[str, ...] = ()


class MetricRule(msgspec.Struct, frozen=True):
    """How the points of a metric become a feature.

    `kind`: a `level` (value as is), a `counter` (becomes a rate, even where it is sent as a gauge), the `duration` of served requests
    (a histogram or a summary), the number of served `requests` or of `failures` among them (a counter), or `unused`: known, and feeding
    no feature. A monotonic sum is a counter whatever the rule says.
    `unit` is what a metric without a unit is in ("": the base of its dimension, "?": it must name one). `scope` is part of the name of
    the instrumentation scope that means it so. `only` keeps the points that match; `complement` then takes 1 − value (idle CPU).
    Points that differ only in the keys of `summed` are parts of one level and are added; of those that then differ only in the keys of
    `largest` the largest is taken. `served` are the points of work that was served; `kind_required`: only those of whose span's kind
    is known. `rank`: of metrics that count the same requests those of the lowest rank count. `calls`: they tell of calls, too
    (`calls_only`: of nothing else), by the labels of a service graph, by the kind of the span that they were made of, or all of them as
    who calls measures them itself (`client`); `calls_rank` is as `rank`. `reason` says of an `unused` one why it feeds none. `part_of` are the requests that durations are of. `view` is set by the table: which view of a fact it is
    (`contracts.frames.views`).
    """

    feature: str = ""
    kind: Kind = "level"
    unit: str = ""
    only: LabelMatch | None = None
    complement: bool = False
    summed: tuple[str, ...] = ()
    largest: tuple[str, ...] = ()
    served: LabelMatch | None = None
    kind_required: bool = False
    scope: str = ""
    rank: int = 0
    calls: Literal["", "graph", "spans", "client"] = ""
    calls_only: bool = False
    calls_rank: int = 0
    only_units: tuple[str, ...] = ()
    subject: str = ""
    dimension: str = ""
    source: str = ""
    reason: str = ""
    part_of: str = ""
    view: int = 0

    @property
    def measures(self) -> str:
        """Dimension of its unit."""
        if self.dimension:
            return self.dimension
        if self.kind == "duration" or (self.feature == f.CPU_CORES and self.kind == "counter"):
            return "time"
        return _DIMENSIONS.get(self.feature, "count")


class MetricRow(MetricRule, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A row of the table: a rule, and the names of the metrics that it is for."""

    names: tuple[str, ...]

    def rule(self, view: int = 0) -> MetricRule:
        """The rule of its names, which are a view of this rank."""
        return MetricRule(**{k: getattr(self, k) for k in MetricRule.__struct_fields__} | {"view": view})


class AttributeRow(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A fact and the attributes that state it, the best first."""

    fact: str
    keys: tuple[str, ...]
    text: str = ""


class UnitRow(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A factor to the base of a dimension, and how it is written."""

    dimension: str
    factor: float
    written: tuple[str, ...]


class CodeJudgement(msgspec.Struct, frozen=True):
    """Ranges of HTTP status codes that are failures, and those that are to the caller."""

    failed: tuple[tuple[int, int], ...]
    failed_for_caller: tuple[tuple[int, int], ...]


class RpcJudgement(msgspec.Struct, frozen=True):
    """Names of gRPC's codes in their order, which of them are failures, and which are to the caller."""

    names: tuple[str, ...]
    failed: frozenset[str]
    failed_for_caller: frozenset[str]


class WordJudgement(msgspec.Struct, frozen=True):
    """Words for a failure, for none, and for what isn't one."""

    failed: frozenset[str] = frozenset()
    fine: frozenset[str] = frozenset()
    none: frozenset[str] = frozenset()


class FailureJudgement(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which values say that a request failed."""

    http: CodeJudgement
    rpc: RpcJudgement
    error: WordJudgement
    outcome: WordJudgement
    status: WordJudgement
    flags: WordJudgement


class ViewRow(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Features of which the rows are views of one fact, and the parts of what is served that durations may be of."""

    features: tuple[str, ...]
    parts: tuple[str, ...]


class Table(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The file."""

    attribute: tuple[AttributeRow, ...]
    judgement: FailureJudgement
    unit: tuple[UnitRow, ...]
    subject: tuple[PointSubject, ...]
    views: ViewRow
    metric: tuple[MetricRow, ...]
