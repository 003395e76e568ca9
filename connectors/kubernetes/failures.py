"""The one map from what the API server, or the way to it, answers to the exception tree.

What an answer says (`RefusalKind`) doesn't depend on who asked; what it means does (`Side`): an object that is missing is nothing to
watch, and no target to act on.
"""

from __future__ import annotations

import enum
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import aiohttp

from connectors.kubernetes.request import Request, resource_of
from contracts.errors import (
    ActionFailed,
    ActuatorUnavailable,
    ClusterUnavailable,
    Conflict,
    Forbidden,
    HomeostatError,
    OutcomeUnknown,
    Permanent,
    Retryable,
    TargetNotFound,
)

FAILURES: Final = (aiohttp.ClientError, TimeoutError, OSError)
"""What a request raises when there is no whole answer to it."""
UNSENT: Final = (
    aiohttp.ClientConnectorError,
    aiohttp.ConnectionTimeoutError,
    aiohttp.ClientHttpProxyError,
    aiohttp.InvalidURL,
)
"""Those of them that prove that the request never reached the server."""
SEVERAL_BUDGETS: Final = "several_budgets"


class Expired(Retryable):
    """The resourceVersion is too old: list again (410 Gone)."""

    reason = "expired"


class RefusalKind(enum.Enum):
    """What an answer other than 2xx says."""

    UNKNOWN_CALLER = "does not know us"
    NOT_ALLOWED = "does not let us"
    MISSING = "knows no"
    GONE = "has no longer"
    CONFLICT = "has another version"
    BUSY = "can't now"
    REFUSED = "refuses"


STATUSES: Final[Mapping[int, RefusalKind]] = {
    401: RefusalKind.UNKNOWN_CALLER,
    403: RefusalKind.NOT_ALLOWED,
    404: RefusalKind.MISSING,
    408: RefusalKind.BUSY,
    409: RefusalKind.CONFLICT,
    410: RefusalKind.GONE,
    425: RefusalKind.BUSY,
    429: RefusalKind.BUSY,
}
"""Statuses not listed: 5xx are BUSY, all others REFUSED."""


@dataclass(frozen=True, slots=True)
class Side:
    """Who asks: the error that each cause is to them, what their role needs, and what to look at if nobody answers."""

    errors: Mapping[RefusalKind, type[HomeostatError]]
    role: Callable[[Request, str], str]
    """What to grant, from the request and the server's message."""
    fix: str

    @property
    def unavailable(self) -> type[HomeostatError]:
        """The error of a server that can't be asked."""
        return self.errors[RefusalKind.BUSY]


def refused(side: Side, request: Request, status: int, said: Mapping[str, Any]) -> HomeostatError:
    """The error that an answer other than 2xx stands for. `said`: the `Status` object of its body (`status_of`)."""
    text = str(said.get("message") or "no reason given")
    by_others = _refused_by_others(status, said, text) if request.effect else None
    if by_others is not None:
        return by_others
    cause = STATUSES.get(status, RefusalKind.BUSY if status >= 500 else RefusalKind.REFUSED)
    kind = side.errors[cause]
    reason = ("not_found" if cause is RefusalKind.MISSING else "refused") if kind is Permanent else None
    match cause:
        case RefusalKind.UNKNOWN_CALLER:
            words, fix = f"the API server does not know us {request.text}", "its token is wrong or expired"
        case RefusalKind.NOT_ALLOWED:
            words, fix = f"the API server does not let us {request.text}", side.role(request, text)
        case RefusalKind.MISSING:
            words, fix = f"the API server knows no {resource_of(request.path)}", ""
        case RefusalKind.GONE:
            words, fix = request.text, ""
        case RefusalKind.BUSY:
            words, fix = f"the API server can't {request.text} now, {status}", ""
        case _:
            words, fix = f"the API server refuses to {request.text}, {status}", ""
    return kind(f"{words}: {text}", reason=reason, fix=fix)


def unanswered(side: Side, request: Request, error: BaseException, url: str) -> HomeostatError:
    """The error that a failure on the way stands for. Whether something that was sent had its effect can't be known."""
    text = f"can't {request.text} at {url}: {str(error) or type(error).__name__}"
    if request.effect and not isinstance(error, (*UNSENT, ConnectionRefusedError)):
        return OutcomeUnknown(f"{text}: sent, and no answer")
    return side.unavailable(text, fix=side.fix)


