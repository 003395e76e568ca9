"""The graph's benchmark on the embedded store, and its relay."""

import socket
import threading

from graph.stores.ladybug import LadybugStore
from homeostat.bench import stores
from tests.patience import PATIENCE_S


def test_figures_of_the_embedded_store_leave_nothing_behind() -> None:
    store = LadybugStore()
    store.migrate()
    figures = stores.run(store, rounds=2, services=60, calls=300)
    assert figures.round_trips is None
    assert figures.row_ms > figures.warm_ms > 0
    assert "300 calls" in figures.lines()[0]
    assert store.query("MATCH (s:Service) RETURN count(s) AS n") == [{"n": 0}]
    store.close()


def test_the_relay_counts_turns_not_packets() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        threading.Thread(target=_echo, args=(server,), daemon=True).start()
        trips = stores.RoundTrips("127.0.0.1", server.getsockname()[1])
        host, _, port = trips.address.partition(":")
        with socket.create_connection((host, int(port)), timeout=PATIENCE_S) as client:
            for turn in range(1, 4):
                client.sendall(b"a")
                client.sendall(b"b")
                got = b""
                while len(got) < 2:
                    got += client.recv(2)
                assert (got, trips.count) == (b"ab", turn)
        trips.close()


def _echo(server: socket.socket) -> None:
    link, _ = server.accept()
    with link:
        while data := link.recv(2):
            if len(data) < 2:
                data += link.recv(1)
            link.sendall(data)
