"""Models of river and pyod by class path: each passes what every detector must do that concerns it, and a wrong one is refused by name."""

import numpy as np
import pytest

from contracts.checks import detector as suite
from contracts.errors import InvalidSettings
from contracts.settings import DetectSettings
from models.adapters.recipes import Recipe
from models.adapters.river_models import RiverModel
from models.detectors import create, warm_up
from tests.representatives import representatives

SHAPED = (suite.check_shapes_and_ranges, suite.check_starts_cold, suite.check_deterministic)


def settings(model, **parameters):
    member = {"model": model, "parameters": parameters}
    return DetectSettings.model_validate({"detectors": ["mine"], "members": {"mine": member}})


@pytest.mark.parametrize(
    ("model", "parameters"),
    representatives(
        [
            ("river.anomaly.HalfSpaceTrees", {"n_trees": 4, "height": 4, "window_size": 60}),
            ("river.anomaly.OneClassSVM", {"nu": 0.1}),
            ("pyod.models.ecod.ECOD", {}),
        ],
        ("river.anomaly.HalfSpaceTrees", {"n_trees": 4, "height": 4, "window_size": 60}),
        ("river.anomaly.OneClassSVM", {"nu": 0.1}),
    ),
)
@pytest.mark.parametrize("check", SHAPED, ids=lambda c: c.__name__)
def test_a_model_by_class_path(model, parameters, check):
    check(lambda: create(settings(model, **parameters))[0])


@pytest.mark.parametrize(
    ("path", "way"),
    [
        ("river.anomaly.HalfSpaceTrees", "score"),
        ("river.anomaly.GaussianScorer", "supervised"),
        ("river.linear_model.LinearRegression", "regress"),
        ("river.time_series.HoltWinters", "forecast"),
    ],
)
def test_each_kind_of_river_model_scores_what_is_strange_higher(path, way):
    parameters = {"forecast": {"alpha": 0.3}, "score": {"window_size": 60}}.get(way, {})
    model = RiverModel.made(Recipe(path, parameters), 3, seed=1)
    assert model.way == way
    r = np.random.default_rng(1)
    for _ in range(200):
        model.learn([float(x) for x in r.normal(0.0, 0.5, 3)])
    usual = np.mean([model.score([float(x) for x in r.normal(0.0, 0.5, 3)]) for _ in range(20)])
    assert model.score([7.0, 7.0, 7.0]) > usual


@pytest.mark.parametrize(
    ("model", "parameters", "said"),
    [
        ("river.anomaly.HalfSpaceTree", {}, "no class river.anomaly.HalfSpaceTree"),
        ("pyod.models.nowhere.KNN", {}, "no class pyod.models.nowhere.KNN"),
        ("river.anomaly.base", {}, "class"),
    ],
)
def test_a_wrong_class_is_refused_before_the_first_window(model, parameters, said):
    with pytest.raises(InvalidSettings, match=said):
        warm_up(settings(model, **parameters))


def test_a_wrong_parameter_is_refused_by_name():
    with pytest.raises(InvalidSettings, match=r"can't be made with \{'trees': 3\}"):
        warm_up(settings("river.anomaly.HalfSpaceTrees", trees=3))


def test_only_the_two_libraries_may_be_named():
    with pytest.raises(ValueError, match="model"):
        settings("os.path.join")


def test_a_member_is_for_the_services_it_is_meant_for():
    assert Recipe("river.anomaly.HalfSpaceTrees", {}, ("shop/*",)).meant(("shop/a", "b")).tolist() == [True, False]
