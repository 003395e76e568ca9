"""Every setting, declared once. The reference page, `--help` and the example file are generated from these fields.

Order of precedence: command line, environment (`HOMEOSTAT_SECTION__FIELD`), the YAML file given with `--config`, defaults;
`settings_sources.py` has the rules.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any, Final, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError, create_model, model_validator

from contracts import settings_sources
from contracts.errors import InvalidSettings
from contracts.plugins import PluginSections
from contracts.ports.acting import UNBOUND
from contracts.verdicts import Autonomy

MAX_ENVIRONMENTS: Final = 256
"""Environments of which there is room where nothing else is set."""


class Section(BaseModel):
    """A group of settings; unknown names are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class BrokerSettings(Section):
    """The log."""

    url: str = Field("embedded://", description="kafka://host:port[,host:port] or embedded:// (in-process, in memory)")
    group: str = Field("homeostat", description="consumer group of all workers of one installation")
    partitions: int = Field(4, ge=1, le=1024, description="partitions of the topics Homeostat creates")
    security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = Field(
        "PLAINTEXT", description="how to talk to Kafka"
    )
    sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] = Field(
        "SCRAM-SHA-512", description="SASL mechanism, where the protocol uses SASL"
    )
    username: str = Field("", description="SASL user")
    password: SecretStr = Field(SecretStr(""), description="SASL password")
    ca_file: Path | None = Field(None, description="certificate authority that signed the brokers' certificates")
    session_timeout_s: float = Field(
        6.0,
        ge=1,
        le=300,
        description="a worker unheard of for this long loses its partitions (brokers allow 6 to 300 s)",
    )
    fetch_wait_ms: int = Field(
        500, ge=1, le=5000, description="longest wait of one fetch (the embedded broker uses 20)"
    )
    retry_s: float = Field(60.0, ge=0, description="how long to retry an unreachable broker at start")


LONG_LIVED: Final = (
    *("*/ws", "*/ws/*", "*/wss", "*/websocket", "*/websocket/*", "*/websockets", "*/websockets/*"),
    *("*/socket.io", "*/socket.io/*", "*/engine.io/*", "*/sockjs/*", "*/signalr/*", "*/cable", "*/mqtt"),
    *("*/sse", "*/sse/*", "*/event-stream", "*/event-stream/*", "*/eventsource", "*/eventsource/*"),
    *("*/longpoll", "*/longpoll/*", "*/long-poll", "*/long-poll/*", "*/longpolling", "*/longpolling/*"),
    *(
        "*Health/Watch",
        "*ServerReflection/ServerReflectionInfo",
        "*DiscoveryService/Stream*",
        "*DiscoveryService/Delta*",
    ),
)
"""Names of spans that long-lived exchanges go by with widely used libraries."""


class IngestSettings(Section):
    """From bytes to feature frames."""

    window_ms: int = Field(1000, ge=100, le=60_000, description="width of an event-time window")
    lateness_ms: int = Field(100, ge=0, le=60_000, description="a window closes this long after its end (event time)")
    max_delay_s: float = Field(90.0, gt=0, description="data later than this is counted as late and dropped")
    idle_timeout_s: float = Field(
        2.0, gt=0, description="a source partition silent for this long no longer holds windows open"
    )
    flush_ms: int = Field(
        100, ge=10, le=5000, description="longest time partial aggregates wait before they are sent on"
    )
    join_horizon_s: float = Field(
        15.0,
        gt=0,
        description="how long a call waits for its other half before it counts as orphaned, by the time of the source that is "
        "furthest behind of those heard of in the last minute",
    )
    long_lived: tuple[str, ...] = Field(
        LONG_LIVED,
        description="patterns of span names (and routes) of exchanges that last as long as their user likes: web sockets, event "
        "streams, long polls. They count as no request and their durations as no latency. What attributes declare needs no pattern",
    )
    max_services: int = Field(
        5000,
        ge=1,
        description="services per environment; for more, those that were least of use and were not heard of lately leave, and what "
        "finds no room is dropped, both counted (service_left, service_limit)",
    )
    max_environments: int = Field(
        MAX_ENVIRONMENTS,
        ge=1,
        description="environments; for more, those that were least of use and were not heard of lately leave, and what finds no "
        "room is dropped, both counted (environment_left, environment_limit)",
    )