def status_of(data: bytes) -> Mapping[str, Any]:
    """The `Status` object of an answer; of whatever else it is, its beginning as the message."""
    try:
        said = json.loads(data)
    except ValueError:
        said = None
    if isinstance(said, dict) and "message" in said:
        return said
    text = data[:200].decode("utf-8", "replace").strip()
    return {"message": text} if text else {}


# --- who else may refuse an effect, on the API server's behalf

_AWAY: Final = re.compile(r'failed calling webhook "(?P<who>[^"]+)"')
_RULES: Final = "its rules decide, not the role: change them, or what they look at"
_ADMISSION: Final = (
    (
        re.compile(r'admission webhook "(?P<who>[^"]+)" denied the request'),
        "admission webhook",
        "admission_denied",
        _RULES,
    ),
    (re.compile(r"(?P<who>ValidatingAdmissionPolicy '[^']+')[^:]* denied request"), "", "admission_denied", _RULES),
    (re.compile(r'violates PodSecurity (?P<who>"[^"]+")'), "pod security", "admission_denied", "change the template"),
    (re.compile(r"exceeded quota: (?P<who>[\w.-]+)"), "ResourceQuota", "quota", "raise the quota, or use less of it"),
    (
        re.compile(r"(?P<who>)because it is being terminated"),
        "the namespace's end",
        "admission_denied",
        "nothing is made in it any more",
    ),
)
"""Pattern of the message, what it is, reason, what to do. RBAC's own words are `_DENIED`."""


def _refused_by_others(status: int, said: Mapping[str, Any], message: str) -> HomeostatError | None:
    """What admission or a budget refused, whatever the status: no role would change it."""
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
    if status == 500 and "more than one PodDisruptionBudget" in message:
        return ActionFailed(f"several budgets are about the pod: {message}", reason=SEVERAL_BUDGETS)
    if status == 429 and "DisruptionBudget" in _causes(said):
        return ActionFailed(
            f"a PodDisruptionBudget forbids it now: {message}",
            reason="disruption_budget",
            fix="wait until more of its pods are ready, raise its limit, or set unhealthyPodEvictionPolicy: AlwaysAllow",
        )
    return None


def _causes(said: Mapping[str, Any]) -> set[str]:
    details = said.get("details")
    causes = details.get("causes") if isinstance(details, dict) else None
    return {str(c.get("reason", "")) for c in causes or () if isinstance(c, dict)}


# --- the two sides

_DENIED: Final = re.compile(
    r'cannot (?P<verb>\w+) resource "(?P<resource>[^"]+)" in API group "(?P<group>[^"]*)"'
    r'(?: in the namespace "(?P<namespace>[^"]+)")?'
)


def _role_to_watch(request: Request, _message: str) -> str:
    return f"the role needs get, list, watch on {resource_of(request.path)}: docs/telemetry.md#a-kubernetes-cluster"


def _role_to_act(_request: Request, message: str) -> str:
    """The rule to add to a role, from the authorizer's words (k8s.io/apiserver, responsewriters.forbiddenMessage)."""
    found = _DENIED.search(message)
    if found is None:
        return "does its role allow it? see docs/actions.md, On Kubernetes"
    namespace = found["namespace"]
    role = f"its Role in namespace {namespace!r}" if namespace else "its ClusterRole"
    rule = f'{{apiGroups: ["{found["group"]}"], resources: ["{found["resource"]}"], verbs: ["{found["verb"]}"]}}'
    return f"add to {role}: {rule}"


WATCHING: Final = Side(
    errors={
        RefusalKind.UNKNOWN_CALLER: Forbidden,
        RefusalKind.NOT_ALLOWED: Forbidden,
        RefusalKind.MISSING: Permanent,
        RefusalKind.GONE: Expired,
        RefusalKind.CONFLICT: Permanent,
        RefusalKind.BUSY: ClusterUnavailable,
        RefusalKind.REFUSED: Permanent,
    },
    role=_role_to_watch,
    fix="is the API server reachable, and kubernetes.context right? try: kubectl version",
)
ACTING: Final = Side(
    errors={
        RefusalKind.UNKNOWN_CALLER: Forbidden,
        RefusalKind.NOT_ALLOWED: Forbidden,
        RefusalKind.MISSING: TargetNotFound,
        RefusalKind.GONE: TargetNotFound,
        RefusalKind.CONFLICT: Conflict,
        RefusalKind.BUSY: ActuatorUnavailable,
        RefusalKind.REFUSED: ActionFailed,
    },
    role=_role_to_act,
    fix="is the API server reachable, and act.kube_context right? try: kubectl version",
)
