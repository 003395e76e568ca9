"""The name of this installation, which is left at what it acts on: so that two that act on one thing know of each other."""

from __future__ import annotations

import os
import secrets
import socket
from pathlib import Path
from typing import Final

from connectors.kafka.client import KafkaBroker
from connectors.kafka.embedded import EmbeddedBroker
from contracts.settings import Settings

FILE: Final = "installation"


async def named(settings: Settings, broker: KafkaBroker) -> Settings:
    """The settings with a name in `act.installation`. All workers of one installation come to the same, no two installations do.

    Raises:
        BrokerUnavailable: Kafka can't be asked.
    """
    if settings.act.installation:
        return settings
    if isinstance(broker, EmbeddedBroker):
        name = of_folder(settings.data_dir)
    else:
        name = f"{settings.broker.group}@{await broker.cluster() or broker.bootstrap}"
    return settings.model_copy(update={"act": settings.act.model_copy(update={"installation": name[:100]})})


def of_folder(folder: Path) -> str:
    """The name that was made up for a data folder; now, if there is none yet."""
    file = folder / FILE
    if file.exists() and (known := file.read_text("utf-8").strip()):
        return known
    name = f"homeostat@{socket.gethostname()[:60]}/{secrets.token_hex(4)}"
    partial = file.with_name(f".{FILE}.{os.getpid()}")
    partial.write_text(name + "\n", "utf-8")
    partial.chmod(0o600)
    partial.replace(file)
    return name