class ReceiverSettings(Section):
    """OTLP receivers that bridge into the topics."""

    enabled: bool = Field(
        True,
        description="whether to listen for OTLP; where nothing says so, `homeostat up` does and `homeostat worker` doesn't",
    )
    host: str = Field("127.0.0.1", description="address to listen on")
    grpc_port: int = Field(4317, ge=0, le=65535, description="OTLP/gRPC port; 0 picks a free one")
    http_port: int = Field(4318, ge=0, le=65535, description="OTLP/HTTP port; 0 picks a free one")
    tls_cert: Path | None = Field(None, description="certificate (PEM); with tls_key turns TLS on")
    tls_key: Path | None = Field(None, description="private key (PEM)")
    max_message_bytes: int = Field(1_000_000, ge=1024, description="largest message put on a topic; larger is split")
    coalesce_ms: int = Field(
        100,
        ge=0,
        le=1000,
        description="longest time a small message waits for others to go into the log with; 0: none does",
    )
    coalesce_bytes: int = Field(
        262_144,
        ge=1024,
        description="what waits goes into the log at once when it is this much; larger messages never wait",
    )
    max_request_bytes: int = Field(
        20 * 1024 * 1024, ge=1024, description="largest request after decompression; larger ones are refused"
    )
    max_grpc_bytes: int = Field(
        4 * 1024 * 1024,
        ge=1024,
        description="largest OTLP/gRPC message as it is sent (compressed, where it is); this much is reserved while one is read",
    )
    max_in_flight_bytes: int = Field(
        128 * 1024 * 1024,
        ge=1024,
        description="bytes of all requests under way, before and after decompression; beyond it senders are told to come again",
    )
    max_requests: int = Field(1024, ge=1, description="requests under way, on both ports together")
    max_connections: int = Field(1024, ge=1, description="connections of each port; more are closed")
    peer_share: float = Field(
        0.5, gt=0, le=1, description="share of these limits that one address (IPv6: one /64) may use up"
    )
    request_timeout_s: float = Field(30.0, gt=0, description="how long a request may take to arrive")
    allowed_hosts: tuple[str, ...] = Field(
        (),
        description="names under which OTLP/HTTP may be asked for. Empty: on loopback its own names only, so that no web page "
        "reaches it by a name that it lets point here; elsewhere any",
    )
    cors_origins: tuple[str, ...] = Field(
        (),
        description="web origins whose pages may send OTLP/HTTP, e.g. https://shop.example or https://*.shop.example; empty: none",
    )
    cors_headers: tuple[str, ...] = Field(
        (), description="request headers that such pages may set besides Content-Type and Content-Encoding"
    )

    @model_validator(mode="after")
    def _consistent(self) -> ReceiverSettings:
        if self.max_in_flight_bytes * self.peer_share < 2 * max(self.max_request_bytes, self.max_grpc_bytes):
            raise ValueError(
                "max_in_flight_bytes * peer_share must be at least twice max_request_bytes and max_grpc_bytes: "
                "a request is held as it came and decompressed"
            )
        return self


class Objective(Section):
    """What is promised of one service: what its users may have to bear."""

    availability: float | None = Field(
        None, gt=0, lt=1, description="share of requests that must not fail; empty: as `detect.availability`"
    )
    latency_s: float | None = Field(
        None, gt=0, description="95th percentile of latency that may not be exceeded; empty: judged by what was usual"
    )


