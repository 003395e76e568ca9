"""Settings of the knowledge graph."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from pydantic import Field, SecretStr

from contracts.settings.section import Section


class GraphSettings(Section):
    """The knowledge graph."""

    store: str = Field("ladybug", description="ladybug (embedded), neo4j, or a plugin's name")
    url: str = Field(
        "bolt://127.0.0.1:7687", description="Neo4j address: bolt:// or neo4j://, with TLS bolt+s:// or neo4j+s://"
    )
    user: str = Field("neo4j", description="Neo4j user")
    password: SecretStr = Field(SecretStr(""), description="Neo4j password")
    ca_file: Path | None = Field(
        None, description="certificate authority that signed Neo4j's certificate (with bolt+s:// or neo4j+s://)"
    )
    database: str = Field("neo4j", description="Neo4j database")
    topology: Path | None = Field(None, description="YAML file with services and calls known beforehand")
    queue: int = Field(
        10_000, ge=1, description="graph writes queued while the store is away; beyond it they are counted"
    )
    retry_s: float = Field(60.0, ge=0, description="how long to retry an unreachable store at start")


@dataclass(frozen=True, slots=True)
class GraphPlace:
    """What a graph store is opened with: the settings of the graph, and the folder of what must outlive the process."""

    settings: GraphSettings
    data_dir: Path
