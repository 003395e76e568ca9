"""Inputs from the field whose error logs were read as harmless."""

from __future__ import annotations

from connectors.otlp.decode import decode
from contracts.topics import OTLP_LOGS
from tests.checks.field.inputs import lines_of


def test_levels_in_bodies_are_severities() -> None:
    for line in lines_of("F09"):
        found = decode(OTLP_LOGS, line)
        assert found.logs is not None
        assert (found.logs.severity >= 17).all()
        assert [found.strings[i] for i in found.logs.body] == ["database is away"]
