"""The API server: one call at a time in a thread, JSON in and out, and its errors mapped onto the exception tree."""

from __future__ import annotations

import asyncio
import json
import os
import re
import threading
from collections.abc import Mapping, Sequence
from typing import Any, Final

import urllib3.exceptions as failures
from kubernetes import client, config
from kubernetes.client.exceptions import ApiException, OpenApiException

from connectors import paths
from connectors.actuators.kubernetes.ownership import MANAGER
from contracts.errors import (
    ActionFailed,
    ActuatorUnavailable,
    Conflict,
    Forbidden,
    HomeostatError,
    OutcomeUnknown,
    TargetNotFound,
)
from contracts.settings import ActSettings

APPLY: Final = "application/apply-patch+yaml"
JSON_PATCH: Final = "application/json-patch+json"
STRATEGIC: Final = "application/strategic-merge-patch+json"
CONNECT_S: Final = 3.0
READ_S: Final = 10.0

#: HTTP status -> error. Statuses not listed: 5xx are ActuatorUnavailable, all others ActionFailed.
STATUSES: Final[Mapping[int, type[HomeostatError]]] = {
    401: Forbidden,
    403: Forbidden,
    404: TargetNotFound,
    408: ActuatorUnavailable,
    409: Conflict,
    410: TargetNotFound,
    425: ActuatorUnavailable,
    429: ActuatorUnavailable,
}
#: What proves that a request never reached the server.
_UNSENT: Final = (failures.NewConnectionError, failures.ConnectTimeoutError, failures.NameResolutionError)
_DENIED: Final = re.compile(
    r'cannot (?P<verb>\w+) resource "(?P<resource>[^"]+)" in API group "(?P<group>[^"]*)"'
    r'(?: in the namespace "(?P<namespace>[^"]+)")?'
)
_AWAY: Final = re.compile(r'failed calling webhook "(?P<who>[^"]+)"')
_ADMISSION: Final = (
    (
        re.compile(r'admission webhook "(?P<who>[^"]+)" denied the request'),
        "admission webhook",
        "admission_denied",
        "its rules decide, not the role: change them, or what they look at",
    ),
    (
        re.compile(r"(?P<who>ValidatingAdmissionPolicy '[^']+')[^:]* denied request"),
        "",
        "admission_denied",
        "its rules decide, not the role: change them, or what they look at",
    ),
    (re.compile(r'violates PodSecurity (?P<who>"[^"]+")'), "pod security", "admission_denied", "change the template"),
    (re.compile(r"exceeded quota: (?P<who>[\w.-]+)"), "ResourceQuota", "quota", "raise the quota, or use less of it"),
    (
        re.compile(r"(?P<who>)because it is being terminated"),
        "the namespace's end",
        "admission_denied",
        "nothing is made in it any more",
    ),
)
"""Who else may refuse: pattern of the message, what it is, reason, what to do. RBAC's own words are `_DENIED`."""
SEVERAL_BUDGETS: Final = "several_budgets"
_FIX: Final = "is the API server reachable, and act.kube_context right? try: kubectl version"


