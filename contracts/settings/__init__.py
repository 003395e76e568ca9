"""Every setting, declared once: a file per section. The reference page, `--help` and the example file are generated from the fields.

Order of precedence: command line, environment (`HOMEOSTAT_SECTION__FIELD`), the YAML file given with `--config`, defaults;
`contracts/settings_sources.py` has the rules.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from pydantic import Field, SecretStr, ValidationError, create_model

from contracts import settings_sources
from contracts.errors import InvalidSettings
from contracts.plugins import PluginSections
from contracts.secrets import MASK, masked, masked_command
from contracts.settings.act_settings import ActSettings, BindingSettings
from contracts.settings.api_settings import ApiSettings
from contracts.settings.broker_settings import BrokerSettings
from contracts.settings.calendar_settings import CalendarSettings
from contracts.settings.convention_settings import ConventionSettings
from contracts.settings.decide_settings import DecideSettings
from contracts.settings.detect_settings import DetectSettings, Objective
from contracts.settings.diagnose_settings import DiagnoseSettings
from contracts.settings.graph_settings import GraphPlace, GraphSettings
from contracts.settings.ingest_settings import LONG_LIVED, MAX_ENVIRONMENTS, IngestSettings
from contracts.settings.kubernetes_settings import KubernetesSettings
from contracts.settings.log_settings import LogSettings
from contracts.settings.receiver_settings import ReceiverSettings
from contracts.settings.section import Section
from contracts.settings.series_settings import ForecasterSettings, SeriesRule, SeriesSettings
from contracts.settings.sink_settings import SinkSettings
from contracts.settings.source_settings import SourceSettings
from contracts.settings.topic_settings import ENCODINGS, TopicSettings

__all__ = [
    "ENCODINGS",
    "LONG_LIVED",
    "MAX_ENVIRONMENTS",
    "ActSettings",
    "ApiSettings",
    "BindingSettings",
    "BrokerSettings",
    "CalendarSettings",
    "ConventionSettings",
    "DecideSettings",
    "DetectSettings",
    "DiagnoseSettings",
    "ForecasterSettings",
    "GraphPlace",
    "GraphSettings",
    "IngestSettings",
    "KubernetesSettings",
    "LogSettings",
    "Objective",
    "ReceiverSettings",
    "Section",
    "SeriesRule",
    "SeriesSettings",
    "Settings",
    "SinkSettings",
    "SourceSettings",
    "TopicSettings",
    "load",
    "shown",
]


class Settings(Section):
    """All settings."""

    data_dir: Path = Field(Path("homeostat-data"), description="what must outlive the process: journal, state, graph")
    environment: str = Field("default", description="environment of telemetry that names none")
    broker: BrokerSettings = BrokerSettings()
    ingest: IngestSettings = IngestSettings()
    conventions: ConventionSettings = ConventionSettings()
    receivers: ReceiverSettings = ReceiverSettings()
    detect: DetectSettings = DetectSettings()
    series: SeriesSettings = SeriesSettings()
    diagnose: DiagnoseSettings = DiagnoseSettings()
    decide: DecideSettings = DecideSettings()
    act: ActSettings = ActSettings()
    kubernetes: KubernetesSettings = KubernetesSettings()
    graph: GraphSettings = GraphSettings()
    sinks: SinkSettings = SinkSettings()
    sources: SourceSettings = SourceSettings()
    api: ApiSettings = ApiSettings()
    log: LogSettings = LogSettings()
    plugins: PluginSections = PluginSections()


def load(
    values: Mapping[str, Any] | settings_sources.Layer | None = None,
    *,
    source: str = "settings",
    over: Sequence[settings_sources.Layer] = (),
    under: Mapping[str, Any] | None = None,
    environ: Mapping[str, str] | None = None,
) -> Settings:
    """Settings from `values` (a configuration file), below what environment variables say, below `over` (the command line).

    `under`: what a command has for default; `environ`: variables, those of this process if not given.

    Raises:
        InvalidSettings: one line per mistake, with its place, the field's path, what is wrong, and the nearest valid name.
        InvalidPlugin: a plugin whose settings are given can't be loaded.
    """
    file = values if isinstance(values, settings_sources.Layer) else settings_sources.Layer(source, values or {})
    variables = settings_sources.of_environment(Settings, os.environ if environ is None else environ)
    layers = [settings_sources.Layer("defaults", under or {}), file, *variables, *over]
    merged = _without_empty_sections(settings_sources.merged(layers))
    model = _with_plugins(merged.get("plugins"))
    try:
        return model(**merged)
    except ValidationError as e:
        raise InvalidSettings("; ".join(settings_sources.explain(model, e, layers)), fix=settings_sources.FIX) from e


def _with_plugins(given: Any) -> type[Settings]:
    """The model of all settings, with the sections of the plugins that something is said of."""
    if not isinstance(given, Mapping) or not given:
        return Settings
    return create_model("Settings", __base__=Settings, plugins=(PluginSections.for_names(map(str, given)), ...))


def _without_empty_sections(values: dict[str, Any]) -> dict[str, Any]:
    """A section whose lines are all commented out reads as nothing."""
    return {k: v for k, v in values.items() if v is not None or k not in Settings.model_fields}


def shown(settings: Settings) -> dict[str, Any]:
    """All settings as they may be shown: passwords, addresses of webhooks, and what looks like a secret elsewhere are masked."""
    found: dict[str, Any] = _masked(settings.model_dump(mode="json"))
    found["act"]["commands"] = {name: masked_command(vector) for name, vector in found["act"]["commands"].items()}
    return found


def _masked(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _masked(v) for k, v in value.items()}
    if isinstance(value, list):
        return [_masked(v) for v in value]
    if not isinstance(value, str):
        return value
    return MASK if value == _HIDDEN else masked(value)


_HIDDEN: Final = str(SecretStr("-"))
"""What a secret setting that is set is written as."""
