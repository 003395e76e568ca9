"""A graph store: the embedded one, with a log of the questions that took long."""

from __future__ import annotations

import contextlib
import itertools
import logging
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import Field

from homeostat.api import GraphPlace, GraphStore, Plugin, PluginSettings, embedded_graph

log = logging.getLogger(__name__)


class SlowLogSettings(PluginSettings):
    slower_than_s: float = Field(0.5, gt=0, description="questions that take longer are logged")


class SlowLog:
    def __init__(self, store: GraphStore, slower_than_s: float) -> None:
        self._store, self._slower_than_s = store, slower_than_s

    def migrate(self) -> None:
        self._store.migrate()

    def write(self, statement: str, rows: Sequence[Mapping[str, Any]]) -> None:
        with self._timed(statement):
            self._store.write(statement, rows)

    def query(
        self,
        cypher: str,
        parameters: Mapping[str, Any] | None = None,
        *,
        read_only: bool = True,
        most: int | None = None,
    ) -> list[dict[str, Any]]:
        with self._timed(cypher):
            return self._store.query(cypher, parameters, read_only=read_only, most=most)

    def close(self) -> None:
        self._store.close()

    @contextlib.contextmanager
    def _timed(self, what: str) -> Iterator[None]:
        began = time.monotonic()
        yield
        if (took_s := time.monotonic() - began) > self._slower_than_s:
            log.warning("%.1f s for: %s", took_s, what)


@contextlib.contextmanager
def subject(own: SlowLogSettings, _: GraphPlace) -> Iterator[Callable[[], SlowLog]]:
    """A new, empty store each time."""
    with tempfile.TemporaryDirectory() as base:
        numbers = itertools.count()

        def make() -> SlowLog:
            folder = Path(base) / str(next(numbers))
            folder.mkdir()
            return SlowLog(embedded_graph(folder), own.slower_than_s)

        yield make


PLUGIN: Plugin[GraphPlace, SlowLog] = Plugin(
    lambda own, place: SlowLog(embedded_graph(place.data_dir), own.slower_than_s),
    settings=SlowLogSettings,
    subject=subject,
)
