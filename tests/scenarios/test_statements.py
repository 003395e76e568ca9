"""One kind of statement of one caller is slow, or fails, while its database answers all else as ever: that is what is told."""

from __future__ import annotations

import pytest

from contracts.settings import Settings
from tests.representatives import representatives
from tests.scenarios.traffic import CLIENT, END_S, MS, ONSET_S, T0, Found, Plan, Route, S, Shop, messages, through

SETTINGS = Settings(detect={"detectors": ("bank",)})
ROUTES = (Route("GET /", 10, 4, {"catalog": 1.0}), Route("POST /buy", 8, 4, {"checkout": 1.0}))
DATABASE = "db:postgresql/shop"
ASKS = {
    ("checkout", "payment"): (("SELECT", "orders", 6.0), ("SELECT", "carts", 5.0), ("INSERT", "orders", 9.0)),
    ("gateway", "catalog"): (("SELECT", "orders", 6.0), ("SELECT", "items", 4.0)),
}
"""What callers ask the database before they call somebody: operation, table, milliseconds."""
ILL = ("checkout", "SELECT", "orders")


class Store(Shop):
    """A shop that asks a database."""

    def __init__(self, slower: float, fails: float, seed: int) -> None:
        super().__init__(Plan(usual=ROUTES), seed)
        self._slower, self._fails = slower, fails

    def _call(self, caller: str, callee: str, at: int, trace: str, parent: str, ill: bool) -> tuple[int, bool]:
        bad = False
        for operation, table, took_ms in ASKS.get((caller, callee), ()):
            hit = ill and (caller, operation, table) == ILL
            failed = hit and self._rng.random() < self._fails
            spent = took_ms * MS * self._rng.lognormvariate(0, 0.3) * (self._slower if hit else 1.0)
            said = {"db.system.name": "postgresql", "db.namespace": "shop", "db.operation.name": operation}
            said |= {"db.collection.name": table}
            self._span(caller, operation, CLIENT, (trace, self._id(16), parent), at, at + int(spent), failed, said)
            at, bad = at + int(spent), bad or failed
        end, failed = super()._call(caller, callee, at, trace, parent, ill)
        return end, failed or bad


def watched(slower: float = 1.0, fails: float = 0.0, seed: int = 33) -> Found:
    return through(messages(Store(slower, fails, seed).spans_by_end(), T0 + END_S * S), SETTINGS)


@pytest.mark.slow
@pytest.mark.parametrize(("slower", "fails"), representatives([(40.0, 0.0), (1.0, 0.6)], (40.0, 0.0)), ids=str)
def test_one_kind_of_statement_is_named(slower: float, fails: float):
    found = watched(slower, fails)
    told = {(a.service, a.operation) for a in found.anomalies if a.operation and a.service == DATABASE}
    assert told == {(DATABASE, "SELECT orders (checkout)")}, found.told()
    assert min(a.time_ns for a in found.anomalies if a.service == DATABASE) <= T0 + (ONSET_S + 16) * S
    named = [c for i in found.incidents for c in i.candidates if c.operation == "SELECT orders (checkout)"]
    assert named, found.told()
    assert not found.touched, "what one statement waits for, nobody's restart mends"


@pytest.mark.slow
def test_no_statement_is_told_while_all_is_well():
    assert not [a.text for a in watched().anomalies if a.operation]
