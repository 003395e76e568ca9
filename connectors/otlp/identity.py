"""Who sent telemetry: from resource attributes to a `Resource`.

A service is named by what deploys it, never by an address: addresses are reused within minutes in a cluster.
"""

from __future__ import annotations

import hashlib
import ipaddress
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Final, NamedTuple

from connectors.otlp.folding import fold
from connectors.otlp.json_model import resource_attributes
from connectors.otlp.schema import AttributesOfResource
from connectors.otlp.values import Plain, cached, pairs_from_bytes, text_of
from contracts.frames.decoded import Resource
from contracts.secrets import masked
from contracts.settings.ingest_settings import ENVIRONMENT_FROM, NAMESPACE_FROM

UNKNOWN_SERVICE: Final = "unknown_service"
CACHED_RESOURCES: Final = 4096
_CACHED_BYTES: Final = 16_384
"""Longer resources are read anew each time."""
MAX_NAME: Final = 256
"""Characters of what tells an identity: no name of Kubernetes has more, and whoever sends may send megabytes."""

PROXIES: Final = frozenset(
    {"linkerd-proxy", "istio-proxy", "envoy", "envoy-sidecar", "kuma-sidecar", "kuma-dp", "consul-dataplane", "daprd"}
)
"""What meshes call their proxies: no application, so that a workload's name is better."""
NAME_KEYS: Final = (
    "k8s.deployment.name",
    "k8s.statefulset.name",
    "k8s.daemonset.name",
    "k8s.cronjob.name",
    "k8s.job.name",
    "k8s.replicaset.name",
    "k8s.container.name",
    "container.name",
    "faas.name",
    "process.executable.name",
)
ENVIRONMENT_KEYS: Final = ENVIRONMENT_FROM
NAMESPACE_KEYS: Final = NAMESPACE_FROM
VERSION_KEYS: Final = ("service.version", "container.image.tag", "container.image.tags")
INSTANCE_KEYS: Final = ("service.instance.id", "k8s.pod.uid", "k8s.pod.name", "container.id", "host.name")
WORKLOAD_KEYS: Final = frozenset(
    {
        *NAME_KEYS,
        *ENVIRONMENT_KEYS,
        *VERSION_KEYS,
        *INSTANCE_KEYS,
        "cloud.availability_zone",
        "cloud.region",
        "container.image.name",
        "host.id",
        "k8s.namespace.name",
        "k8s.node.name",
        "k8s.pod.ip",
        "process.pid",
        "service.name",
        "service.namespace",
        "topology.kubernetes.io/zone",
    }
)


_ADDRESS_KEYS: Final = ("k8s.pod.ip", "net.host.ip", "host.ip", "service.instance.id")
_NAMED_BY_CLUSTER: Final = ("k8s.pod.uid", "k8s.pod.name", *NAME_KEYS[:7])


class IdentityRules(NamedTuple):
    """From which attributes environment and namespace of a service are told, the best first; also `"{a}-{b}"`, of several at once."""

    environment: tuple[str, ...] = ENVIRONMENT_KEYS
    namespace: tuple[str, ...] = NAMESPACE_KEYS


STANDARD: Final = IdentityRules()


@dataclass(frozen=True, slots=True)
class Identified:
    """A resource and `key`: a 64-bit hash of *all* its attributes, so that two processes are never one series. `attributes`
    are all of them, for points that say by their sender's attributes whom they are about."""

    resource: Resource
    key: int
    attributes: Mapping[str, Plain] = field(default_factory=dict)


@cached(CACHED_RESOURCES, _CACHED_BYTES)
def identify_proto(serialized: bytes, default_environment: str, rules: IdentityRules = STANDARD) -> Identified:
    """Identity of a serialized protobuf Resource; attributes that cannot be read do not count.

    Raises:
        DecodeError: it is not one.
    """
    attributes = AttributesOfResource.FromString(serialized).attributes
    return identify(pairs_from_bytes(attributes), default_environment, rules)


@cached(CACHED_RESOURCES, _CACHED_BYTES)
def identify_json(raw: bytes, default_environment: str, rules: IdentityRules = STANDARD) -> Identified:
    """Identity of a JSON Resource.

    Raises:
        msgspec.DecodeError, ValueError, RecursionError: it is not one.
    """
    return identify(resource_attributes(raw), default_environment, rules)


