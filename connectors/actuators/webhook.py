"""The actuator `webhook`: calls URLs that the settings name. What happens there is the receiver's to say."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import aiohttp

from connectors.actuators.http import CONNECT_S, FAILURES, explain
from connectors.actuators.idempotency import OncePerKey
from connectors.actuators.naming import by_name
from contracts.errors import ActionFailed, ActuatorUnavailable, HomeostatError, OutcomeUnknown, TargetNotFound
from contracts.ports import Applied, Identity, StepRequest, StepResult, Target, TargetState
from contracts.settings import ActSettings

_KEPT_BYTES: Final = 300


class WebhookActuator:
    """POST of JSON with an `Idempotency-Key` header, by which a receiver can tell a repetition (after a crash, say)."""

    name = "webhook"
    actions = frozenset({"webhook"})

    def __init__(self, settings: ActSettings) -> None:
        self._urls = {name: url.get_secret_value() for name, url in settings.webhooks.items()}
        self._once = OncePerKey()
        self._session: aiohttp.ClientSession | None = None

    async def resolve(self, target: Target) -> Identity:
        """A webhook touches nothing of ours: the service that it tells of, by name."""
        return by_name(self.name, target)

    async def describe(self, target: Target) -> TargetState:
        """Always TargetNotFound: a webhook is not a service."""
        raise TargetNotFound(f"webhooks know nothing of {target.service!r}", fix=self._known)

    async def apply(self, request: StepRequest) -> StepResult:
        """Call the webhook that the argument `name` says."""
        name = str(request.arguments.get("name", ""))
        if request.action not in self.actions:
            raise ActionFailed(f"the webhook actuator can't {request.action}")
        if name not in self._urls:
            raise TargetNotFound(f"no webhook {name!r} in act.webhooks", fix=self._known)
        return await self._once.run(request.key, lambda: self._call(name, request))

    async def applied(self, request: StepRequest) -> Applied:
        """YES if this process called it; else only the receiver knows."""
        return self._once.applied(request.key)

    async def close(self) -> None:
        """Close connections."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    @property
    def _known(self) -> str:
        return f"there are: {', '.join(sorted(self._urls)) or 'none'}"

    async def _call(self, name: str, request: StepRequest) -> StepResult:
        if self._session is None:
            self._session = aiohttp.ClientSession(connector=aiohttp.TCPConnector(force_close=True))
        try:
            async with self._session.post(
                self._urls[name],
                json=_body(request),
                headers={"Idempotency-Key": request.key},
                timeout=aiohttp.ClientTimeout(total=request.timeout_s, sock_connect=CONNECT_S),
                allow_redirects=False,  # a POST that is redirected turns into a GET
            ) as reply:
                status, said = reply.status, (await reply.content.read(_KEPT_BYTES)).decode("utf-8", "replace").strip()
        except FAILURES as e:
            # The URL stays out of it: a webhook's address often is its secret.
            raise explain(e, f"webhook {name}", effect=True) from e
        if 200 <= status < 300:
            return StepResult(f"webhook {name} answered {status}", None, {"webhook": name, "status": status})
        raise refused(status, f"webhook {name} answered {status}" + (f": {said}" if said else ""))


def refused(status: int, text: str) -> HomeostatError:
    """The error of the exception tree that an answer other than 2xx stands for."""
    if status >= 500:
        return OutcomeUnknown(text)  # it was received, and may have been acted on before it broke
    return ActuatorUnavailable(text) if status == 429 else ActionFailed(text)


def _body(request: StepRequest) -> dict[str, Any]:
    """The playbook's own fields, and `homeostat` about the run."""
    given = request.arguments.get("body")
    own: Mapping[str, Any] = given if isinstance(given, Mapping) else {} if given is None else {"body": given}
    about = {
        "key": request.key,
        "run": request.run,
        "step": request.step,
        "environment": request.target.environment,
        "service": request.target.service,
    }
    return {**own, "homeostat": about}
