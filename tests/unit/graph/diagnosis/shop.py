"""A small shop in arithmetic: ten services, their calls, one fault at a time, as evidence frames and anomalies.

Latency and errors travel up the calls, demand travels down. Noise is seeded. Anomalies are what a plain detector would say: two
windows far outside of the usual.
"""

from __future__ import annotations

import copy
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cache

import numpy as np

from contracts.events import Anomaly, Change, Contribution
from contracts.features import BY_SIGNAL, Signal
from contracts.frames import EvidenceFrame, Presence
from contracts.units import SECOND
from contracts.verdicts import AnomalyPhase, ServiceState

START = 1_700_000_000 * SECOND
CALLS = {
    "gateway": {"catalog": 0.5, "cart": 0.3, "orders": 0.2, "user": 0.4},
    "catalog": {"pricing": 1.0, "db:postgresql/items": 1.0},
    "cart": {"pricing": 1.0, "db:redis/carts": 1.0},
    "orders": {"user": 1.0, "payment": 1.0, "shipping": 1.0, "db:postgresql/orders": 1.0},
    "payment": {"bank": 1.0},
    "shipping": {},
    "pricing": {},
    "user": {},
}
ORDER = (
    "bank",
    "db:postgresql/items",
    "db:redis/carts",
    "db:postgresql/orders",
    "pricing",
    "user",
    "shipping",
    "payment",
)
ORDER = (*ORDER, "orders", "cart", "catalog", "gateway")  # callees before callers
SILENT = tuple(n for n in ORDER if n not in CALLS)
"""Peers that send no telemetry themselves."""
TIMEOUT = 3.0


@dataclass
class Fault:
    """What is wrong with one service; all of it at once, from the onset on."""

    slow: float = 0.0  # extra seconds of its own work
    fails: float = 0.0  # share of its own failures
    gap: float = 0.0  # extra seconds on every call to and from it
    down: str = ""  # "crash": refuses at once; "hang": does not answer
    cpu: float = 0.0  # extra CPU share
    leak: float = 0.0  # extra memory share per second
    demand: float = 1.0  # times the usual requests from users
    skips: dict[str, tuple[str, ...]] = field(default_factory=dict)  # caller -> callees it no longer calls
    logs_errors: float = 0.0  # extra share of error records


@dataclass
class Window:
    """One second of the shop: per service and per edge, feature -> value, and counts."""

    services: dict[str, dict[str, float]]
    edges: dict[tuple[str, str], dict[str, float]]


RATE = 60.0


def simulate(rng: np.random.Generator, faults: dict[str, Fault], age: int) -> Window:
    """One second, `age` seconds after onset (negative: healthy)."""
    active = faults if age >= 0 else {}
    get = lambda n: active.get(n, Fault())  # noqa: E731
    demand = float(np.prod([f.demand for f in active.values()]))
    served: dict[str, float] = {"gateway": RATE * demand}
    edges: dict[tuple[str, str], dict[str, float]] = {}
    for name in reversed(ORDER):
        served.setdefault(name, 0.0)
        skipped = [c for f in active.values() for c in f.skips.get(name, ())]
        for callee, share in CALLS.get(name, {}).items():
            calls = 0.0 if callee in skipped or get(name).down else served[name] * share
            edges[name, callee] = {"calls": calls}
            served[callee] = served.get(callee, 0.0) + calls
    latency: dict[str, float] = {}
    error: dict[str, float] = {}
    for name in ORDER:
        fault = get(name)
        latency[name] = (0.004 if name in SILENT else 0.01) * float(np.exp(rng.normal(0, 0.05))) + fault.slow
        ok = 1.0 - max(fault.fails, 0.002)
        if name == "gateway" or served[name]:
            crowded = max(0.0, demand - 2) * 0.1 if demand > 1 and name in active else 0.0
            latency[name] += crowded
        for callee, share in CALLS.get(name, {}).items():
            edge = edges[name, callee]
            gap = 0.001 * float(np.exp(rng.normal(0, 0.1))) + fault.gap + get(callee).gap
            down = get(callee).down
            call = TIMEOUT if down == "hang" else 0.001 if down == "crash" else latency[callee] + gap
            call_error = 1.0 if down else error[callee]
            latency[name] += (share if edge["calls"] else 0.0) * call
            ok *= 1.0 - call_error * min(1.0, share if edge["calls"] else 0.0)
            edge.update(latency=call, error=call_error, gap=gap, answered=0.0 if down else edge["calls"])
        error[name] = 1.0 - ok
    return Window(_services(rng, active, served, latency, error, age), _edges(rng, edges))


