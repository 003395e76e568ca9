"""Settings of topics of the user's own: what telemetry on them is written in."""

from __future__ import annotations

import re
from typing import Any, Final, Literal, get_args

from pydantic import Field, model_validator

from contracts.settings.section import Section
from contracts.topics import TOPICS

Encoding = Literal[
    "otlp_proto",
    "otlp_json",
    "jaeger_proto",
    "jaeger_json",
    "zipkin_proto",
    "zipkin_json",
    "raw",
    "text",
    "json",
    "prometheus_remote_write",
]
"""As the Collector's Kafka exporter and receiver name them; remote writes, for which they have no name, as Prometheus does."""
ENCODINGS: Final[tuple[str, ...]] = get_args(Encoding)
_NAME: Final = re.compile(r"[A-Za-z0-9._-]{1,249}")


class TopicSettings(Section):
    """What is on one topic."""

    encoding: Encoding = Field("otlp_proto", description="encoding of its messages")
    environment: str = Field("", description="environment of telemetry that names none; empty: as `environment`")
    service: str = Field("", description="service of log lines that name none (raw, text, json)")
    namespace: str = Field("", description="namespace of that service")

    @model_validator(mode="before")
    @classmethod
    def _short(cls, given: Any) -> Any:
        """An encoding alone stands for itself."""
        return {"encoding": given} if isinstance(given, str) else given


def checked(topics: dict[str, TopicSettings]) -> dict[str, TopicSettings]:
    """The same. ValueError where a name is none of Kafka's, or one of Homeostat's own topics."""
    for name in topics:
        if name in TOPICS:
            raise ValueError(
                f"{name} is Homeostat's own: it reads it without being told; have the sender write elsewhere"
            )
        if not _NAME.fullmatch(name) or name in (".", ".."):
            raise ValueError(f"{name!r} is no name of a topic: letters, digits, '.', '_' and '-', at most 249")
    return topics
