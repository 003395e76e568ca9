"""Whom a span says it calls: a database, a queue or topic, a service by name, or whoever answers at an address.

The one owner of the question what a callee is called. Names are `db:<system>/<name>`, `messaging:<system>/<destination>`,
`external:<name>`. An address that a caller names may be a service's that sends telemetry itself: that is found out where callers
and callees are joined (`streams.windows.hosts`), so what is known by its address alone says so (`Peer.by_address`).

Attributes: https://opentelemetry.io/docs/specs/semconv/ (general, messaging, db, cloud providers) from 1.4 on, OpenTracing's tags, what the
instrumentations of cloud SDKs write, Envoy's clusters.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Final, NamedTuple

from connectors.otlp.conventions import standard
from connectors.otlp.folding import fold, fold_temporary
from connectors.otlp.identity import is_address
from connectors.otlp.values import Plain, first_of, text_of
from contracts.external import EXTERNAL
from contracts.frames.decoded import KIND_CLIENT, KIND_CONSUMER, KIND_PRODUCER
from contracts.secrets import masked_name

_TABLE: Final = standard()
DB_SYSTEM: Final = _TABLE.keys("db_system")
DB_NAME: Final = _TABLE.keys("db_name")
MESSAGING_SYSTEM: Final = _TABLE.keys("messaging_system")
MESSAGING_DESTINATION: Final = _TABLE.keys("messaging_destination")
MESSAGING_TEMPORARY: Final = _TABLE.keys("messaging_temporary")
LOGICAL_PEER: Final = _TABLE.keys("peer_service")
RPC_SYSTEM: Final = _TABLE.keys("rpc_system")
RPC_SERVICE: Final = _TABLE.keys("rpc_service")
QUEUE_URL: Final = _TABLE.keys("queue_url")
TABLES: Final = _TABLE.keys("db_table")
HOSTS: Final = _TABLE.keys("host")
URLS: Final = _TABLE.keys("url")

_TOLD_BY_KEY: Final = {
    **dict.fromkeys(("kafka.topic", "messaging.kafka.topic"), "kafka"),
    **dict.fromkeys(("jms.queue", "jms.topic", "jms.destination"), "jms"),
    **dict.fromkeys(("rabbit.queue", "rabbit.routing_key", "rabbit.exchange"), "rabbitmq"),
}
"""Brokers that only the attribute that names a queue tells, as Brave's do."""
NAMING_KEYS: Final = frozenset(
    (*DB_SYSTEM, *MESSAGING_SYSTEM, *LOGICAL_PEER, *RPC_SERVICE, *QUEUE_URL, *HOSTS, *_TOLD_BY_KEY)
)
"""One of these at least has every span that names whom it calls, but for those that have a URL alone."""
PEER_KEYS: Final = frozenset(
    (*NAMING_KEYS, *RPC_SYSTEM, *DB_NAME, *MESSAGING_DESTINATION, *MESSAGING_TEMPORARY, *TABLES)
)
URL_KEYS: Final = frozenset(URLS)

_HOST_OF_STORE: Final = (*LOGICAL_PEER, "server.address", "net.peer.name")
_SYSTEMS: Final = {
    **dict.fromkeys(("sqs", "amazonsqs", "awssqs", "simplequeueservice"), "aws_sqs"),
    **dict.fromkeys(("sns", "amazonsns", "awssns", "simplenotificationservice"), "aws_sns"),
    **dict.fromkeys(("kinesis", "amazonkinesis", "awskinesis"), "aws_kinesis"),
    **dict.fromkeys(("eventbridge", "amazoneventbridge", "awseventbridge"), "aws_eventbridge"),
    **dict.fromkeys(
        ("pubsub", "gcppubsub", "googlepubsub", "googlecloudpubsub", "googlepubsubv1publisher"), "gcp_pubsub"
    ),
    **dict.fromkeys(("googlepubsubv1subscriber",), "gcp_pubsub"),
    **dict.fromkeys(("servicebus", "azureservicebus", "microsoftservicebus"), "servicebus"),
    **dict.fromkeys(("eventhubs", "eventhub", "azureeventhubs", "azureeventhub", "microsofteventhub"), "eventhubs"),
    **dict.fromkeys(("eventgrid", "azureeventgrid", "microsofteventgrid"), "eventgrid"),
}
"""Queues and topics of clouds under the names that are written, without what stands between letters."""
_DATABASES: Final = {"dynamodb": "dynamodb", "amazondynamodbv2": "dynamodb", "amazondynamodb": "dynamodb"}
_CLOUDS: Final = frozenset({"aws-api"})
_PLAIN: Final = re.compile(r"[^a-z0-9]+")
_AUTHORITY: Final = re.compile(r"(?:[a-zA-Z][\w+.-]*:)?//(?:[^/?#@]*@)?(?P<host>\[[^\]]*\]|[^/?#:]*)")
_HOST: Final = re.compile(r"[\w.-]{1,253}|\[?[0-9a-fA-F:.]+(?:%\w+)?\]?", re.ASCII)
_NOBODY: Final = frozenset(
    {
        "localhost",
        "localhost.localdomain",
        "unknown",
        "null",
        "none",
        "undefined",
        "passthroughcluster",
        "blackholecluster",
    }
)


class Peer(NamedTuple):
    """Whom a span names. `by_address`: nothing but an address is known, so it may turn out to be a service."""

    name: str = ""
    by_address: bool = False


