"""Whom a metric point is about, where that isn't who sent it: exporters and receivers tell of containers, queues and callees by labels."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Final

from connectors.otlp.convention_table import PointSubject
from connectors.otlp.folding import fold
from connectors.otlp.identity import CACHED_RESOURCES, MAX_NAME, Identified, hash64, identify
from connectors.otlp.values import Plain, text_of
from contracts.frames.decoded import Resource
from contracts.secrets import masked_name

_PLACE: Final = re.compile(r"\{([^{}]+)\}")
_OF_THE_CLUSTER: Final = ("k8s.cluster.name", "cloud.region")
"""What holds for everything that a sender tells of."""
_POD, _DEPLOYMENT, _NAMESPACE = "k8s.pod.name", "k8s.deployment.name", "k8s.namespace.name"
_EXPORTED: Final = "exported_"
"""What Prometheus puts before a label of a scraped metric that its target has, too (honor_labels: false)."""


def subject_of(subject: PointSubject, sender: Identified, attributes: Mapping[str, Plain]) -> Identified | None:
    """Whom a point with these attributes is about; None where it is about nobody."""
    found = []
    renamed = any(label.startswith(_EXPORTED) for label in attributes)
    for attribute, given in subject.labels.items():
        # Where some of an exporter's labels had to give way to those of its own target, what is left of that kind is the target's.
        labels = tuple(x for x in given if x.startswith(_EXPORTED)) if renamed and attribute == _NAMESPACE else given
        text = _first(labels, attributes) or _first(labels, sender.attributes)
        if text in subject.unless.get(attribute, ()):
            return None
        if text:
            found.append((attribute, text))
    if not any(attribute in subject.needs for attribute, _ in found):
        return sender if subject.otherwise else None
    return _named(subject.node, subject.keeps, tuple(found), sender.resource)


def _first(labels: tuple[str, ...], attributes: Mapping[str, Plain]) -> str:
    found = (attributes.get(label) for label in labels)
    texts = (text_of(value).strip()[:MAX_NAME] for value in found if not isinstance(value, dict | list))
    return next((text for text in texts if text), "")


@lru_cache(maxsize=CACHED_RESOURCES)
def _named(node: str, keeps: tuple[str, ...], found: tuple[tuple[str, str], ...], sender: Resource) -> Identified:
    values = dict(found)
    if node:
        name = _PLACE.sub(lambda m: fold(masked_name(values.get(m[1], ""))), node)
        kept = tuple(sorted((k, masked_name(values[k])) for k in keeps if k in values))
        return Identified(
            Resource(sender.environment, name, attributes=kept), hash64(f"{sender.environment}\x1f{name}")
        )
    pod = values.get(_POD, "")
    if pod and fold(pod) != pod:
        values[_DEPLOYMENT] = fold(pod)
    common = {k: v for k, v in sender.attributes if k in _OF_THE_CLUSTER}
    return identify({**common, **values}, sender.environment)
