"""Who sent telemetry: from resource attributes to a `Resource`.

A service is named by what deploys it, never by an address: addresses are reused within minutes in a cluster.
"""

from __future__ import annotations

import hashlib
import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from connectors.otlp.folding import fold
from connectors.otlp.json_model import resource_attributes
from connectors.otlp.schema import AttributesOfResource
from connectors.otlp.values import Plain, pairs_from_bytes, text_of
from contracts.frames.decoded import Resource
from contracts.secrets import masked

UNKNOWN_SERVICE: Final = "unknown_service"
CACHED_RESOURCES: Final = 4096

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
ENVIRONMENT_KEYS: Final = ("deployment.environment.name", "deployment.environment", "k8s.cluster.name")
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
        "process.pid",
        "service.name",
        "service.namespace",
    }
)


@dataclass(frozen=True, slots=True)
class Identified:
    """A resource and `key`: a 64-bit hash of *all* its attributes, so that two processes are never one series."""

    resource: Resource
    key: int


@lru_cache(maxsize=CACHED_RESOURCES)
def identify_proto(serialized: bytes, default_environment: str) -> Identified:
    """Identity of a serialized protobuf Resource; attributes that cannot be read do not count.

    Raises:
        DecodeError: it is not one.
    """
    attributes = AttributesOfResource.FromString(serialized).attributes
    return identify(pairs_from_bytes(attributes), default_environment)


@lru_cache(maxsize=CACHED_RESOURCES)
def identify_json(raw: bytes, default_environment: str) -> Identified:
    """Identity of a JSON Resource.

    Raises:
        msgspec.DecodeError, ValueError, RecursionError: it is not one.
    """
    return identify(resource_attributes(raw), default_environment)


def identify(attributes: Mapping[str, Plain], default_environment: str) -> Identified:
    """Identity of a resource with these attributes."""
    texts = {key: _first(value) for key, value in attributes.items()}
    pairs = tuple(sorted((k, v) for k, v in texts.items() if k in WORKLOAD_KEYS and v))
    resource = Resource(
        environment=_any(texts, ENVIRONMENT_KEYS) or default_environment,
        service=_service(texts),
        version=_any(texts, VERSION_KEYS),
        instance=_any(texts, INSTANCE_KEYS),
        attributes=pairs,
    )
    every = "\x1f".join(f"{k}\x1e{text_of(v)}" for k, v in sorted(attributes.items()))
    return Identified(resource, hash64(every))


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


def _service(texts: Mapping[str, str]) -> str:
    given = texts.get("service.name", "")
    name = given if _is_name(given) and not given.startswith(UNKNOWN_SERVICE) else ""
    if not name:
        name = next((texts[k] for k in NAME_KEYS if _is_name(texts.get(k, ""))), "")
    if not name:
        name = given if given.startswith(UNKNOWN_SERVICE) else UNKNOWN_SERVICE
    name, namespace = fold(name), texts.get("service.namespace", "")
    return f"{namespace}/{name}" if namespace else name


def _is_name(text: str) -> bool:
    return bool(text) and not is_address(text)


def _any(texts: Mapping[str, str], keys: tuple[str, ...]) -> str:
    return next((texts[k] for k in keys if texts.get(k)), "")


def _first(value: Plain) -> str:
    return masked(text_of(value[0] if isinstance(value, list) and value else value).strip())
