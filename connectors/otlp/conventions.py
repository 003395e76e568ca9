"""The table of conventions: what attributes, metrics and units are called, and what they mean to features. `conventions.toml` is the data.

https://opentelemetry.io/docs/specs/semconv/ and its migration guides, the Collector's receivers and connectors, and what client
libraries and meshes write. A table may be extended: rows of the settings come before those of the file.
"""

from __future__ import annotations

import re
import tomllib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path
from typing import Final, Literal

import msgspec

from contracts import features as f
from contracts.errors import InvalidSettings, UnknownName
from contracts.frames.views import MOST_GROUPS, rank_of
from contracts.settings import ConventionSettings

PATH: Final = Path(__file__).with_name("conventions.toml")
Kind = Literal["level", "counter", "duration", "requests", "failures", "unused"]
OF_REQUESTS: Final = ("duration", "requests", "failures")
"""Kinds of rules whose points tell of requests."""
MUST_NAME: Final = "?"
"""The unit of a row whose metrics must name theirs."""
CACHED_NAMES: Final = 4096
_DIMENSIONS: Final[dict[str, str]] = {
    f.CPU: "share",
    f.MEMORY: "share",
    f.CPU_CORES: "cores",
    f.MEMORY_BYTES: "bytes",
    f.NETWORK_IO: "bytes",
}
_BASE: Final = {"time": "s", "share": "1", "cores": "{cpu}", "bytes": "By", "count": "1", "share of a core": "%"}
_WORDS: Final = {
    "time": {"seconds": "s", "milliseconds": "ms", "microseconds": "us", "nanoseconds": "ns"},
    "bytes": {"bytes": "By"},
    "share": {"ratio": "1", "percent": "%"},
}
"""How a name says its unit (https://prometheus.io/docs/practices/naming): dimension -> word at the end of the name -> unit."""
_ANNOTATION: Final = re.compile(r"(?<=.)\{[^{}]*\}$")


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
    (`calls_only`: of nothing else), by the labels of a service graph or by the kind of the span that they were made of; `calls_rank` is
    as `rank`. `reason` says of an `unused` one why it feeds none. `part_of` are the requests that durations are of. `view` is set by the table: which view of a fact it is
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
    calls: Literal["", "graph", "spans"] = ""
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


@dataclass(frozen=True, slots=True)
class Reading:
    """How one metric is read: by which rule, and times which factor."""

    rule: MetricRule
    factor: float = 1.0


