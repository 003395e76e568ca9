"""How fast a store takes a topology in, and finds a path through it, against writing row by row.

Everything is written under an environment of its own, which is removed again.
"""

from __future__ import annotations

import random
import socket
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from statistics import median
from typing import Any, Final

from contracts.ports import GraphStore
from contracts.units import SECOND
from graph import queries

SERVICES: Final = 500
CALLS: Final = 3000
ROUNDS: Final = 12
PATHS: Final = 4
"""Searches a round. A search is several small questions: a server takes longer to have compiled them all."""
SAMPLE: Final = 100
"""Rows written one by one, for comparison; the rest is extrapolated."""
_T0: Final = 1_800_000_000 * SECOND
_REFRESH_NS: Final = 5 * SECOND

Rows = list[dict[str, Any]]


class RoundTrips:
    """A relay to a server on loopback that counts how often the client speaks and then waits for the answer."""

    def __init__(self, host: str, port: int) -> None:
        self._to, self._links = (host, port), list[socket.socket]()
        self._turns: dict[int, bool] = {}
        self.count = 0
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        """End all connections."""
        for link in (self._listener, *self._links):
            link.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
                server = socket.create_connection(self._to)
            except OSError:
                return
            for link in (client, server):  # else each answer waits 40 ms for an acknowledgement
                link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._links += [client, server]
            turn = len(self._links)
            for source, sink, asks in ((client, server, True), (server, client, False)):
                threading.Thread(target=self._pass_on, args=(source, sink, turn, asks), daemon=True).start()

    def _pass_on(self, source: socket.socket, sink: socket.socket, turn: int, asks: bool) -> None:
        try:
            while data := source.recv(1 << 18):
                if asks and not self._turns.get(turn):
                    self.count += 1
                self._turns[turn] = asks
                sink.sendall(data)
            sink.shutdown(socket.SHUT_WR)
        except OSError:
            return


@dataclass(frozen=True, slots=True)
class Figures:
    """Milliseconds; `row_ms` is what writing each row by itself would take. `round_trips` is None where there are none."""

    services: int
    calls: int
    cold_ms: float
    warm_ms: float
    path_ms: float
    row_ms: float
    round_trips: int | None

    def lines(self) -> list[str]:
        """What a person reads."""
        trips = "in this process" if self.round_trips is None else f"{self.round_trips} round trips"
        return [
            f"{self.services} services, {self.calls} calls: {self.warm_ms:.0f} ms to refresh, {self.cold_ms:.0f} ms at first, {trips}",
            f"row by row the same refresh takes {self.row_ms:,.0f} ms: {self.row_ms / self.warm_ms:.0f} x that",
            f"shortest paths between two services: {self.path_ms:.1f} ms",
        ]


def topology(environment: str, turn: int = 0, services: int = SERVICES, calls: int = CALLS) -> tuple[Rows, Rows]:
    """Rows of services and calls as the `turn`-th refresh writes them: the same graph, with all counts grown."""
    rng, seen = random.Random(1), _T0 + turn * _REFRESH_NS
    pairs: set[tuple[int, int]] = set()
    while len(pairs) < calls:
        caller = rng.randrange(services - 1)
        pairs.add((caller, min(services - 1, caller + 1 + int(rng.expovariate(1 / 40)))))
    nodes = [_service(environment, f"s{i}", seen) for i in range(services)]
    return nodes, [_call(environment, f"s{a}", f"s{b}", 10 * (turn + 1), seen) for a, b in sorted(pairs)]


def _service(environment: str, name: str, seen: int) -> dict[str, Any]:
    return {
        "key": f"{environment}|{name}",
        "environment": environment,
        "service": name,
        "kind": "service",
        "version": "1.0.0",
        "attributes": '{"k8s.namespace.name": "shop"}',
        "first_seen": _T0,
        "last_seen": seen,
    }


def _call(environment: str, caller: str, callee: str, calls: int, seen: int) -> dict[str, Any]:
    return {
        "caller_key": f"{environment}|{caller}",
        "callee_key": f"{environment}|{callee}",
        "valid_from": _T0,
        "valid_to": 0,
        "last_seen": seen,
        "calls": calls,
        "errors": calls // 10,
        "source": "spans",
        "confidence": round(calls / (calls + 1.0), 4),
    }


def refresh(store: GraphStore, nodes: Sequence[dict[str, Any]], calls: Sequence[dict[str, Any]]) -> None:
    """Write a whole topology, as diagnosis does when every service and every call changed."""
    store.write("upsert_services", nodes)
    store.write("upsert_calls", calls)


def run(
    store: GraphStore,
    trips: RoundTrips | None = None,
    rounds: int = ROUNDS,
    services: int = SERVICES,
    calls: int = CALLS,
) -> Figures:
    """All figures of a migrated store and so large a topology; warm ones are medians of the last half of the rounds."""
    with _environment(store) as environment:
        took, counted = [], 0
        for turn in range(rounds):
            rows, before = topology(environment, turn, services, calls), trips.count if trips else 0
            took.append(_ms(refresh, store, *rows))
            counted = trips.count - before if trips else 0
        paths = [_ms(queries.path, store, environment, "s0", f"s{services - 1}") for _ in range(PATHS * rounds)]
        _, one_by_one = topology(environment, rounds, services, calls)
        each = [_ms(store.write, "upsert_calls", [row]) for row in one_by_one[:SAMPLE]]
    half = rounds // 2
    row_ms = median(each) * (services + calls)
    trips_taken = counted if trips else None
    return Figures(services, calls, took[0], median(took[half:]), median(paths[PATHS * half :]), row_ms, trips_taken)


@contextmanager
def _environment(store: GraphStore) -> Iterator[str]:
    environment = f"bench-{uuid.uuid4().hex[:12]}"
    try:
        yield environment
    finally:
        gone = "MATCH (s:Service) WHERE s.environment = $environment DETACH DELETE s"
        store.query(gone, {"environment": environment}, read_only=False)


def _ms(do: Callable[..., object], *arguments: Any) -> float:
    began = time.perf_counter()
    do(*arguments)
    return (time.perf_counter() - began) * 1e3
