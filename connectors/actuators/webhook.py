"""The actuator `webhook`: calls URLs that the settings name. What happens there is the receiver's to say."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import quote

import aiohttp
from yarl import URL

from connectors.actuators.http import CONNECT_S, FAILURES, explain
from connectors.actuators.named import NamedActuator, filled
from contracts.errors import ActionFailed, ActuatorUnavailable, HomeostatError, OutcomeUnknown
from contracts.ports import StepRequest, StepResult
from contracts.settings import ActSettings

_KEPT_BYTES: Final = 300


class WebhookActuator(NamedActuator[str]):
    """POST of JSON with an `Idempotency-Key` header, by which a receiver can tell a repetition (after a crash, say)."""

    name = "webhook"

    def __init__(self, settings: ActSettings) -> None:
        urls = {name: url.get_secret_value() for name, url in settings.webhooks.items()}
        super().__init__(urls, settings.done_by(self.name))
        self._session: aiohttp.ClientSession | None = None

    async def close(self) -> None:
        """Close connections."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    async def _do(self, name: str, defined: str, request: StepRequest) -> StepResult:
        """Call its URL, with what the action is given filled in."""
        given = self._given(request)
        url = filled(defined, {name: quote(value, safe="") for name, value in given.items()})
        if self._session is None:
            self._session = aiohttp.ClientSession(connector=aiohttp.TCPConnector(force_close=True))
        try:
            async with self._session.post(
                URL(url, encoded=bool(given)),  # what was quoted stays so: `/` in a name is no part of the path
                json=_body(request, given),
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


def _body(request: StepRequest, given: Mapping[str, str]) -> dict[str, Any]:
    """The playbook's own fields, or the arguments of what it is to do, and `homeostat` about the run."""
    body = request.arguments.get("body")
    own: Mapping[str, Any] = body if isinstance(body, Mapping) else {} if body is None else {"body": body}
    own = {key: given[key] for key in request.arguments} if given else own
    about = {
        "key": request.key,
        "run": request.run,
        "step": request.step,
        "environment": request.target.environment,
        "service": request.target.service,
        "installation": "" if request.mark is None else request.mark.by,
    }
    return {**own, "homeostat": about | ({"action": request.action} if given else {})}