class Conventions:
    """A table that can be asked. Equal names, units and scopes are looked up once."""

    def __init__(self, table: Table, units: Mapping[str, str] | None = None) -> None:
        """`units`: more ways to write a unit -> the one meant.

        Raises:
            UnknownName: a row names a feature, a dimension or a subject that there is not.
        """
        self.table = table
        self.units_given = dict(units or {})
        self.subjects: Final = {s.name: s for s in table.subject}
        self._keys: dict[str, tuple[str, ...]] = {}
        for row in table.attribute:
            self._keys[row.fact] = tuple(dict.fromkeys((*self._keys.get(row.fact, ()), *row.keys)))
        self._units, self._words = _units(table.unit)
        self.rules: dict[str, tuple[MetricRule, ...]] = {}
        self.prefixes: dict[str, MetricRule] = {}
        self._found: dict[tuple[str, str, str], Reading | str] = {}
        rules = [metric.rule(view) for metric, view in zip(table.metric, self._views(), strict=True)]
        for metric, rule in zip(table.metric, rules, strict=True):
            self._add(metric.names, rule)
        for metric, rule in zip(table.metric, rules, strict=True):
            self._add_aliases(metric.names, rule)

    def keys(self, *facts: str) -> tuple[str, ...]:
        """The attributes that state facts, the best first."""
        return tuple(key for fact in facts for key in self._keys[fact])

    def point_keys(self, *facts: str) -> tuple[str, ...]:
        """The same on metric points: through Prometheus dots become underscores."""
        return tuple(dict.fromkeys(k for key in self.keys(*facts) for k in (key, key.replace(".", "_"))))

    def read(self, name: str, unit: str = "", scope: str = "") -> Reading | str:
        """How a metric is read, or why it isn't: `unknown`, or `unit` where its unit is not one of what it measures."""
        asked = (name, unit, scope)
        found = self._found.get(asked)
        if found is None:
            if len(self._found) >= CACHED_NAMES:
                self._found.clear()
            found = self._found[asked] = self._read(name, unit.strip(), scope)
        return found

    def factor(self, unit: str, dimension: str) -> float | None:
        """Factor of a unit to the base of a dimension; None where it is not one of its units."""
        unit = self.units_given.get(unit, unit)
        if dimension == "count" and unit.startswith("{") and unit.endswith("}"):
            return 1.0
        found = self._units.get((dimension, unit))
        if found is None:
            found = self._units.get((dimension, _ANNOTATION.sub("", unit)))
        if found is None:
            found = self._words.get((dimension, unit.casefold()))
        return found

    def extended(
        self,
        metrics: Iterable[MetricRow] = (),
        attributes: Mapping[str, tuple[str, ...]] | None = None,
        units: Mapping[str, str] | None = None,
    ) -> Conventions:
        """The table with rows that come before its own.

        Raises:
            UnknownName: a row names a feature, a fact, a dimension or a subject that there is not.
        """
        more = tuple(AttributeRow(fact, keys) for fact, keys in (attributes or {}).items())
        for row in more:
            if row.fact not in self._keys:
                raise UnknownName("fact", row.fact, self._keys)
        for unit in (units or {}).values():
            if not any(unit == known for _, known in self._units):
                raise UnknownName("unit", unit, sorted({known for _, known in self._units}))
        table = msgspec.structs.replace(
            self.table, metric=(*metrics, *self.table.metric), attribute=(*more, *self.table.attribute)
        )
        return Conventions(table, {**self.units_given, **(units or {})})

    def _read(self, name: str, unit: str, scope: str) -> Reading | str:
        rules = self.rules.get(name, ())
        why = "unknown"
        for rule in rules:
            if rule.scope and rule.scope not in scope:
                continue
            factor = self._factor_of(name, unit, rule)
            if factor is not None:
                return Reading(rule, factor)
            why = "unit"
        if rules:
            return why
        at = max((p for p in self.prefixes if name.startswith(p)), key=len, default=None)
        return why if at is None else Reading(self.prefixes[at])

    def _factor_of(self, name: str, unit: str, rule: MetricRule) -> float | None:
        """Factor of a metric that says `unit`; None where that is none of what the rule measures, or its name says otherwise."""
        if rule.kind == "unused":
            return 1.0
        if (rule.only_units and unit not in rule.only_units) or (not unit and rule.unit == MUST_NAME):
            return None
        dimension = rule.measures
        factor = self.factor(unit or rule.unit or _BASE[dimension], dimension)
        named = _named_unit(name, dimension)
        if named and unit and factor != self.factor(named, dimension):
            return None
        return factor

    def _views(self) -> Iterator[int]:
        """Per row which view of its fact it is, in the order of the table; 0 where it is a fact of its own."""
        views = self.table.views
        told: Counter[int] = Counter()
        for row in self.table.metric:
            if row.part_of and row.part_of not in views.parts:
                raise UnknownName("part of requests", row.part_of, views.parts)
            if row.part_of:
                group = fact = views.parts.index(row.part_of) + 1
            elif row.kind != "unused" and row.feature in views.features:
                group, fact = 1, MOST_GROUPS + 1 + views.features.index(row.feature)
            else:
                yield 0
                continue
            told[fact] += 1
            yield rank_of(group, told[fact])

    def _add(self, names: tuple[str, ...], rule: MetricRule) -> None:
        if rule.kind not in (*OF_REQUESTS, "unused") and rule.feature not in f.BY_SIGNAL[f.Signal.METRICS]:
            raise UnknownName("metric feature", rule.feature, f.BY_SIGNAL[f.Signal.METRICS])
        if rule.subject and rule.subject not in self.subjects:
            raise UnknownName("subject", rule.subject, self.subjects)
        if rule.measures not in _BASE:
            raise UnknownName("dimension", rule.measures, _BASE)
        if rule.unit not in ("", MUST_NAME) and self.factor(rule.unit, rule.measures) is None:
            raise UnknownName(f"unit of {rule.measures}", rule.unit, [u for d, u in self._units if d == rule.measures])
        for name in names:
            if name.endswith("*"):
                self.prefixes.setdefault(name[:-1], rule)
            else:
                self.rules[name] = (*self.rules.get(name, ()), rule)

    def _add_aliases(self, names: tuple[str, ...], rule: MetricRule) -> None:
        """What Prometheus makes of dotted names: underscores, the unit's word, and `_total` for counters.
        https://opentelemetry.io/docs/specs/otel/compatibility/prometheus_and_openmetrics"""
        for name in names:
            if "." not in name or name.endswith("*") or "/" in name:
                continue
            base = re.sub(r"[^A-Za-z0-9_]", "_", name)
            for alias, unit in ((base, rule.unit), *_with_words(base, rule)):
                own = msgspec.structs.replace(rule, unit=unit)
                for full in (alias, f"{alias}_total") if rule.kind in ("counter", "requests", "failures") else (alias,):
                    known = self.rules.get(full, ())
                    if not known or (known[0].source == rule.source and own not in known) or rule.scope:
                        self.rules[full] = (*known, own)


