"""Settings of where telemetry comes from besides Kafka and the receivers."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from contracts.settings.section import Section


class SourceSettings(Section):
    """Where telemetry comes from besides Kafka and the receivers."""

    use: tuple[str, ...] = Field(
        (), description="sources, by registered name: file, or a plugin's; each process that names one asks it"
    )
    files: tuple[Path, ...] = Field(
        (),
        description="files of OTLP JSON lines to follow (source `file`), as the Collector's file exporter writes them",
    )
    from_beginning: bool = Field(False, description="whether to read what these files hold already")
    places: Path | None = Field(
        None,
        description="folder that keeps how far each file was read, for restarts; none given: `sources` in `data_dir`",
    )
