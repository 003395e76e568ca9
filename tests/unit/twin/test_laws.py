"""The laws of queueing, against theory."""

from __future__ import annotations

import numpy as np
import pytest

from twin.laws import drawn_quantiles, erlang_c, standard_normals, stretched, wait_if_waiting, waiting_share


def test_erlang_c_is_that_of_the_tables():
    assert erlang_c(1, 0.5) == pytest.approx(0.5)  # M/M/1: the share that waits is the utilisation
    assert erlang_c(2, 1.0) == pytest.approx(1 / 3)
    assert erlang_c(10, 8.0) == pytest.approx(0.4092, abs=1e-4)
    with pytest.raises(ValueError, match="no limit"):
        erlang_c(4, 4.0)


@pytest.mark.parametrize("servers", [1, 2, 4, 16, 64])
@pytest.mark.parametrize("utilisation", [0.3, 0.6, 0.9])
def test_the_mean_wait_is_near_that_of_m_m_c(servers: int, utilisation: float):
    exact = erlang_c(servers, servers * utilisation) / (servers * (1 - utilisation))
    c, rho = np.array([float(servers)]), np.array([utilisation])
    found = float((waiting_share(c, rho) * wait_if_waiting(c, rho, np.ones(1)))[0])
    assert found == pytest.approx(exact, rel=0.15, abs=0.03)  # service times


def test_shared_cores_stretch_work_as_processor_sharing_does():
    assert stretched(np.array([0.0, 0.5, 0.8]), np.ones(3)) == pytest.approx([1.0, 2.0, 5.0])
    assert (np.diff(stretched(np.linspace(0, 2, 50), np.full(50, 4.0))) >= 0).all()


def test_percentiles_of_few_requests_scatter_as_they_do():
    r = np.random.default_rng(3)
    law = np.sort(np.exp(standard_normals(400)))[None, :]
    for n in (1, 5, 30, 400):
        real = np.array([np.quantile(np.exp(r.normal(size=n)), 0.95, method="inverted_cdf") for _ in range(1000)])
        drawn = np.array([drawn_quantiles(r, law, np.array([n]))[0, 1] for _ in range(1000)])
        assert np.median(drawn) == pytest.approx(np.median(real), rel=0.15)
        assert np.std(np.log(drawn)) == pytest.approx(np.std(np.log(real)), rel=0.15)


def test_percentiles_are_in_order_and_none_without_requests():
    r = np.random.default_rng(4)
    law = np.sort(r.lognormal(size=(50, 96)), axis=1)
    found = drawn_quantiles(r, law, r.integers(0, 6, 50))
    some = np.isfinite(found).all(axis=1)
    assert some.any()
    assert not some.all()
    assert (np.diff(found[some], axis=1) >= 0).all()
