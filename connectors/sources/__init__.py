"""Where telemetry comes from besides Kafka and the receivers: files of OTLP JSON, and what plugins bring.

Here live the built-in source (`file_source`) and what takes in every source, whoever wrote it (`source_intake`). Never here: reading what a
message says; that is `connectors.otlp`'s.
"""

from __future__ import annotations

from typing import Final

from contracts.plugins import NO_SECTIONS, PluginRegistry, PluginSections
from contracts.ports import Source
from contracts.settings import SourceSettings

__all__ = ["SOURCES", "open_sources"]


def _file(settings: SourceSettings) -> Source:
    from connectors.sources.file_source import FileSource

    return FileSource(settings)


SOURCES: Final[PluginRegistry[SourceSettings, Source]] = PluginRegistry("source", {"file": _file}, Source)


def open_sources(settings: SourceSettings, plugins: PluginSections = NO_SECTIONS) -> list[Source]:
    """The sources that `settings.use` names, in that order. Nothing is connected to yet.

    Raises:
        UnknownName: a name neither built in nor registered by a plugin; the message lists those that are.
        InvalidPlugin: a plugin can't be loaded.
        InvalidSettings: a setting that a named source needs is missing.
    """
    return [SOURCES.open(name, settings, plugins) for name in settings.use]
