"""An installation's name: the same for all its workers and after each start, and no other's."""

from __future__ import annotations

from pathlib import Path

from connectors.kafka.embedded import EmbeddedBroker
from contracts.settings import Settings
from homeostat.installation import FILE, named, of_folder


class Cluster:
    """A Kafka that says which it is."""

    bootstrap = "kafka:9092"

    def __init__(self, name: str) -> None:
        self._name = name

    async def cluster(self) -> str:
        return self._name


async def name(cluster: str, **settings: object) -> str:
    found = await named(Settings(**settings), Cluster(cluster))  # type: ignore[arg-type]
    return found.act.installation


async def test_on_kafka_it_is_the_group_of_the_cluster() -> None:
    assert await name("one") == await name("one") == "homeostat@one"
    assert await name("one") != await name("two"), "at one address in two networks"
    assert await name("one") != await name("one", broker={"group": "other"})
    assert await name("") == "homeostat@kafka:9092"
    assert await name("one", act={"installation": "shop"}) == "shop"


async def test_of_a_data_folder_it_is_made_up_once(tmp_path: Path) -> None:
    folders = [tmp_path / "a", tmp_path / "b"]
    for folder in folders:
        folder.mkdir()
    a, b = (of_folder(folder) for folder in folders)
    assert a != b
    assert of_folder(folders[0]) == a
    assert (folders[0] / FILE).stat().st_mode & 0o077 == 0
    assert [f.name for f in folders[0].iterdir()] == [FILE]
    broker = EmbeddedBroker.__new__(EmbeddedBroker)
    assert (await named(Settings(data_dir=folders[0]), broker)).act.installation == a
