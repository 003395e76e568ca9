"""The sinks and sources of one process: opened by name, fed and taken in beside the pipeline, shown with what they lack."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from typing import Any, Final

from connectors.kafka.client import KafkaBroker
from connectors.kafka.embedded import EmbeddedBroker
from connectors.kafka.group_reader import GroupReader
from connectors.otlp.receiving.coalesce import Send
from connectors.sinks import open_sinks
from connectors.sinks.sink_feed import SinkFeed
from connectors.sources import open_sources
from connectors.sources.source_intake import SourceIntake
from contracts.ports import Sink
from contracts.secrets import masked
from contracts.settings import Settings
from homeostat.metrics import Sample

DRAIN_S: Final = 3.0
"""At the end sinks get what the embedded log still holds, for at most this long: it ends with the process."""


class Sinks:
    """Feeds every sink that the settings name; each by itself, so that one that fails holds up no other."""

    def __init__(self, settings: Settings, broker: KafkaBroker) -> None:
        self._settings, self._broker = settings, broker
        self._feeds = [self._feed(sink) for sink in open_sinks(settings.sinks, settings.plugins)]

    def start(self) -> None:
        """Begin feeding them."""
        for feed in self._feeds:
            feed.start()

    async def stop(self) -> None:
        """End; with the embedded log, once they have got what is there."""
        drain_s = DRAIN_S if isinstance(self._broker, EmbeddedBroker) else 0.0
        await asyncio.gather(*(feed.stop(drain_s) for feed in self._feeds))

    def lacking(self) -> dict[str, str]:
        """What is not delivered now, in words, by sink."""
        return {f"sink {feed.name}": feed.trouble for feed in self._feeds}

    def status(self) -> dict[str, Any]:
        """What /status shows."""
        return {feed.name: _shown(feed.counters, feed.trouble) for feed in self._feeds}

    def samples(self) -> Iterator[Sample]:
        """Its metrics."""
        for feed in self._feeds:
            for what, n in feed.counters.items():
                yield "sink_events", (feed.name, what), n

    def _feed(self, sink: Sink) -> SinkFeed:
        s = self._settings
        group = f"{s.broker.group}.sink.{sink.name}"
        reader = GroupReader(self._broker, sorted(sink.topics), group, from_beginning=s.sinks.from_beginning)
        return SinkFeed(sink, reader, s.sinks)


class Sources:
    """Takes in every source that the settings name. `send(topic, value)` returns when the log has a message."""

    def __init__(self, settings: Settings, send: Send) -> None:
        places = settings.sources.places or settings.data_dir / "sources"
        found = open_sources(settings.sources.model_copy(update={"places": places}), settings.plugins)
        self._intakes = [SourceIntake(source, settings.receivers, send) for source in found]

    def start(self) -> None:
        """Begin taking in."""
        for intake in self._intakes:
            intake.start()

    async def stop(self) -> None:
        """Ask for no more, and send what is there."""
        await asyncio.gather(*(intake.stop() for intake in self._intakes))

    def lacking(self) -> dict[str, str]:
        """What is not taken in now, in words, by source."""
        return {f"source {intake.name}": intake.trouble for intake in self._intakes}

    def status(self) -> dict[str, Any]:
        """What /status shows."""
        return {intake.name: _shown(intake.counters(), intake.trouble) for intake in self._intakes}

    def samples(self) -> Iterator[Sample]:
        """Its metrics."""
        for intake in self._intakes:
            for what, n in intake.counters().items():
                yield "source_messages", (intake.name, what), n


def _shown(counters: Mapping[str, int], trouble: str) -> dict[str, Any]:
    return {**dict(sorted(counters.items())), **({"trouble": masked(trouble)} if trouble else {})}