def _services(rng, active, served, latency, error, age) -> dict[str, dict[str, float]]:
    out = {}
    for name in sorted(CALLS):
        fault = active.get(name, Fault())
        n = 0 if fault.down else int(rng.poisson(served[name]))
        failed = rng.binomial(n, min(1.0, error[name])) if n else 0
        p50 = latency[name] * float(np.exp(rng.normal(0, 0.05)))
        busy = 0.2 * served[name] / 40 + 0.1
        out[name] = {
            "n": n,
            "request_rate": n,
            "error_rate": failed / n if n else np.nan,
            "latency_p50": p50 if n else np.nan,
            "latency_p95": p50 * 1.8 * float(np.exp(rng.normal(0, 0.08))) if n else np.nan,
            "latency_p99": p50 * 2.5 * float(np.exp(rng.normal(0, 0.12))) if n else np.nan,
            "cpu_utilization": min(1.0, busy + fault.cpu) + rng.normal(0, 0.01),
            "memory_utilization": min(1.0, 0.4 + fault.leak * max(age, 0)) + rng.normal(0, 0.004),
            "log_rate": 2.0 * n,
            "log_error_rate": rng.binomial(2 * n, min(1.0, 0.01 + fault.logs_errors)) / (2 * n) if n else np.nan,
        }
    return out


def _edges(rng, edges) -> dict[tuple[str, str], dict[str, float]]:
    out = {}
    for pair, e in sorted(edges.items()):
        n = int(rng.poisson(e["answered"]))
        out[pair] = {"n": 0, "call_rate": 0}
        if n:
            out[pair] = {
                "n": n,
                "call_rate": n,
                "call_error_rate": rng.binomial(n, min(1.0, e["error"])) / n,
                "call_latency_p95": 1.8 * e["latency"] * float(np.exp(rng.normal(0, 0.08))),
                "network_gap": e["gap"] if pair[1] in CALLS else np.nan,
            }
    return out


def frames(
    window: Window, time_ns: int, usual: Usual, environment: str, versions: dict[str, str]
) -> Iterator[EvidenceFrame]:
    """A window as evidence frames of each signal, scored against what is usual."""
    for signal in (Signal.SPANS, Signal.METRICS, Signal.LOGS):
        rows = {(n, ""): v for n, v in window.services.items()}
        yield _frame(signal, rows, time_ns, usual, environment, versions)
    yield _frame(Signal.EDGES, window.edges, time_ns, usual, environment, versions)


@dataclass
class Usual:
    """Mean and spread of every feature of every row in the healthy shop, for scores."""

    mean: dict[tuple, np.ndarray] = field(default_factory=dict)
    std: dict[tuple, np.ndarray] = field(default_factory=dict)

    @classmethod
    def learn(cls, seed: int) -> Usual:
        """From fifty healthy seconds."""
        rng = np.random.default_rng(seed)
        seen: dict[tuple, list[list[float]]] = {}
        for _ in range(50):
            window = simulate(rng, {}, -1)
            for signal in Signal:
                rows = window.edges if signal is Signal.EDGES else {(n, ""): v for n, v in window.services.items()}
                for key, v in rows.items():
                    seen.setdefault((signal, key), []).append([v.get(f, np.nan) for f in BY_SIGNAL[signal]])
        usual = cls()
        for key, rows in seen.items():
            data = np.array(rows)
            known = np.isfinite(data).any(axis=0)
            usual.mean[key], usual.std[key] = np.full(data.shape[1], np.nan), np.full(data.shape[1], np.nan)
            usual.mean[key][known] = np.nanmean(data[:, known], axis=0)
            usual.std[key][known] = np.nanstd(data[:, known], axis=0)
        return usual

    def score(self, signal: Signal, key: tuple[str, str], values: np.ndarray) -> np.ndarray:
        """Signed decades, roughly."""
        if (signal, key) not in self.mean:
            return np.zeros(len(values))
        mean, std = self.mean[signal, key], self.std[signal, key]
        z = (values - mean) / np.maximum(std, 0.05 * np.abs(mean) + 0.003)
        return np.nan_to_num(np.sign(z) * np.minimum(8.0, z**2 / 4.6))


def _frame(signal, rows, time_ns, usual, environment, versions) -> EvidenceFrame:
    names = BY_SIGNAL[signal]
    values = np.array([[v.get(f, np.nan) for f in names] for v in rows.values()], np.float64).reshape(
        len(rows), len(names)
    )
    score = np.array([usual.score(signal, k, values[i]) for i, k in enumerate(rows)]).reshape(len(rows), len(names))
    worst = np.abs(score).max(axis=1) if len(rows) else np.zeros(0)
    edges = signal is Signal.EDGES
    return EvidenceFrame(
        environment=environment,
        signal=signal.value,
        partition=0,
        window_ns=time_ns,
        width_ns=SECOND,
        services=tuple(k[0] for k in rows),
        peers=tuple(k[1] for k in rows) if edges else (),
        versions=tuple(versions.get(k[0], "v1") for k in rows),
        attributes=("",) * len(rows),
        features=names,
        values=values,
        counts=np.array([v["n"] for v in rows.values()], np.int64),
        score=score,
        low=np.full_like(values, np.nan),
        high=np.full_like(values, np.nan),
        p_value=10.0**-worst,
        state=tuple(ServiceState.ANOMALOUS if w > 4 else ServiceState.HEALTHY for w in worst),
        notes=(),
        presence=_presence(signal, [v["n"] for v in rows.values()]),
    )


