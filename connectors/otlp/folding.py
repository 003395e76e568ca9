"""Names that machines made up, folded to what they are instances of: one node, and not one more with every consumer, pod or job.

The one owner of the question which part of a name is generated. What people name is left alone: a number, a date of a release or
a word in hexadecimal letters is no id. A star stands for what was generated.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final

CACHED_NAMES: Final = 16_384
STAR: Final = "*"
_SAFE: Final = "bcdfghjklmnpqrstvwxz2456789"
"""The letters of generated parts of names in Kubernetes (k8s.io/apimachinery, util/rand): no vowels, so that they make no words."""
_POD: Final = re.compile(
    rf"(?P<workload>[a-z0-9](?:[-a-z0-9.]*[a-z0-9])?)-(?=[{_SAFE}]*\d)[{_SAFE}]{{8,10}}-[{_SAFE}]{{5}}"
)
"""A pod of a Deployment: its name, the hash of its template, five letters. https://kubernetes.io/docs/concepts/workloads/controllers/deployment"""
_QUEUE: Final = re.compile(
    r"(?P<maker>amq\.gen|amq\.ctag|spring\.gen|amqpnetlite\.gen|bus|temporary)[-.:][\w-]{8,}", re.IGNORECASE
)
"""Queues that a broker or a library names: RabbitMQ, Spring AMQP, MassTransit."""
_GENERATED: Final = re.compile(
    r"""
    (?<![A-Za-z0-9])(?:
        [0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}   # UUID (RFC 9562)
      | (?=[0-9]*[a-f])(?=(?:[a-f]*[0-9]){2})[0-9a-f]{8,64}            # hexadecimal, letters and digits
      | [0-9]{9,}                                                      # a number that nobody counts, or a time
      | (?=(?:[A-Z]*[0-9]){2})[0-9A-HJKMNP-TV-Z]{26}                   # ULID
    )(?![A-Za-z0-9])
    """,
    re.VERBOSE | re.IGNORECASE,
)


_OF_WORKLOAD: Final = re.compile(
    rf"(?P<workload>[a-z0-9](?:[-a-z0-9.]*?[a-z0-9])??)(?:-[{_SAFE}]{{8,10}}-[{_SAFE}]{{5}}|-[0-9]{{8,}}-[{_SAFE}]{{5}}|-[{_SAFE}]{{5}}|-[0-9]{{1,5}})"
)
"""Pods of Deployments, jobs of a CronJob, DaemonSets, StatefulSets."""
_JOB: Final = re.compile(r"-[0-9]{8,}$")
_SEGMENT: Final = re.compile(r"(?<=/)[0-9]+(?=[/?]|$)")


@lru_cache(maxsize=CACHED_NAMES)
def fold(name: str) -> str:
    """A name with its generated parts folded; most names have none and stay as they are.

    `payment-7d9f8b6c5d-x2x4z` is `payment`, `amq.gen-JzTY20BRgKO-HjmUJj0wLg` is `amq.gen-*`, `job-<uuid>` is `job-*`.
    """
    pod = _POD.fullmatch(name)
    if pod is not None:
        return pod["workload"]
    queue = _QUEUE.fullmatch(name)
    if queue is not None and any(c.isdigit() or c.isupper() for c in name[len(queue["maker"]) + 1 :]):
        return f"{queue['maker']}-{STAR}"
    return _GENERATED.sub(STAR, name)


@lru_cache(maxsize=CACHED_NAMES)
def fold_route(name: str) -> str:
    """The name of a request with what is generated in it folded, and numbers that are whole segments of its path."""
    return _SEGMENT.sub(STAR, fold(name))


def fold_temporary(name: str) -> str:
    """The name of a queue of which its user says that it is temporary or has no name of its own."""
    folded = fold(name)
    return folded if folded != name else STAR


@lru_cache(maxsize=CACHED_NAMES)
def workload_of_pod(name: str) -> str:
    """What the workload of a pod is most likely called: pods of one workload have it in common. The cluster knows it for sure.

    `cart-7d9f8b6c5d-x2x4z`, `cart-x2x4z`, `cart-0` and `cart-29387520-x2x4z` are of a workload `cart`.
    """
    found = _OF_WORKLOAD.fullmatch(name)
    return found["workload"] if found is not None else name


def workload_of_job(name: str) -> str:
    """What the CronJob of a job is called, or the job itself."""
    return _JOB.sub("", name)
