"""Names of Services in Kubernetes' DNS, as callers spell them.

https://kubernetes.io/docs/concepts/services-networking/dns-pod-service/
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

_SVC = "svc"


class ServiceName(NamedTuple):
    """A Service that a host's name may mean; `of_pod`: the host is one of its pods, as headless Services have them."""

    name: str
    namespace: str
    of_pod: bool = False


def spelled_as(host: str, home: str) -> Iterator[ServiceName]:
    """The Services that a host's name may mean to who runs in the namespace `home` ("": nobody knows where), the likeliest first."""
    labels = host.split(".")
    if _SVC in labels[2:3]:  # name.namespace.svc, whatever the cluster's domain is
        yield ServiceName(labels[0], labels[1])
    elif _SVC in labels[3:4]:
        yield ServiceName(labels[1], labels[2], of_pod=True)
    elif len(labels) == 1 and home:
        yield ServiceName(host, home)
    elif len(labels) == 2:
        yield ServiceName(labels[0], labels[1])
        if home:
            yield ServiceName(labels[1], home, of_pod=True)
    elif len(labels) == 3:
        yield ServiceName(labels[1], labels[2], of_pod=True)