def _with_words(base: str, rule: MetricRule) -> Iterable[tuple[str, str]]:
    words = _WORDS.get(rule.measures, {}) if rule.kind != "unused" else {}
    return [(f"{base}_{word}", unit) for word, unit in words.items() if not base.endswith(f"_{word}")]


def _named_unit(name: str, dimension: str) -> str:
    """The unit that a name with underscores says it is in; "" where it says none."""
    if "." in name:
        return ""
    stem = name.removesuffix("_total")
    return next((u for word, u in _WORDS.get(dimension, {}).items() if stem.endswith(f"_{word}")), "")


def _units(rows: Iterable[UnitRow]) -> tuple[dict[tuple[str, str], float], dict[tuple[str, str], float]]:
    """(dimension, unit as written) -> factor, and the same of words in whatever case: short ones would be mistaken."""
    exact: dict[tuple[str, str], float] = {}
    words: dict[tuple[str, str], float] = {}
    for row in rows:
        for unit in row.written:
            exact[row.dimension, unit] = row.factor
            if len(unit) > 3 and unit.isalpha():
                words[row.dimension, unit.casefold()] = row.factor
    return exact, words


@cache
def standard() -> Conventions:
    """The table of the file."""
    with PATH.open("rb") as file:
        return Conventions(msgspec.convert(tomllib.load(file), Table))


def conventions_of(settings: ConventionSettings) -> Conventions:
    """The table with the rows of settings before its own.

    Raises:
        InvalidSettings: a row is none, or names a feature, a fact or a unit that there is not.
    """
    return _extended(settings.model_dump_json())


@lru_cache(maxsize=8)
def _extended(given: str) -> Conventions:
    settings = ConventionSettings.model_validate_json(given)
    if settings == ConventionSettings():
        return standard()
    fix = "see docs/conventions.md"
    try:
        rows = msgspec.convert([dict(row) for row in settings.metrics], tuple[MetricRow, ...])
        return standard().extended(rows, settings.attributes, settings.units)
    except msgspec.ValidationError as e:
        raise InvalidSettings(f"conventions.metrics: {e}", fix=fix) from e
    except UnknownName as e:
        raise InvalidSettings(f"conventions: {e.message}", fix=e.fix or fix) from e
