"""The laws of queueing that a simulated service obeys, each for arrays of stations at once.

Sources: A. K. Erlang (1917) for the delay formula of M/M/c; J. D. C. Little (1961) for concurrency; H. Sakasegawa, "An approximation
formula L_q ≈ αρ^β/(1−ρ)" (1977) for many servers without summing; order statistics of a uniform sample are Beta distributed
(H. A. David, "Order Statistics", 1970).
"""

from __future__ import annotations

import math

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

F64 = NDArray[np.float64]
I64 = NDArray[np.int64]


def erlang_c(servers: int, offered: float) -> float:
    """The share of customers of M/M/c that wait, exactly; `offered` is the load in Erlang, below `servers`.

    Raises:
        ValueError: the load is more than the servers can take.
    """
    if offered >= servers:
        raise ValueError(f"{offered:g} Erlang are too much for {servers} servers: the queue has no limit")
    blocked = 1.0
    for n in range(1, servers + 1):
        blocked = offered * blocked / (n + offered * blocked)
    rho = offered / servers
    return blocked / (1.0 - rho * (1.0 - blocked))


def waiting_share(servers: F64, utilisation: F64) -> F64:
    """The share of customers that wait, by Sakasegawa's approximation; `utilisation` in [0, 1)."""
    share: F64 = np.power(np.maximum(utilisation, 0.0), np.sqrt(2.0 * (servers + 1.0)) - 1.0)
    return share


def wait_if_waiting(servers: F64, utilisation: F64, service_s: F64) -> F64:
    """Mean seconds that those wait who do: exponential with this mean, as in M/M/c."""
    mean: F64 = service_s / (servers * (1.0 - utilisation))
    return mean


def stretched(utilisation: F64, cores: F64) -> F64:
    """By how much work takes longer where cores are shared by all that run (processor sharing); 1 at rest, at most 20."""
    busy = np.minimum(utilisation, 0.95)
    factor: F64 = np.minimum(1.0 / (1.0 - np.power(busy, np.maximum(cores, 1.0))), 20.0)
    return factor


def drawn_quantiles(r: Generator, samples: F64, counts: I64) -> F64:
    """p50, p95, p99 of `counts[i]` requests drawn from the law that row i of the sorted `samples` stands for; NaN where none.

    Exact in what chance does to few requests: the k-th of n is at a Beta(k, n−k+1) distributed place of the law.
    """
    rows, width = samples.shape
    out = np.full((rows, 3), np.nan)
    some = np.flatnonzero(counts > 0)
    if not len(some):
        return out
    n = counts[some].astype(np.float64)
    place = np.zeros(len(some))
    before = np.zeros(len(some))
    for j, q in enumerate((0.5, 0.95, 0.99)):
        rank = np.ceil(q * n)
        further = rank > before
        step = r.beta(np.where(further, rank - before, 1.0), n - rank + 1.0)
        place = np.where(further, place + (1.0 - place) * step, place)
        before = rank
        at = np.clip(place * width - 0.5, 0.0, width - 1.0)
        low = np.floor(at).astype(np.int64)
        high = np.minimum(low + 1, width - 1)
        part = at - low
        out[some, j] = samples[some, low] * (1.0 - part) + samples[some, high] * part
    return out


def standard_normals(count: int) -> F64:
    """`count` values that stand for the normal law, evenly by probability, in order (stratified: no chance in their marginals)."""
    return np.array([_probit((k + 0.5) / count) for k in range(count)])


def _probit(p: float) -> float:
    """The quantile of the normal law: bisection on `math.erf` to the last bit that matters."""
    low, high = -9.0, 9.0
    while high - low > 1e-10:
        middle = (low + high) / 2
        if 0.5 * (1.0 + math.erf(middle / math.sqrt(2.0))) < p:
            low = middle
        else:
            high = middle
    return (low + high) / 2
