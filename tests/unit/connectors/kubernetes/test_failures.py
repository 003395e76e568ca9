"""The map of errors, for whoever watches and whoever acts: every status, and every way in which a request may get no answer."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.kubernetes.access import Access, open_access
from connectors.kubernetes.failures import (
    ACTING,
    FAILURES,
    UNSENT,
    WATCHING,
    Expired,
    RefusalKind,
    refused,
    status_of,
    unanswered,
)
from connectors.kubernetes.request import Request
from connectors.kubernetes.transport import Limits, Transport
from contracts.errors import (
    ActionFailed,
    ActuatorUnavailable,
    ClusterUnavailable,
    Conflict,
    Forbidden,
    HomeostatError,
    OutcomeUnknown,
    Permanent,
    TargetNotFound,
)

DATA = Path(__file__).resolve().parents[3] / "testdata" / "kubernetes"
STATUSES: dict[str, Any] = json.loads((DATA / "statuses.json").read_text())
CART = "/apis/apps/v1/namespaces/shop/deployments/cart"
PATCH, GET = Request("patch", CART), Request("get", CART)
LIST = Request("list", "/apis/apps/v1/deployments")
ALL_STATUSES = (*range(100, 200), *range(300, 600))


@pytest.mark.parametrize("request_", [PATCH, GET], ids=["effect", "question"])
def test_every_status_is_mapped_for_whoever_acts(request_: Request) -> None:
    special = {
        401: Forbidden,
        403: Forbidden,
        404: TargetNotFound,
        408: ActuatorUnavailable,
        409: Conflict,
        410: TargetNotFound,
        425: ActuatorUnavailable,
        429: ActuatorUnavailable,
    }
    for status in ALL_STATUSES:
        wanted = special.get(status, ActuatorUnavailable if status >= 500 else ActionFailed)
        assert type(refused(ACTING, request_, status, {"message": "x"})) is wanted, status


def test_every_status_is_mapped_for_whoever_watches() -> None:
    special = {
        401: (Forbidden, "forbidden"),
        403: (Forbidden, "forbidden"),
        404: (Permanent, "not_found"),
        408: (ClusterUnavailable, "cluster_unavailable"),
        410: (Expired, "expired"),
        425: (ClusterUnavailable, "cluster_unavailable"),
        429: (ClusterUnavailable, "cluster_unavailable"),
    }
    for status in ALL_STATUSES:
        usual = (ClusterUnavailable, "cluster_unavailable") if status >= 500 else (Permanent, "refused")
        found = refused(WATCHING, LIST, status, {"message": "x"})
        assert (type(found), found.reason) == special.get(status, usual), status


@pytest.mark.parametrize("side", [ACTING, WATCHING])
def test_every_cause_has_an_error_on_both_sides(side: Any) -> None:
    assert set(side.errors) == set(RefusalKind)


def test_forbidden_says_which_rule_is_missing() -> None:
    said = str(refused(ACTING, PATCH, 403, STATUSES["403"]))
    rule = '{apiGroups: ["apps"], resources: ["deployments"], verbs: ["patch"]}'
    assert f"add to its Role in namespace 'shop': {rule}" in said
    everywhere = 'nodes is forbidden: User "u" cannot list resource "nodes" in API group "" at the cluster scope'
    found = str(refused(ACTING, PATCH, 403, {"message": everywhere}))
    assert 'its ClusterRole: {apiGroups: [""], resources: ["nodes"]' in found
    assert "docs/actions.md" in str(refused(ACTING, PATCH, 403, {"message": "exceeded quota"}))
    assert "get, list, watch on deployments.apps" in str(refused(WATCHING, LIST, 403, STATUSES["403"]))


@pytest.mark.parametrize(
    ("path", "resource"),
    [
        ("/api/v1/pods", "pods"),
        ("/api/v1/namespaces/shop/pods", "pods in shop"),
        ("/apis/apps/v1/namespaces/shop/deployments/cart", "deployments.apps cart in shop"),
        ("/api/v1/namespaces/shop/pods/p-1/eviction", "pods p-1 eviction in shop"),
        ("/api/v1/namespaces/kube-system", "namespaces kube-system"),
        ("/version", "version"),
    ],
)
def test_requests_are_named_by_verb_and_resource(path: str, resource: str) -> None:
    assert Request("list", path).text == f"list {resource}"


def _all(kind: type[BaseException]) -> set[type[BaseException]]:
    return {kind}.union(*(_all(k) for k in kind.__subclasses__()))


def test_every_failure_of_the_http_library_is_mapped() -> None:
    """Made without its arguments: what matters is the class. Only what proves that nothing was sent may be tried again."""
    kinds = {k for root in FAILURES for k in _all(root)}
    assert len(kinds) > 30
    for kind in kinds:
        members = {"__init__": lambda _: None, "__str__": lambda _: "broken"}
        error = type(kind.__name__, (kind,), members)()
        never_sent = issubclass(kind, (*UNSENT, ConnectionRefusedError))
        wanted = ActuatorUnavailable if never_sent else OutcomeUnknown
        assert type(unanswered(ACTING, PATCH, error, "http://c")) is wanted, kind
        assert type(unanswered(ACTING, GET, error, "http://c")) is ActuatorUnavailable, kind
        assert type(unanswered(WATCHING, LIST, error, "http://c")) is ClusterUnavailable, kind


@given(st.binary(max_size=300), st.sampled_from(ALL_STATUSES), st.sampled_from([ACTING, WATCHING]))
def test_whatever_an_answer_holds_is_an_error_in_words(data: bytes, status: int, side: Any) -> None:
    for request_ in (PATCH, LIST):
        found = refused(side, request_, status, status_of(data))
        assert isinstance(found, HomeostatError)
        assert found.message


def _to(url: str) -> Transport:
    class Known:
        username = ""

        def get_api_key_with_prefix(self, *_: object, **__: object) -> str:
            return "Bearer t"

    return Transport(Access(url, True, None, None, Known()), ACTING)


async def test_an_effect_that_could_not_be_sent_is_not_in_doubt() -> None:
    """Where nobody listens, and where the name leads nowhere, on real sockets."""
    for url in ("http://127.0.0.1:1", "http://nowhere.invalid"):
        transport = _to(url)
        with pytest.raises(ActuatorUnavailable, match="kubectl version"):
            await transport.request(PATCH, Limits(3, 3))
        await transport.close()


async def test_without_credentials_nothing_is_sent() -> None:
    class Broken:
        def get_api_key_with_prefix(self, *_: object, **__: object) -> str:
            raise RuntimeError("the plugin is not installed")

    transport = Transport(Access("http://127.0.0.1:1", True, None, None, Broken()), ACTING)
    with pytest.raises(ActuatorUnavailable, match="the plugin is not installed"):
        await transport.request(PATCH, Limits(3, 3))
    await transport.close()


@pytest.mark.parametrize(("no_proxy", "used"), [("", True), ("127.0.0.1", False), ("elsewhere", True)])
def test_a_proxy_is_used_unless_it_is_bypassed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, no_proxy: str, used: bool
) -> None:
    document = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "here",
        "clusters": [{"name": "c", "cluster": {"server": "http://127.0.0.1:6443"}}],
        "users": [{"name": "u", "user": {"token": "t0ken"}}],
        "contexts": [{"name": "here", "context": {"cluster": "c", "user": "u"}}],
    }
    (tmp_path / "kubeconfig").write_text(json.dumps(document))
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "kubeconfig"))
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    for name in ("http_proxy", "HTTP_PROXY"):
        monkeypatch.setenv(name, "http://proxy.example:3128")
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.setenv(name, no_proxy)
    assert (open_access("here").proxy == "http://proxy.example:3128") is used


def test_the_base_classes_cover_what_aiohttp_raises() -> None:
    assert issubclass(aiohttp.ConnectionTimeoutError, aiohttp.ClientError)
    assert not issubclass(aiohttp.SocketTimeoutError, UNSENT)
    assert not issubclass(aiohttp.ServerDisconnectedError, UNSENT)
