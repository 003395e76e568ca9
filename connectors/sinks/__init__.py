"""Where published events go besides their topics: incidents, decisions and the audit trail, to files, webhooks, and what plugins bring.

Here live the built-in sinks (`json_lines`, `webhook_sink`, `pager_sink`) and what feeds every sink, whoever wrote it (`sink_feed`). What
people are asked, and once, is chosen in `pager_questions`; never here: what is decided.
"""

from __future__ import annotations

from typing import Final

from contracts.plugins import NO_SECTIONS, PluginRegistry, PluginSections
from contracts.ports import Sink
from contracts.settings import SinkSettings

__all__ = ["SINKS", "open_sinks"]


def _file(settings: SinkSettings) -> Sink:
    from connectors.sinks.json_lines import FileSink

    return FileSink(settings)


def _webhook(settings: SinkSettings) -> Sink:
    from connectors.sinks.webhook_sink import WebhookSink

    return WebhookSink(settings)


def _pager(settings: SinkSettings) -> Sink:
    from connectors.sinks.pager_sink import PagerSink

    return PagerSink(settings)


SINKS: Final[PluginRegistry[SinkSettings, Sink]] = PluginRegistry(
    "sink", {"file": _file, "pager": _pager, "webhook": _webhook}, Sink
)


def open_sinks(settings: SinkSettings, plugins: PluginSections = NO_SECTIONS) -> list[Sink]:
    """The sinks that `settings.use` names, in that order. Nothing is connected to yet.

    Raises:
        UnknownName: a name neither built in nor registered by a plugin; the message lists those that are.
        InvalidPlugin: a plugin can't be loaded.
        InvalidSettings: a setting that a named sink needs is missing.
    """
    return [SINKS.open(name, settings, plugins) for name in settings.use]
