"""Instruments as lines of text: name, type, unit, and the attributes of the points.

`name|type|unit|key=value,value;key=value`: one point for each combination of values. Types: G gauge, C monotonic sum, U other sum, H histogram,
E exponential histogram. Values that are numbers are sent as numbers, true and false as booleans.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import NamedTuple

AttributeValue = str | int | bool


class Instrument(NamedTuple):
    """One instrument: what it is called, of which type and unit, and the attributes of each of its points."""

    name: str
    kind: str
    unit: str
    points: tuple[dict[str, AttributeValue], ...]


def instruments(text: str) -> tuple[Instrument, ...]:
    """The instruments of a table."""
    return tuple(_instrument(line.strip()) for line in text.strip().splitlines())


def _instrument(line: str) -> Instrument:
    name, kind, unit, said = (*line.split("|"), "", "")[:4]
    return Instrument(name, kind, unit, tuple(_points(said)))


def _points(said: str) -> Iterator[dict[str, AttributeValue]]:
    pairs = [part.partition("=") for part in said.split(";") if part]
    for values in itertools.product(*(values.split(",") for _, _, values in pairs)):
        yield {key: _value(v) for (key, _, _), v in zip(pairs, values, strict=True)}


def _value(text: str) -> AttributeValue:
    return {"true": True, "false": False}.get(text, int(text) if text.isdigit() else text)
