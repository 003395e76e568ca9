"""The action `webhook`: somebody is told."""

from __future__ import annotations

from contracts.actions.action import Action, Touches
from contracts.actions.arguments import Argument, DocumentValue, TextValue

REFERENCE = r"^[a-z0-9]([a-z0-9_-]{0,61}[a-z0-9])?$"
"""Pattern of names that settings define."""


class WebhookAction(Action):
    """Arguments are `{name, body?}`."""

    name = "webhook"
    text = "Call a webhook that the settings name (`act.webhooks`)."
    touches = Touches.SOMEBODY
    arguments = (
        Argument(
            key="name",
            value=TextValue(REFERENCE, "lower-case letters, digits, - and _", 63, "pager"),
            text="its name in the settings",
            required=True,
            named_by="act.webhooks",
        ),
        Argument(key="body", value=DocumentValue(), text="what is sent, besides the run's own data"),
    )
    example = "{name: pager, body: {text: look at ${{ service.name }}}}"
