"""Which implementation of a port the settings choose, and what they name in files: playbooks, a declared topology."""

from __future__ import annotations

from collections.abc import Mapping

from connectors.journal.kafka import KafkaJournal
from connectors.journal.sqlite import SqliteJournal
from connectors.kafka.client import KafkaBroker
from connectors.kafka.embedded import EmbeddedBroker
from connectors.state.kafka import KafkaStateStore
from connectors.state.sqlite import SqliteStateStore
from contracts.actions import installed_actions
from contracts.errors import InvalidSettings
from contracts.ports import GraphWrite, Journal, StateStore
from contracts.settings import ActSettings, Settings
from contracts.topics import DECISIONS, JOURNAL
from graph.topology_file import read_topology
from playbooks.language import reader
from playbooks.language.model import Playbook


def open_state(settings: Settings, broker: KafkaBroker) -> StateStore:
    """Where snapshots go: a file for one process, the compacted topic where partitions move between workers."""
    if isinstance(broker, EmbeddedBroker):
        return SqliteStateStore(settings.data_dir / "state.sqlite")
    return KafkaStateStore(broker.bootstrap, **{k: v for k, v in broker.options.items() if k != "bootstrap_servers"})


def open_journal(settings: Settings, broker: KafkaBroker, partitions: Mapping[str, int], node: str) -> Journal:
    """Where runs are recorded: a file for one process, the compacted topic where environments move between workers.

    Raises:
        InvalidSettings: topics that must be split alike are not.
    """
    where = settings.act.journal
    if where == "sqlite" or (where == "auto" and isinstance(broker, EmbeddedBroker)):
        return SqliteJournal(settings.data_dir / "journal.sqlite")
    if partitions[JOURNAL] != partitions[DECISIONS]:
        raise InvalidSettings(
            f"{JOURNAL} has {partitions[JOURNAL]} partitions and {DECISIONS} has {partitions[DECISIONS]}",
            fix="give them the same number: see the operations guide on partitions",
        )
    return KafkaJournal(settings.broker, broker.bootstrap, partitions[JOURNAL], node)


def load_playbooks(settings: ActSettings) -> list[Playbook]:
    """The playbooks in force: the built-in library, unless switched off, and the user's.

    Raises:
        InvalidPlaybook: every mistake with file, line and column; also a webhook or command that no setting defines.
    """
    own = reader.read_all(settings.playbooks, names_for(settings)) if settings.playbooks else []
    names = {p.name for p in own}
    return [*own, *(p for p in (reader.library() if settings.library else []) if p.name not in names)]


def names_for(settings: ActSettings) -> reader.Named:
    """What playbooks may call by name."""
    named = {a.named_by for action in installed_actions().values() for a in action.arguments if a.named_by}
    return {path: getattr(settings, path.removeprefix("act.")) for path in sorted(named) if path.startswith("act.")}


def topology_writes(settings: Settings, now_ns: int) -> list[GraphWrite]:
    """What is known of the topology beforehand."""
    if settings.graph.topology is None:
        return []
    return read_topology(settings.graph.topology, settings.environment).writes(now_ns)
