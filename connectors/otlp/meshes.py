"""Spans of a mesh's proxies: they are those of the application that a proxy stands before, under its name, and told apart from its own.

A proxy and its application both tell of a request that is served. Which of the two counts is decided where an application's own
spans are known (`streams.windows.collect_spans`); a request that the proxy answered itself (Envoy's response flags) is only in the
proxy's. https://www.envoyproxy.io/docs/envoy/latest/intro/arch_overview/observability/tracing and Istio's tags.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any, Final

import numpy as np

from connectors.otlp import span_bytes
from connectors.otlp.conventions import standard
from connectors.otlp.flatten import DecodeContext, Flat
from connectors.otlp.identity import CACHED_RESOURCES, PROXIES, Identified, IdentityRules, identify
from connectors.otlp.values import Plain, pairs_from_bytes, text_of
from contracts.frames.decoded import I8, PROXY_ANSWERED, PROXY_PASSED

_TABLE: Final = standard()
_COMPONENT: Final = _TABLE.keys("component")
_SERVICE, _NAMESPACE = _TABLE.keys("mesh_service"), _TABLE.keys("mesh_namespace")
_FLAGS: Final = _TABLE.keys("response_flags")
KEYS: Final = frozenset((*_COMPONENT, *_SERVICE, *_NAMESPACE, *_FLAGS))
_PROXY: Final = b"proxy"
_DOTTED: Final = re.compile(r"([a-z0-9](?:[-a-z0-9]{0,61}[a-z0-9])?)\.([a-z0-9](?:[-a-z0-9]{0,61}[a-z0-9])?)")
"""A workload's label and its namespace, as Istio calls services that tell nothing else."""
_NAMESPACES: Final = ("service.namespace", "k8s.namespace.name")


def of_messages(spans: list[Any], payload: bytes, flat: Flat, context: DecodeContext) -> I8:
    """Which of some spans are a proxy's, and what it did (0: of none); their resources become those of the applications."""
    if _PROXY not in payload and not any(_is_proxy(sender) for sender, _ in flat.senders):
        return np.empty(0, np.int8)
    said = context.codec.read(spans, payload, range(len(spans)), KEYS)
    return _passed(((row, found) for row, found in enumerate(said)), flat, context)


def of_columns(spans: span_bytes.SpanBytes, some: span_bytes.Attributes, flat: Flat, context: DecodeContext) -> I8:
    """The same of plain spans; `some` are those of their attributes that may be of `KEYS`."""
    named = len(some.row) > 0 and _PROXY in spans.text
    if not named and not any(_is_proxy(sender) for sender, _ in flat.senders):
        return np.empty(0, np.int8)
    said = span_bytes.alike(spans, some)
    groups = [pairs_from_bytes(pairs, KEYS) for pairs in said.pairs]
    return _passed(((r, groups[g]) for r, g in zip(said.row.tolist(), said.group.tolist(), strict=True)), flat, context)


def _passed(said: Iterable[tuple[int, Mapping[str, Plain]]], flat: Flat, context: DecodeContext) -> I8:
    passed = np.zeros(len(flat.resource), np.int8)
    bounds = np.cumsum([0, *(count for _, count in flat.senders)])
    for (sender, _), low, high in zip(flat.senders, bounds[:-1].tolist(), bounds[1:].tolist(), strict=True):
        passed[low:high] = PROXY_PASSED if _is_proxy(sender) else 0
    for row, found in said:
        if _first(found, _COMPONENT) != "proxy":
            continue
        passed[row] = PROXY_PASSED if _first(found, _FLAGS) in ("", "-") else PROXY_ANSWERED
        sender = flat.senders[int(np.searchsorted(bounds, row, side="right")) - 1][0]
        named = _first(found, _SERVICE), _first(found, _NAMESPACE)
        of = _behind(tuple(sorted(sender.attributes.items(), key=lambda p: p[0])), named, context)
        if of is not None:
            flat.resource[row] = context.resources.index(of)
    return passed


def _is_proxy(sender: Identified) -> bool:
    return text_of(sender.attributes.get("service.name")) in PROXIES


def _behind(
    attributes: tuple[tuple[str, Plain], ...], named: tuple[str, str], context: DecodeContext
) -> Identified | None:
    """The application behind a proxy with these attributes, which calls it so; None where nothing tells."""
    plain = tuple((key, text_of(value)) for key, value in attributes)
    return _identified(plain, named, context.environment, context.rules)


@lru_cache(maxsize=CACHED_RESOURCES)
def _identified(
    attributes: tuple[tuple[str, str], ...], named: tuple[str, str], environment: str, rules: IdentityRules
) -> Identified | None:
    told = dict(attributes)
    service, namespace = named
    dotted = _DOTTED.fullmatch(told.get("service.name", ""))
    if not service and dotted is not None and not any(told.get(key) for key in _NAMESPACES):
        service, namespace = dotted[1], dotted[2]
    if not service:
        return None
    told["service.name"] = service
    if namespace and not any(told.get(key) for key in _NAMESPACES):
        told["k8s.namespace.name"] = namespace
    return identify(told, environment, rules)


def _first(attributes: Mapping[str, Plain], keys: tuple[str, ...]) -> str:
    return next((text_of(attributes[k]) for k in keys if attributes.get(k) not in (None, "")), "")
