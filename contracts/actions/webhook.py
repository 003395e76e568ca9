"""The action `webhook`: somebody is told."""

from __future__ import annotations

from contracts.actions.action import Action, Touches
from contracts.actions.arguments import Argument, DocumentValue, name_from


class WebhookAction(Action):
    """Arguments are `{name, body?}`."""

    name = "webhook"
    text = "Call a webhook that the settings name (`act.webhooks`)."
    touches = Touches.SOMEBODY
    arguments = (
        name_from("act.webhooks", "lower-case letters, digits, - and _", "pager"),
        Argument(key="body", value=DocumentValue(), text="what is sent, besides the run's own data"),
    )
    example = "{name: pager, body: {text: look at ${{ service.name }}}}"