class Cluster:
    """A connection, made at the first call. Threads may share it."""

    def __init__(self, context: str) -> None:
        self._context = context
        self._turn = threading.Lock()
        self._client: Any = None
        self._uid = ""

    @property
    def known(self) -> bool:
        """Whether its uid is known, so that `uid` asks nobody."""
        return bool(self._uid)

    async def uid(self) -> str:
        """The uid of its namespace kube-system, which is there as long as the cluster is: what the cluster is known by."""
        if not self._uid:
            namespace = await self.get("/api/v1/namespaces/kube-system")
            self._uid = str(namespace["metadata"]["uid"])
        return self._uid

    async def get(self, path: str, **query: str) -> dict[str, Any]:
        """The JSON at a path. Raises Forbidden, TargetNotFound, ActuatorUnavailable, ActionFailed."""
        return await asyncio.to_thread(self._call, "GET", path, tuple(query.items()), None, "")

    async def apply(self, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """Server-side apply under our field manager, by force: `ownership` has been asked before. Raises as `patch`."""
        query = (("fieldManager", MANAGER), ("force", "true"))
        return await asyncio.to_thread(self._call, "PATCH", path, query, json.dumps(body), APPLY)

    async def patch(self, path: str, body: Mapping[str, Any] | Sequence[Any], kind: str) -> dict[str, Any]:
        """Change an object, by a JSON_PATCH or STRATEGIC merge. Raises as `get`, and Conflict, OutcomeUnknown."""
        query = (("fieldManager", MANAGER),)
        return await asyncio.to_thread(self._call, "PATCH", path, query, body, kind)

    async def create(self, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """Post an object, such as an eviction. Raises as `patch`."""
        return await asyncio.to_thread(self._call, "POST", path, (), body, "application/json")

    @property
    def host(self) -> str:
        """Where the API server is; empty before the first call."""
        return "" if self._client is None else str(self._client.configuration.host)

    async def close(self) -> None:
        """Close connections. Idempotent; a later call connects again."""
        await asyncio.to_thread(self._close)

    def _close(self) -> None:
        with self._turn:
            opened, self._client, self._uid = self._client, None, ""
        if opened is not None:
            opened.rest_client.pool_manager.clear()
            opened.close()

    def _call(self, method: str, path: str, query: Sequence[tuple[str, str]], body: Any, kind: str) -> dict[str, Any]:
        paths.plain(path)  # whoever made it should have; the client's library resolves `..` by itself
        headers = {"Accept": "application/json"} | ({"Content-Type": kind} if kind else {})
        effect = method != "GET"
        try:
            api = self._connected()
            request = api.param_serialize(
                method, path, query_params=list(query), header_params=headers, body=body, auth_settings=["BearerToken"]
            )
            reply = api.call_api(*request, _request_timeout=(CONNECT_S, READ_S))
            data = reply.read()
            if not 200 <= reply.status < 300:
                raise refused(reply.status, _status(data) or {"message": str(reply.reason)})
            found: dict[str, Any] = json.loads(data)
            return found
        except (OpenApiException, config.ConfigException, failures.HTTPError, OSError, ValueError) as e:
            raise explain(e, effect=effect) from e

    def _connected(self) -> Any:
        with self._turn:
            if self._client is None:
                self._client = _connect(self._context)
            return self._client


def _connect(context: str) -> Any:
    loading: Any = config  # its functions have no types
    settings = client.Configuration()
    if not context and os.environ.get("KUBERNETES_SERVICE_HOST"):
        loading.load_incluster_config(client_configuration=settings)
    else:
        file = os.environ.get("KUBECONFIG")
        loading.load_kube_config(file, context or None, settings, persist_config=False)
    # Each failure is seen here, and is for the executor to repeat or not.
    settings.retries = False
    return client.ApiClient(settings)


def refused(status: int, said: Mapping[str, Any]) -> HomeostatError:
    """The error that an answer of the API server other than 2xx stands for. `said`: the `Status` object of its body."""
    message = str(said.get("message", ""))
    by_admission = _admission(status, message)
    if by_admission is not None:
        return by_admission
    if status == 500 and "more than one PodDisruptionBudget" in message:
        return ActionFailed(f"several budgets are about the pod: {message}", reason=SEVERAL_BUDGETS)
    if status == 429 and _causes(said) & {"DisruptionBudget"}:
        return ActionFailed(
            f"a PodDisruptionBudget forbids it now: {message}",
            reason="disruption_budget",
            fix="wait until more of its pods are ready, raise its limit, or set unhealthyPodEvictionPolicy: AlwaysAllow",
        )
    kind = STATUSES.get(status, ActuatorUnavailable if status >= 500 else ActionFailed)
    return kind(f"the API server said {status}: {message}", fix=_rule(message) if kind is Forbidden else "")


def _admission(status: int, message: str) -> HomeostatError | None:
    """What somebody else refused on the API server's behalf, whatever the status: no role would change it."""
    away = _AWAY.search(message)
    if away is not None and status >= 500:
        return ActuatorUnavailable(
            f"admission webhook {away['who']} can't be asked, so the API server takes nothing: {message}",
            fix="it must answer again, or be taken out: kubectl get validatingwebhookconfigurations,mutatingwebhookconfigurations",
        )
    for pattern, what, reason, fix in _ADMISSION:
        found = pattern.search(message)
        if found is not None and 400 <= status < 500:
            who = " ".join(part for part in (what, found.groupdict().get("who", "")) if part)
            return ActionFailed(f"{who} denies it: {message}", reason=reason, fix=fix)
    return None


def _causes(said: Mapping[str, Any]) -> set[str]:
    details = said.get("details")
    causes = details.get("causes") if isinstance(details, dict) else None
    return {str(c.get("reason", "")) for c in causes or () if isinstance(c, dict)}


def _rule(message: str) -> str:
    """The rule to add to a role, from the authorizer's words (k8s.io/apiserver, responsewriters.forbiddenMessage)."""
    found = _DENIED.search(message)
    if found is None:
        return "does its role allow it? see docs/actions.md, On Kubernetes"
    namespace = found["namespace"]
    role = f"its Role in namespace {namespace!r}" if namespace else "its ClusterRole"
    rule = f'{{apiGroups: ["{found["group"]}"], resources: ["{found["resource"]}"], verbs: ["{found["verb"]}"]}}'
    return f"add to {role}: {rule}"


def explain(error: BaseException, *, effect: bool) -> HomeostatError:
    """The error that an exception of the client stands for. `effect`: the call would have changed something."""
    if isinstance(error, failures.MaxRetryError) and error.reason is not None:
        error = error.reason
    text = f"the API server can't be asked: {str(error) or type(error).__name__}"
    before_sending = isinstance(error, (*_UNSENT, OpenApiException, config.ConfigException, ConnectionRefusedError))
    if isinstance(error, ApiException) and error.status:
        return refused(error.status, {"message": str(error.reason)})
    if before_sending or not effect:
        return ActuatorUnavailable(text, fix=_FIX)
    return OutcomeUnknown(f"{text}: sent, and no answer")


def _status(data: bytes) -> Mapping[str, Any]:
    """The `Status` object of an answer; of whatever else it is, its beginning as the message."""
    try:
        said = json.loads(data)
    except ValueError:
        said = None
    if isinstance(said, dict) and "message" in said:
        return said
    text = data[:200].decode("utf-8", "replace").strip()
    return {"message": text} if text else {}


async def cluster_version(settings: ActSettings) -> str:
    """Version and address of the cluster. Raises ActuatorUnavailable, Forbidden."""
    cluster = Cluster(settings.kube_context)
    try:
        version = await cluster.get("/version")
        return f"Kubernetes {version.get('gitVersion', '?')} at {cluster.host}"
    finally:
        await cluster.close()
