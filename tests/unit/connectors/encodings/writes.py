"""Write requests of both versions, made from series as people write them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import cramjam

from connectors.encodings.foreign_schemas import WriteRequest, WriteRequest2

T0_MS = 1_790_000_000_000
TARGET = {"job": "shop/cart", "instance": "cart-0:8080"}
Series = tuple[str, dict[str, str], float]
"""Name, labels, value."""
BOUNDS = ("0.1", "0.5", "1.0", "+Inf")


def first(series: Iterable[Series], time_ms: int = T0_MS, metadata: Iterable[tuple[str, int, str]] = ()) -> bytes:
    """A request of 1.0, compressed; `metadata` are family, type, unit."""
    request = WriteRequest()
    for name, labels, value in series:
        one = request.timeseries.add()
        for key, text in sorted({"__name__": name, **labels}.items()):
            one.labels.add(name=key.encode(), value=text.encode())
        one.samples.add(value=value, timestamp=time_ms)
    for family, kind, unit in metadata:
        request.metadata.add(metric_family_name=family.encode(), type=kind, unit=unit.encode())
    return compressed(request)


def second(series: Iterable[Series], time_ms: int = T0_MS, kind: int = 0, unit: str = "") -> bytes:
    """A request of 2.0, compressed; all of its series are of one type and unit."""
    request = WriteRequest2()
    symbols = [""]
    for name, labels, value in series:
        pairs = [x for pair in sorted({"__name__": name, **labels}.items()) for x in pair]
        symbols += [x for x in [*pairs, unit] if x not in symbols]
        one = request.timeseries.add(labels_refs=[symbols.index(x) for x in pairs])
        one.samples.add(value=value, timestamp=time_ms)
        one.metadata.type, one.metadata.unit_ref = kind, symbols.index(unit)
    request.symbols.extend(s.encode() for s in symbols)
    return compressed(request)


def compressed(request: Any) -> bytes:
    """As it is sent."""
    return bytes(cramjam.snappy.compress_raw(request.SerializeToString()))


def histogram(
    name: str, upto: Iterable[float], labels: dict[str, str] = TARGET, bounds: Iterable[str] = BOUNDS
) -> list[Series]:
    """The series of a classic histogram with these counts up to its bounds."""
    counts = list(upto)
    buckets = [(f"{name}_bucket", {**labels, "le": le}, c) for le, c in zip(bounds, counts, strict=True)]
    return [*buckets, (f"{name}_sum", labels, 1.5), (f"{name}_count", labels, counts[-1])]
