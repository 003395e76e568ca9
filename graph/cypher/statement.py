"""Named texts and the rows that go with them."""

from __future__ import annotations

import functools
import math
import numbers
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from typing import Any, Final

from contracts.errors import InvalidQuery, UnknownName
from graph.cypher.tokens import statements

Row = dict[str, Any]

_PLAIN: Final[Mapping[str, type]] = {"text": str, "json": str, "int": int, "float": float, "bool": bool}
_EMPTY: Final[Mapping[str, Any]] = {"text": "", "json": "", "int": 0, "float": 0.0, "bool": False, "texts": ()}
_HEADER: Final = re.compile(r"^//\s*(row|unique):\s*(.+?),?\s*$", re.MULTILINE)
_INT64: Final = range(-(2**63), 2**63)


@dataclass(frozen=True, slots=True)
class Column:
    """One column of a write's rows. A missing value is stored as the type's empty one: stores differ in what null is."""

    name: str
    type: str

    def coerce(self, value: Any) -> Any:
        """`value` as the stores take it.

        Raises:
            InvalidQuery: it is of another type, not finite, or doesn't fit 64 bits.
        """
        if type(value) is _PLAIN.get(self.type) and self._fits(value):
            return value
        if value is None:
            return list(_EMPTY[self.type]) if self.type == "texts" else _EMPTY[self.type]
        coerced = _coerce(self.type, value)
        if coerced is None:
            raise InvalidQuery(f"column {self.name}: {value!r} is not {self.type}", reason="bad_row")
        return coerced

    def _fits(self, value: Any) -> bool:
        """Whether a value of the column's own type needs no second look: most do, and there are many."""
        if self.type == "int":
            return value in _INT64
        return self.type != "float" or math.isfinite(value)


@dataclass(frozen=True, slots=True)
class Statement:
    """A named text: its statements and, for a write, the columns of its rows and those that make one unique."""

    name: str
    parts: tuple[str, ...]
    columns: tuple[Column, ...] = ()
    unique: tuple[str, ...] = ()

    def bind(self, rows: Sequence[Mapping[str, Any]]) -> list[Row]:
        """`rows` with every column in order, typed, and the environment and service of every key.

        Raises:
            UnknownName: a row has a column that the statement doesn't.
            InvalidQuery: the statement takes no rows, a unique column is missing, or a value is of the wrong type.
        """
        if not self.columns:
            raise InvalidQuery(f"{self.name} is a question, not a write", reason="not_a_write")
        known = frozenset(column.name for column in self.columns)
        return [self._bind(row, known) for row in rows]

    def rounds(self, rows: Sequence[Row]) -> list[list[Row]]:
        """Bound rows in batches without two that agree in the unique columns; order is kept where it matters."""
        batches: list[list[Row]] = []
        seen: dict[tuple[Any, ...], int] = {}
        for row in rows:
            key = tuple(row[name] for name in self.unique)
            turn = seen.get(key, 0)
            seen[key] = turn + 1
            if turn == len(batches):
                batches.append([])
            batches[turn].append(row)
        return batches

    @property
    def bound_columns(self) -> dict[str, str]:
        """Names and types of a bound row's values, in their order: the columns, and what is taken from each key."""
        columns: dict[str, str] = {}
        for column in self.columns:
            columns[column.name] = column.type
            if column.name.endswith("_key"):
                columns |= dict.fromkeys(_split_key(column.name.removesuffix("_key"), ""), "text")
        return columns

    def _bind(self, row: Mapping[str, Any], known: frozenset[str]) -> Row:
        if not row.keys() <= known:
            raise UnknownName(f"column of {self.name}", next(name for name in row if name not in known), known)
        for name in self.unique:
            if row.get(name) is None:
                raise InvalidQuery(f"{self.name}: a row without {name}", reason="bad_row")
        bound: Row = {}
        for column in self.columns:
            value = bound[column.name] = column.coerce(row.get(column.name))
            if column.name.endswith("_key"):
                bound.update(_split_key(column.name.removesuffix("_key"), value))
        return bound


def _coerce(kind: str, value: Any) -> Any:
    match kind:
        case "text" | "json":
            return str(value) if isinstance(value, str) else None
        case "bool":
            return value if isinstance(value, bool) else None
        case "int":
            whole = isinstance(value, numbers.Integral) and not isinstance(value, bool)
            return int(value) if whole and int(value) in _INT64 else None
        case "float":
            real = isinstance(value, numbers.Real) and not isinstance(value, bool)
            number = float(value) if real else math.nan
            return number if math.isfinite(number) else None
        case _:
            is_list = isinstance(value, list | tuple) and all(isinstance(item, str) for item in value)
            return [str(item) for item in value] if is_list else None


def _split_key(prefix: str, key: str) -> Row:
    environment, separator, service = key.partition("|")
    return {
        f"{prefix}_environment": environment if separator else "",
        f"{prefix}_service": service if separator else key,
    }


def parse(name: str, source: str) -> Statement:
    """A statement from its file's text (see the package's docstring for the header)."""
    rows: list[Column] = []
    unique: list[str] = []
    for kind, value in _HEADER.findall(source):
        if kind == "unique":
            unique += value.split()
        else:
            rows += [_column(name, word) for word in value.split(",")]
    for missing in set(unique) - {column.name for column in rows}:
        raise UnknownName(f"column of {name}", missing, [column.name for column in rows])
    return Statement(name, tuple(statements(source)), tuple(rows), tuple(unique))


def _column(statement_name: str, declared: str) -> Column:
    column, _, kind = declared.strip().partition(" ")
    if kind not in _EMPTY:
        raise UnknownName(f"type of column {column} in {statement_name}", kind, _EMPTY)
    return Column(column, kind)


@functools.cache
def names() -> tuple[str, ...]:
    """The names of all texts, sorted."""
    folder = resources.files(__package__)
    return tuple(sorted(f.name.removesuffix(".cypher") for f in folder.iterdir() if f.name.endswith(".cypher")))


@functools.cache
def statement(name: str) -> Statement:
    """The named text. UnknownName if there is none of that name."""
    if name not in names():
        raise UnknownName("graph statement", name, names())
    return parse(name, resources.files(__package__).joinpath(f"{name}.cypher").read_text("utf-8"))


def text(name: str) -> str:
    """The one statement of a question, to hand to `GraphStore.query`."""
    parts: Iterable[str] = statement(name).parts
    (only,) = parts
    return only