def callee_of(attributes: Mapping[str, Plain]) -> Peer:
    """Whom a client span says it calls; no name where it says nothing of it.

    The caller's own view also knows of calls that were never answered. Whether a name in `peer.service` is a service that sends
    spans itself is found out later, by name.
    """
    if not attributes:
        return Peer()
    store = _queue_of(attributes) or _database_of(attributes)
    if store:
        return Peer(store)
    named = _text(attributes, LOGICAL_PEER)
    if named and not is_address(named):
        return Peer(EXTERNAL + fold(named))
    host = host_of(attributes)
    if host:
        return Peer(EXTERNAL + host, by_address=True)
    cloud = _plain(_text(attributes, RPC_SERVICE)) if _text(attributes, RPC_SYSTEM) in _CLOUDS else ""
    return Peer(f"{EXTERNAL}aws_{cloud.removeprefix('amazon').removeprefix('aws')}") if cloud else Peer()


def broker_of(attributes: Mapping[str, Plain]) -> Peer:
    """The queue or topic that a producer's or consumer's attributes name."""
    return Peer(_queue_of(attributes)) if attributes else Peer()


PEER_OF: Final[dict[int, Callable[[Mapping[str, Plain]], Peer]]] = {
    KIND_CLIENT: callee_of,
    KIND_PRODUCER: broker_of,
    KIND_CONSUMER: broker_of,
}
"""By kind of span."""


def host_of(attributes: Mapping[str, Plain]) -> str:
    """The host that a client span connects to, without port, in lower case; "" where it names none or only itself."""
    for key in (*HOSTS, *URLS):
        value = attributes.get(key)
        if isinstance(value, str) and value and (host := _host_in(value)):
            return host
    return ""


@lru_cache(maxsize=8192)
def _host_in(text: str) -> str:
    """The host in a host, host and port, URL, or an Envoy cluster (`outbound|80|v1|reviews.shop.svc.cluster.local`)."""
    if "|" in text:
        if not text.startswith("outbound"):
            return ""
        text = text.rpartition("|")[2]
    url = _AUTHORITY.match(text)
    host = url["host"] if url else text
    if not url and (host.count(":") == 1 or "]:" in host):
        host = host.rpartition(":")[0]
    host = host.rstrip(".").lower().strip("[]")
    if not _HOST.fullmatch(host) or host in _NOBODY or not any(c.isalnum() for c in host):
        return ""
    if is_address(host):
        address = ipaddress.ip_address(host)
        return "" if address.is_loopback or address.is_unspecified else str(address)
    return "" if host.isdigit() or "/" in host else fold(masked_name(host))


def _database_of(attributes: Mapping[str, Plain]) -> str:
    """`db:<system>/<name>`, or "". Without a name the host stands in, unless it is an address."""
    system = _text(attributes, DB_SYSTEM) or _DATABASES.get(_plain(_text(attributes, RPC_SERVICE)), "")
    if not system:
        return ""
    table = first_of(attributes, TABLES) if system in ("dynamodb", "aws.dynamodb") else ""
    if table:
        return f"db:dynamodb/{fold(masked_name(table))}"
    return f"db:{system}{_suffix(attributes, DB_NAME)}"


def _queue_of(attributes: Mapping[str, Plain]) -> str:
    """`messaging:<system>/<destination>`, or "" where neither a messaging system nor a cloud's queue is named."""
    said = _text(attributes, MESSAGING_SYSTEM)
    cloud = _SYSTEMS.get(_plain(said or _text(attributes, RPC_SERVICE)), "")
    url = first_of(attributes, QUEUE_URL)
    system = cloud or said or _system_of(url, attributes)
    if not system:
        system = next((s for key, s in _TOLD_BY_KEY.items() if attributes.get(key)), "")
    if not system:
        return ""
    name = _last(_text(attributes, MESSAGING_DESTINATION), system) or _last(masked_name(url), system)
    if name and any(attributes.get(key) in (True, "true", "True") for key in MESSAGING_TEMPORARY):
        return f"messaging:{system}/{fold_temporary(name)}"
    if name:
        return f"messaging:{system}/{fold(name)}"
    return f"messaging:{system}{_suffix(attributes, ())}"


def _system_of(url: str, attributes: Mapping[str, Plain]) -> str:
    """The system of a queue that only its URL, its ARN or the attribute's name tells."""
    if url.startswith("arn:"):
        return _SYSTEMS.get(url.split(":")[2], "")
    if "://" in url:
        host = _host_in(url)
        return "aws_sqs" if host.startswith(("sqs.", "queue.")) or ".queue.amazonaws." in host else ""
    own = next((s for s in ("sqs", "kinesis", "sns") for k in QUEUE_URL if f"aws.{s}" in k and attributes.get(k)), "")
    return _SYSTEMS.get(own, "")


def _last(name: str, system: str) -> str:
    """What people call a queue: without the account's URL, the ARN, the project, or a topic's subscriptions."""
    if name.startswith("arn:"):
        return name.rpartition(":")[2].rpartition("/")[2]
    if "://" in name:
        path = name.partition("://")[2].partition("?")[0].rstrip("/")
        return path.rpartition("/")[2] if "/" in path else ""
    if system == "gcp_pubsub":
        return name.rpartition("/")[2]
    if system in ("servicebus", "eventhubs"):
        return re.split(r"/subscriptions/|/consumergroups/|/partitions/", name, maxsplit=1, flags=re.IGNORECASE)[
            0
        ].strip("/")
    return name


def _suffix(attributes: Mapping[str, Plain], keys: tuple[str, ...]) -> str:
    name = _text(attributes, keys)
    if not name:
        host = _text(attributes, _HOST_OF_STORE)
        name = "" if is_address(host) else host
    return f"/{fold(name)}" if name else ""


def _plain(text: str) -> str:
    return _PLAIN.sub("", text.lower())


def _text(attributes: Mapping[str, Plain], keys: tuple[str, ...]) -> str:
    return masked_name(next((text_of(attributes[k]) for k in keys if attributes.get(k) not in (None, "")), ""))
