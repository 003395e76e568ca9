"""What a workload ran before, by its revisions: the release before the present one, also where only a setting or a limit was changed."""

from __future__ import annotations

import copy

import pytest

from connectors.actuators.kubernetes.revisions import RESTARTED_AT, RevisionHistory, history_of
from contracts.actions.action import ReplicaBounds
from contracts.actions.rollback import RollbackAction
from contracts.ports import TargetState

NUMBER = "deployment.kubernetes.io/revision"


def template(tag: str, limit: str = "1", restarted: str = "") -> dict:
    marks = {RESTARTED_AT: restarted} if restarted else {}
    container = {"name": "cart", "image": f"shop/cart:{tag}", "resources": {"limits": {"cpu": limit}}}
    return {"metadata": {"labels": {"app": "cart"}, "annotations": marks}, "spec": {"containers": [container]}}


def history(*templates: dict) -> RevisionHistory:
    """Of a Deployment that ran these, oldest first; the last one now."""
    sets = []
    for number, each in enumerate(templates, 1):
        kept = copy.deepcopy(each)
        kept["metadata"]["labels"]["pod-template-hash"] = f"h{number}"
        metadata = {"name": f"cart-h{number}", "annotations": {NUMBER: str(number)}, "ownerReferences": [{"uid": "u"}]}
        sets.append({"metadata": metadata, "spec": {"template": kept}})
    metadata = {"name": "cart", "uid": "u", "annotations": {NUMBER: str(len(templates))}}
    return history_of({"kind": "Deployment", "metadata": metadata, "spec": {"template": templates[-1]}}, sets)


@pytest.mark.parametrize(
    ("ran", "previous", "number"),
    [
        pytest.param([template("1"), template("2")], "1", 1, id="another version"),
        pytest.param([template("1"), template("2"), template("2", "100m")], "2#h2", 2, id="a limit, after a release"),
        pytest.param([template("2"), template("2", "100m")], "2#h1", 1, id="a limit, of the only version there was"),
        pytest.param(
            [template("1"), template("2"), template("2", restarted="now")], "1", 1, id="a restart is no release"
        ),
        pytest.param(
            [template("2"), template("2", "100m"), template("2", "100m", "now")], "2#h1", 1, id="a limit, and a restart"
        ),
        pytest.param([template("2")], "", 0, id="never another"),
        pytest.param([template("2"), template("2", restarted="now")], "", 0, id="never another than restarted"),
    ],
)
def test_the_release_before_the_present_one(ran: list[dict], previous: str, number: int) -> None:
    """To go back to an older version where a limit was changed would undo a good release besides."""
    past = history(*ran)
    assert past.previous_version == previous
    found = past.find(previous)
    assert (0 if found is None else found.number) == number


def test_a_version_by_its_name_is_the_newest_other_release_of_it() -> None:
    past = history(template("1"), template("2"), template("2", "500m"), template("2", "100m"))
    found = [past.find(v) for v in ("1", "2", "2#h2", "2#h9", "3")]
    assert [None if r is None else r.number for r in found] == [1, 3, 2, None, None]


def test_going_back_and_forth_between_two_releases_of_one_version() -> None:
    action, bounds = RollbackAction(), ReplicaBounds(1, 10)
    before = TargetState(replicas=2, ready=2, version="2", previous_version="2#h1")
    back = action.absolute({}, before, bounds)
    assert back == {"version": "2#h1"}
    assert not action.pointless(back, before)
    after = TargetState(replicas=2, ready=2, version="2", previous_version="2#h2")
    forth = action.restored({}, after, before, bounds)
    assert (forth, action.pointless(forth, after)) == ({"version": "2#h2"}, "")
    other = TargetState(replicas=2, ready=2, version="1", previous_version="2")
    assert action.restored({}, other, before, bounds) == {"version": "2"}