def identify(attributes: Mapping[str, Plain], default_environment: str, rules: IdentityRules = STANDARD) -> Identified:
    """Identity of a resource with these attributes."""
    wanted = _read_for(rules)
    texts = {key: _first(value) for key, value in attributes.items() if key in wanted}
    if not any(texts.get(key) for key in _NAMED_BY_CLUSTER) and (address := _address(texts)):
        texts["k8s.pod.ip"] = address
    pairs = tuple(sorted((k, v) for k, v in texts.items() if k in WORKLOAD_KEYS and v))
    resource = Resource(
        environment=by_rule(texts, rules.environment)[1] or default_environment,
        service=service_by(texts, rules).name,
        version=_any(texts, VERSION_KEYS),
        instance=_any(texts, INSTANCE_KEYS),
        attributes=pairs,
    )
    every = "\x1f".join(f"{k}\x1e{text_of(v)}" for k, v in sorted(attributes.items()))
    return Identified(resource, hash64(every), attributes)


def _address(texts: Mapping[str, str]) -> str:
    """The address at which somebody says it is whom no cluster names: it may be a pod's."""
    found = next((t for k in _ADDRESS_KEYS if (t := texts.get(k, "")) and is_address(t)), "")
    host = found.rpartition(":")[0] if found.count(":") == 1 else found
    return "" if not host or ipaddress.ip_address(host.strip("[]")).is_loopback else host


def hash64(text: str) -> int:
    """A 64-bit hash that is the same in every process and release (BLAKE2b, RFC 7693)."""
    return int.from_bytes(hashlib.blake2b(text.encode("utf-8", "replace"), digest_size=8).digest(), "big")


def is_address(text: str) -> bool:
    """Whether a text is an IP address, with or without a port."""
    host = text.rpartition(":")[0] if text.count(":") == 1 or text.startswith("[") else text
    try:
        ipaddress.ip_address(host.strip("[]"))
    except ValueError:
        return False
    return True


class Named(NamedTuple):
    """The name of a service, and the attributes (or rules) that its parts came from; "" where none said anything."""

    name: str
    name_from: str
    namespace_from: str


def service_by(texts: Mapping[str, str], rules: IdentityRules = STANDARD) -> Named:
    """The service that attributes name: `namespace/name`, or `name` where nothing tells a namespace.

    The namespace of a cluster is the service's where no other is given, as the conventions of the Collector and the operator have
    it: the same name in two namespaces is two services. https://opentelemetry.io/docs/specs/semconv/non-normative/k8s-attributes/
    """
    given = texts.get("service.name", "")
    told = "service.name" if _is_name(given) and not given.startswith(UNKNOWN_SERVICE) else ""
    if not told or given in PROXIES:
        told = next((k for k in NAME_KEYS if _is_name(texts.get(k, "")) and texts[k] not in PROXIES), told)
    name = fold(texts[told]) if told else given if given.startswith(UNKNOWN_SERVICE) else UNKNOWN_SERVICE
    rule, namespace = by_rule(texts, rules.namespace)
    return Named(f"{namespace}/{name}" if namespace else name, told, rule)


_PARTS: Final = re.compile(r"\{([^{}]+)\}")


def by_rule(texts: Mapping[str, str], rules: tuple[str, ...]) -> tuple[str, str]:
    """The first rule that attributes satisfy, and what it says of them; twice "" where they satisfy none."""
    for rule in rules:
        keys = _PARTS.findall(rule) or [rule]
        if all(texts.get(k) for k in keys):
            return rule, _PARTS.sub(lambda part: texts[part[1]], rule) if "{" in rule else texts[rule]
    return "", ""


def _is_name(text: str) -> bool:
    return bool(text) and not is_address(text)


def _any(texts: Mapping[str, str], keys: tuple[str, ...]) -> str:
    return next((texts[k] for k in keys if texts.get(k)), "")


@lru_cache(maxsize=64)
def _read_for(rules: IdentityRules) -> frozenset[str]:
    """The attributes that tell an identity by these rules."""
    said = (key for rule in (*rules.environment, *rules.namespace) for key in _PARTS.findall(rule) or [rule])
    return WORKLOAD_KEYS.union(_ADDRESS_KEYS, VERSION_KEYS, INSTANCE_KEYS, said)


def _first(value: Plain) -> str:
    """The text of a value, or of the first of several, without secrets; of a long one its beginning."""
    text = text_of(value[0] if isinstance(value, list) and value else value).strip()
    return masked(text[: 4 * MAX_NAME])[:MAX_NAME]