class DetectSettings(Section):
    """Noticing that something is wrong."""

    detectors: tuple[str, ...] = Field(("bank", "river", "pyod"), description="detectors to run, by registered name")
    warmup_windows: int = Field(
        30, ge=5, description="windows a series must be observed before it may be judged; `Warming` until then"
    )
    open_p: float = Field(1e-4, gt=0, lt=1, description="joint p-value below which an anomaly may open")
    close_p: float = Field(5e-2, gt=0, lt=1, description="p-value above which an open anomaly may close")
    open_windows: int = Field(2, ge=1, description="windows out of the last 3 that must agree before it opens")
    close_windows: int = Field(5, ge=1, description="quiet windows in a row before it closes")
    false_discovery_rate: float = Field(0.01, gt=0, lt=1, description="bound on false discoveries over all series")
    availability: float = Field(
        0.99,
        gt=0,
        lt=1,
        description="share of requests that must not fail, of services without an objective: failures beyond it that are not "
        "usual are harm, which never becomes normal by waiting",
    )
    objectives: dict[str, Objective] = Field(
        default_factory=dict,
        description="service level objectives by service name (`namespace/name` or `name`; of one environment only: "
        "`environment:name`); failing them is an anomaly whatever was usual",
    )
    adopt_after_s: float = Field(
        120.0,
        gt=0,
        description="a new level that harms nobody and has lasted for this long is taken for the new normal, as an event",
    )
    stale_s: float = Field(30.0, gt=0, description="a service unheard of for this long is `Stale`, not healthy")
    seed: int = Field(7, description="seed of everything random")


class DiagnoseSettings(Section):
    """Which service caused it."""

    group_window_s: float = Field(30.0, gt=0, description="anomalies this close in time may be one incident")
    group_hops: int = Field(3, ge=1, le=10, description="and this close on the graph")
    settle_s: float = Field(1.5, ge=0, description="evidence to wait for after onset before a ranking is fit to act on")
    resolve_s: float = Field(10.0, gt=0, description="quiet time before an incident is resolved")
    change_horizon_s: float = Field(600.0, gt=0, description="changes this recent count as a prior")
    min_probability: float = Field(0.02, ge=0, lt=1, description="candidates below this are not reported")


class DecideSettings(Section):
    """What to do about it."""

    autonomy: Autonomy = Field(Autonomy.ACT, description="act | suggest | observe")
    min_confidence: float = Field(0.5, ge=0, le=1, description="below this probability of the cause a person is asked")
    prior_successes: float = Field(2.0, gt=0, description="prior of P(success): successes")
    prior_failures: float = Field(1.0, gt=0, description="prior of P(success): failures")
    capability_half_life_s: float = Field(
        1800.0, gt=0, description="decay of what one outcome teaches about a playbook"
    )
    trust_half_life_s: float = Field(259_200.0, gt=0, description="decay of trust in a playbook over all services")
    recorded: tuple[str, ...] = Field(
        ("detect", "diagnose", "decide"),
        description="stages whose handling is recorded on autonomous.handling, for `homeostat replay --from-kafka`",
    )


class BindingSettings(Section):
    """What an environment's name, which telemetry chooses, stands for. Nothing is acted on for a name that isn't bound."""

    actuators: tuple[str, ...] = Field((), description="actuators that may act for it; empty: all of act.actuators")
    cluster: str = Field(
        "",
        description="kubeconfig context of its cluster, or the uid of that cluster's namespace kube-system, which "
        "act.kube_context must lead to; empty: act.kube_context",
    )
    namespaces: tuple[str, ...] = Field(
        (),
        description="namespaces of the cluster that are its own; empty: all. Environments of one cluster name theirs",
    )


