"""What a cluster's addresses stand for, as its watch tells whoever names callees."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Final

from contracts.frames.decoded import B1, I64

ADDRESS_PARTS: Final = 64
"""Frames that the addresses of a cluster are spread over, so that one pod more does not repeat everything."""


@dataclass(frozen=True, slots=True)
class AddressFrame:
    """One part of the addresses of an environment's cluster, whole: what an earlier frame of this part has, and this one has not, is over.

    part        which one, below `ADDRESS_PARTS`
    time_ns     when it was so
    names       IP addresses, and names of Services as spans have them (what is generated in them folded)
    namespaces  of each: that of the Service; "" for what means the same everywhere
    stands_for  of each: the service of the pods behind, or `external:<name>` where it is none or several
    objects     of each: the object that has this address, as `kind/namespace/name`
    from_ns     of each: since when
    headless    of each: whether the pods behind have names of their own below it
    callers     services, one entry per namespace that they run in
    homes       of each: that namespace
    """

    VERSION: ClassVar[int] = 1
    environment: str
    part: int
    time_ns: int
    names: tuple[str, ...]
    namespaces: tuple[str, ...]
    stands_for: tuple[str, ...]
    objects: tuple[str, ...]
    from_ns: I64
    headless: B1
    callers: tuple[str, ...]
    homes: tuple[str, ...]
