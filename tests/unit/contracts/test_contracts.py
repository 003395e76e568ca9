"""Topics, settings, latency grid, errors."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts import settings, topics
from contracts.errors import HomeostatError, InvalidSettings, Permanent, Retryable, UnknownName
from contracts.events import Anomaly, Contribution, encode
from contracts.features import BY_SIGNAL, COUNT_OF, FEATURES
from contracts.frames import latency
from tests.unit.contracts.samples import EVENTS


def test_partition_is_stable_across_processes() -> None:
    assert [topics.partition_of(k, 4) for k in ("prod", "shop/cart", "")] == [3, 3, 0]


def test_topics_of_an_environment_share_their_partitioning() -> None:
    owner = {topics.EVIDENCE, topics.ANOMALIES, topics.INCIDENTS, topics.CHANGES, topics.DECISIONS, topics.APPROVALS}
    assert {topics.TOPICS[t].partitioning for t in owner} == {topics.Partitioning.ENVIRONMENT}


def test_an_unknown_setting_is_named_with_its_neighbour() -> None:
    with pytest.raises(InvalidSettings, match=r"ingest\.windw_ms: unknown setting, did you mean 'ingest\.window_ms'\?"):
        settings.load({"ingest": {"windw_ms": 5}})


def test_a_setting_out_of_range_says_which_and_why() -> None:
    with pytest.raises(InvalidSettings, match=r"broker\.partitions: Input should be greater than or equal to 1"):
        settings.load({"broker": {"partitions": 0}})


def test_environment_overrides_the_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOMEOSTAT_INGEST__WINDOW_MS", "500")
    found = settings.load({"ingest": {"window_ms": 2000, "flush_ms": 50}})
    assert (found.ingest.window_ms, found.ingest.flush_ms) == (500, 50)


def test_secrets_do_not_show() -> None:
    found = settings.load({"graph": {"password": "hunter2"}})
    assert "hunter2" not in repr(found) + found.model_dump_json()


@given(st.lists(st.floats(2e-6, 2000), min_size=1, max_size=200), st.sampled_from([0.5, 0.95, 0.99]))
def test_grid_quantile_is_within_a_percent_of_the_exact_one(durations: list[float], q: float) -> None:
    buckets, counts = np.unique(latency.bucket_of(np.array(durations)), return_counts=True)
    found = latency.quantiles(buckets, counts, (q,))[0]
    exact = sorted(durations)[int(np.ceil(q * len(durations))) - 1]
    assert found == pytest.approx(exact, rel=0.011)


def test_quantile_of_nothing_is_nan() -> None:
    assert np.isnan(latency.quantiles(np.empty(0, np.int32), np.empty(0, np.int64), (0.5,))).all()


def test_every_signal_has_its_count_column() -> None:
    assert all(COUNT_OF[s] in BY_SIGNAL[s] for s in BY_SIGNAL)
    assert {n for names in BY_SIGNAL.values() for n in names} == set(FEATURES)


def test_unknown_name_lists_the_valid_ones() -> None:
    text = str(UnknownName("detector", "rivr", ["river", "bank"]))
    assert text == "unknown detector 'rivr' (did you mean 'river'? valid: bank, river)"


def test_every_error_is_retryable_or_permanent_with_a_reason_of_its_own() -> None:
    kinds = [*Retryable.__subclasses__(), *Permanent.__subclasses__()]
    reasons = [k.reason for k in kinds]
    assert len(set(reasons)) == len(reasons)
    assert all(issubclass(k, HomeostatError) for k in kinds)


@pytest.mark.parametrize(
    ("actuators", "environments", "word"),
    [
        (["kubernetes"], {"a": {}, "b": {}}, "environments 'a' and 'b' are bound to the same things of one cluster"),
        (["kubernetes"], {"a": {"namespaces": ["x", "y"]}, "b": {"namespaces": ["y"]}}, "name the namespaces of each"),
        (["process"], {"a": {}, "b": {}}, "environments 'a' and 'b' share the process manager"),
        (["mine"], {"a": {}, "b": {}}, "'a' and 'b' may reach the same things by the actuator 'mine'"),
        (["mine"], {"a": {"namespaces": ["x", "y"]}, "b": {"namespaces": ["y"]}}, "name the namespaces of each"),
        (["mine"], {"a": {"cluster": "x"}, "b": {"cluster": "y"}}, "name the namespaces of each"),
        (["kubernetes"], {"a": {"context": "x"}}, "unknown setting"),
    ],
)
def test_one_thing_has_one_environment(actuators: list[str], environments: object, word: str) -> None:
    with pytest.raises(InvalidSettings, match=word):
        settings.load({"act": {"actuators": actuators, "environments": environments}})


def test_environments_may_share_a_cluster_by_namespaces() -> None:
    apart = {"a": {"namespaces": ["x"]}, "b": {"namespaces": ["y"]}, "c": {"cluster": "other"}}
    act = settings.load({"act": {"actuators": ["kubernetes", "command"], "environments": apart}}).act
    settings.load({"act": {"actuators": ["mine"], "environments": {e: apart[e] for e in "ab"}}})
    each = {"a": {"actuators": ["mine"]}, "b": {"actuators": ["yours"]}}
    settings.load({"act": {"actuators": ["mine", "yours"], "environments": each}})
    assert act.binding("c", "kubernetes") is not None
    assert act.binding("d", "kubernetes") is act.binding("d", "command") is None
    assert act.binding("d", "dry-run") is not None
    assert act.binding("d", "webhook") is not None


@pytest.mark.parametrize(
    "number", [np.float64(0.25), np.float32(0.25), np.int64(3), np.bool_(True)], ids=lambda n: type(n).__name__
)
def test_numbers_of_numpy_are_no_reason_to_lose_an_event(number: object) -> None:
    """A detector is written with arrays: what it takes out of one is told like any other number."""
    plain = contribution(number.item())  # type: ignore[attr-defined]
    assert encode(contribution(number)) == encode(plain)
    with pytest.raises(TypeError, match="events hold no ndarray"):
        encode(contribution(np.zeros(2)))


def contribution(value: object) -> Anomaly:
    part = Contribution(signal="spans", feature="error_rate", value=value, low=0.0, high=1.0, decades=1.0, share=0.0)  # type: ignore[arg-type]
    return msgspec.structs.replace(EVENTS["Anomaly"], contributions=(part,))