class ActSettings(Section):
    """Doing it, under guard."""

    actuators: tuple[str, ...] = Field(
        ("dry-run",), description="actuators, by registered name, first capable one wins"
    )
    environments: dict[str, BindingSettings] = Field(
        default_factory=dict,
        description="environments that may be acted on, and what each is bound to: name -> {actuators, cluster, namespaces}, "
        "`{}` for all that act.actuators reach. Needed by every actuator except dry-run and webhook",
    )
    playbooks: tuple[Path, ...] = Field((), description="folders or files with playbooks, besides the built-in library")
    library: bool = Field(True, description="whether the built-in playbooks are offered")
    policy: str = Field(
        "", description="http(s)://opa:8181/v1/data/homeostat, or a .rego file; empty: the built-in policy"
    )
    journal: Literal["auto", "sqlite", "kafka"] = Field(
        "auto",
        description="where runs are recorded: sqlite (a file, for one worker), kafka (the topic "
        "autonomous.journal, for any number of machines); auto: sqlite with the embedded log, else kafka",
    )
    foreign_decisions: bool = Field(
        False,
        description="whether to carry out decisions on autonomous.decisions that this installation's own decide stage did "
        "not make; whoever may write there then acts",
    )
    approval_expiry_s: float = Field(900.0, gt=0, description="an approval not given in this time is a no")
    decision_expiry_s: float = Field(120.0, gt=0, description="a decision not begun in this time is too old to act on")
    audit_ack_s: float = Field(
        5.0,
        gt=0,
        description="how long an effect waits for the broker to take its audit event, and for its journal; then no effect",
    )
    max_concurrent: int = Field(1, ge=1, description="runs at once in an environment")
    circuit_failures: int = Field(
        3, ge=1, description="harmful or failed runs of a playbook on a target that open its circuit"
    )
    circuit_reset_s: float = Field(3600.0, gt=0, description="time until an open circuit lets one attempt through")
    webhooks: dict[str, SecretStr] = Field(
        default_factory=dict, description="named webhook targets: name -> URL, which is treated as a secret"
    )
    commands: dict[str, list[str]] = Field(default_factory=dict, description="named commands: name -> argument vector")
    process_manager: str = Field("", description="URL of the local process manager (actuator `process`)")
    kube_context: str = Field(
        "", description="kubeconfig context (actuator `kubernetes`); empty: in-cluster or current"
    )
    kube_take_over: tuple[str, ...] = Field(
        ("kubectl", "helm"),
        description="field managers whose server-side-applied replicas and templates the actuator `kubernetes` may change; what others apply is left alone",
    )
    kube_owners: tuple[str, ...] = Field(
        (),
        description="kinds of owners (`Kind.group`, e.g. `Canary.flagger.app`) whose objects the actuator `kubernetes` may change all the same, as they don't change them back",
    )

    @model_validator(mode="after")
    def _each_thing_has_one_environment(self) -> Self:
        """Guards count by environment: a thing that two of them reach would have two of everything."""
        for (a, one), (b, other) in combinations(self.environments.items(), 2):
            for actuator in {"kubernetes", "process"} & set(self.actuators):
                if self.binding(a, actuator) and self.binding(b, actuator) and _overlap(one, other, actuator):
                    raise ValueError(_overlapping(a, b, actuator))
        return self

    def binding(self, environment: str, actuator: str) -> BindingSettings | None:
        """What an environment is bound to, if this actuator may act for it."""
        found = self.environments.get(environment)
        if found is None and actuator in UNBOUND:
            return _NOWHERE
        if found is None or (found.actuators and actuator not in found.actuators and actuator not in UNBOUND):
            return None
        return found

    def unbound(self, environment: str) -> str:
        """Why nothing is acted on for an environment, and the line of configuration that would change that."""
        bound = self.environments.get(environment)
        if bound is None:
            return f"environment {environment!r} is bound to nothing: act.environments would need {{{environment!r}: {{}}}}"
        return f"environment {environment!r} is bound to {', '.join(bound.actuators)} only (act.environments)"


_NOWHERE = BindingSettings()


def _overlap(one: BindingSettings, other: BindingSettings, actuator: str) -> bool:
    if actuator == "process":
        return True  # there is one process manager
    shared = not one.namespaces or not other.namespaces or set(one.namespaces) & set(other.namespaces)
    return one.cluster == other.cluster and bool(shared)


def _overlapping(one: str, other: str, actuator: str) -> str:
    if actuator == "process":
        return f"environments {one!r} and {other!r} share the process manager: bind one of them to it"
    return (
        f"environments {one!r} and {other!r} are bound to the same things of one cluster: name the namespaces of each"
    )


class KubernetesSettings(Section):
    """A cluster as a source of topology and changes."""

    watch: bool = Field(False, description="whether to watch a cluster; one worker of a group does")
    context: str = Field("", description="kubeconfig context; empty: in-cluster or current")
    environment: str = Field("", description="environment of the cluster's services; empty: `environment`")
    namespaces: tuple[str, ...] = Field((), description="namespaces to watch; empty: all")
    service_labels: tuple[str, ...] = Field(
        ("app.kubernetes.io/name", "app"),
        description="labels that name a pod's service where its containers' OpenTelemetry settings don't, best first",
    )
    resync_s: float = Field(1800.0, ge=10, description="a whole list again this often, in case an event was missed")