def _presence(signal, counts) -> np.ndarray:
    quiet = np.array(counts, np.int64) == 0
    return np.where(quiet & (signal is not Signal.METRICS), Presence.QUIET, Presence.OBSERVED).astype(np.int8)


class Detector:
    """Opens an anomaly after two windows far out, closes it after three quiet ones; silence counts as far out."""

    def __init__(self, environment: str, known: tuple[str, ...]) -> None:
        self.environment, self.known = environment, known
        self.hot: dict[str, int] = {}
        self.open: dict[str, tuple[str, int, int]] = {}

    def look(self, frame: EvidenceFrame) -> Iterator[Anomaly]:
        """Anomalies of the spans frame of a window."""
        worst = {n: float(np.abs(frame.score[i]).max()) for i, n in enumerate(frame.services)}
        for name in self.known:
            yield from self._look(name, worst.get(name, 8.0), frame.window_ns)

    def _look(self, name: str, decades: float, time_ns: int) -> Iterator[Anomaly]:
        far = decades > 4.5
        if name in self.open:
            id_, onset, quiet = self.open[name]
            self.open[name] = (id_, onset, 0 if far else quiet + 1)
            if self.open[name][2] >= 3:
                del self.open[name]
                yield self._event(id_, name, AnomalyPhase.CLOSED, onset, time_ns, decades)
            return
        self.hot[name] = self.hot.get(name, 0) + 1 if far else 0
        if self.hot[name] >= 2:
            onset = time_ns - SECOND
            id_ = f"a-{zlib.crc32(f'{name}{onset}'.encode()):08x}"
            self.open[name] = (id_, onset, 0)
            yield self._event(id_, name, AnomalyPhase.OPENED, onset, time_ns, decades)

    def _event(self, id_: str, name: str, phase: AnomalyPhase, onset: int, time_ns: int, decades: float) -> Anomaly:
        part = Contribution(
            signal="spans", feature="latency_p95", value=None, low=0.0, high=1.0, decades=decades, share=1.0
        )
        return Anomaly(
            id=id_,
            environment=self.environment,
            service=name,
            phase=phase,
            state=ServiceState.ANOMALOUS if phase is not AnomalyPhase.CLOSED else ServiceState.HEALTHY,
            onset_ns=onset,
            time_ns=time_ns + SECOND,
            p_value=10.0**-decades,
            decades=decades,
            contributions=(part,),
            detector="test",
            model_version="1",
            text=f"{name} departs from the usual",
        )


Event = EvidenceFrame | Anomaly | Change


def unchanged(age: int) -> dict[str, str]:
    """No other versions, ever."""
    return {}


@dataclass
class Life:
    """A shop second by second, and how far it has come."""

    environment: str
    seed: int

    def __post_init__(self) -> None:
        self.rng, self.usual = np.random.default_rng(self.seed), usual_of(self.seed + 1000)
        self.detector, self.seconds = Detector(self.environment, tuple(sorted(CALLS))), 0

    def __deepcopy__(self, memo: dict[int, object]) -> Life:
        """What is usual never changes."""
        twin = memo[id(self)] = copy.copy(self)
        twin.rng, twin.detector = copy.deepcopy((self.rng, self.detector), memo)
        return twin

    def second(self, faults: dict[str, Fault], age: int, start_ns: int, versions: dict[str, str]) -> list[Event]:
        """What is told of the next second."""
        window = simulate(self.rng, faults, age)
        seen: list[Event] = list(
            frames(window, start_ns + self.seconds * SECOND, self.usual, self.environment, versions)
        )
        if self.seconds >= 5:
            seen += list(self.detector.look(seen[0]))
        self.seconds += 1
        return seen


usual_of = cache(Usual.learn)


@cache
def _healthy(seconds: int, seed: int, environment: str, start_ns: int) -> tuple[Life, list[list[Event]]]:
    """What most begin with is lived through once: a shop in which nothing has happened yet, and what was told of it."""
    life = Life(environment, seed)
    return life, [life.second({}, -1, start_ns, {}) for _ in range(seconds)]


def play(
    faults: dict[str, Fault],
    *,
    healthy_s: int = 60,
    faulty_s: int = 12,
    recovered_s: int = 0,
    seed: int = 1,
    versions: Callable[[int], dict[str, str]] = unchanged,
    environment: str = "shop",
    start_ns: int = START,
) -> Iterator[tuple[int, list[Event]]]:
    """`(end of window, events)` per second; the fault sets in after `healthy_s` and ends after `faulty_s`."""
    life, told = Life(environment, seed), list[list[Event]]()
    if versions is unchanged:
        life, told = _healthy(healthy_s, seed, environment, start_ns)
        life = copy.deepcopy(life)
    for second in range(healthy_s + faulty_s + recovered_s):
        age, at_ns = second - healthy_s, start_ns + (second + 1) * SECOND
        if second < len(told):
            yield at_ns, list(told[second])
        else:
            yield at_ns, life.second(faults, -1 if age >= faulty_s else age, start_ns, versions(age))


ONSET = START + 60 * SECOND
