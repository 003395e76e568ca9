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
from typing import Final

import msgspec

from connectors.otlp.convention_table import MUST_NAME, OF_REQUESTS, AttributeRow, MetricRow, MetricRule, Table, UnitRow
from contracts import features as f
from contracts.errors import InvalidSettings, UnknownName
from contracts.frames.views import MOST_GROUPS, rank_of
from contracts.settings import ConventionSettings

PATH: Final = Path(__file__).with_name("conventions.toml")
CACHED_NAMES: Final = 4096
_LONGEST: Final = 256
"""Characters of a metric's name, unit and scope that are looked at: no known one has more."""
_BASE: Final = {"time": "s", "share": "1", "cores": "{cpu}", "bytes": "By", "count": "1", "share of a core": "%"}
_WORDS: Final = {
    "time": {"seconds": "s", "milliseconds": "ms", "microseconds": "us", "nanoseconds": "ns"},
    "bytes": {"bytes": "By"},
    "share": {"ratio": "1", "percent": "%"},
}
"""How a name says its unit (https://prometheus.io/docs/practices/naming): dimension -> word at the end of the name -> unit."""
_ANNOTATION: Final = re.compile(r"(?<=.)\{[^{}]*\}$")


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
        asked = name, unit, scope = name[:_LONGEST], unit[:_LONGEST], scope[:_LONGEST]
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