class GraphSettings(Section):
    """The knowledge graph."""

    store: str = Field("ladybug", description="ladybug (embedded) or neo4j")
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


class SinkSettings(Section):
    """Where incidents, decisions and the audit trail go besides their topics."""

    use: tuple[str, ...] = Field((), description="sinks, by registered name: file, webhook, or a plugin's")
    file: Path | None = Field(None, description="file to append JSON lines to (sink `file`)")
    webhook: SecretStr = Field(
        SecretStr(""), description="URL to POST each event to (sink `webhook`), which is treated as a secret"
    )
    from_beginning: bool = Field(
        False, description="whether a sink that is new to Kafka gets what the topics hold already"
    )
    batch: int = Field(100, ge=1, le=10_000, description="most events in one delivery")
    timeout_s: float = Field(30.0, gt=0, description="longest time of one delivery")
    retry_s: float = Field(
        3600.0,
        ge=0,
        description="how long the same events are tried again, with growing pauses, before they are given up, which is counted",
    )


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


class ApiSettings(Section):
    """Homeostat's own endpoints."""

    host: str = Field("127.0.0.1", description="address of the status and metrics endpoint")
    port: int = Field(
        8790,
        ge=0,
        le=65535,
        description="port of /metrics, /livez, /healthz, /readyz, /status, /services; 0 picks a free one",
    )
    allowed_hosts: tuple[str, ...] = Field(
        (),
        description="names under which the endpoint may be asked for. Empty: on loopback its own names only, so that no web page "
        "reaches it by a name that it lets point here; elsewhere any",
    )
    max_connections: int = Field(256, ge=1, description="connections; more are closed")
    query_threads: int = Field(2, ge=1, le=64, description="questions to the graph that are answered at once")
    query_queue: int = Field(16, ge=0, description="questions that wait for their turn; more are told to come again")
    query_rows: int = Field(10_000, ge=1, description="rows of an answer of /graph/query; reading ends at one more")


class LogSettings(Section):
    """Logs."""

    level: Literal["debug", "info", "warning", "error"] = Field("info", description="lowest level written")
    format: Literal["auto", "json", "console"] = Field("auto", description="auto: console on a terminal, else json")


class Settings(Section):
    """All settings."""

    data_dir: Path = Field(Path("homeostat-data"), description="what must outlive the process: journal, state, graph")
    environment: str = Field("default", description="environment of telemetry that names none")
    broker: BrokerSettings = BrokerSettings()
    ingest: IngestSettings = IngestSettings()
    receivers: ReceiverSettings = ReceiverSettings()
    detect: DetectSettings = DetectSettings()
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
    found["act"]["commands"] = {name: _of_command(vector) for name, vector in found["act"]["commands"].items()}
    return found


def without_credentials(text: str) -> str:
    """Text for others to read: what stands before the @ of an address is masked."""
    return _IN_URL.sub(rf"\1{MASK}\2", text)


def _masked(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _masked(v) for k, v in value.items()}
    if isinstance(value, list):
        return [_masked(v) for v in value]
    return without_credentials(value) if isinstance(value, str) else value


def _of_command(vector: list[str]) -> list[str]:
    """Mask the arguments that follow a secret's name, and the secrets behind an equals sign or colon."""
    masked, hide = [], False
    for word in vector:
        name = _SECRET.search(word)
        masked.append(MASK if hide else word if name is None else _ASSIGNED.sub(rf"\1{MASK}", word))
        hide = not hide and name is not None and word.startswith("-") and _ASSIGNED.search(word) is None
    return masked


MASK: Final = "**********"
_IN_URL: Final = re.compile(r"(://)[^/@\s]+(@)")
_SECRET: Final = re.compile(r"(?i)passw|secret|token|api.?key|authorization|credential|bearer")
_ASSIGNED: Final = re.compile(r"(?is)([=:]\s*).+$")
