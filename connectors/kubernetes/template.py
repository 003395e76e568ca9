"""What a pod template says, as hashes of its parts: enough to tell a new image from a new configuration. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from connectors.kubernetes.objects import PodTemplate
from connectors.otlp.identity import hash64

_RESTARTS: Final = ("kubectl.kubernetes.io/restartedAt", "homeostat.io/restartedAt", "homeostat.io/restarted-by")
_CHECKSUMS: Final = ("checksum", "hash", "config")
_HASH_LABELS: Final = ("pod-template-hash", "rollouts-pod-template-hash")
"""The Deployment controller and Argo Rollouts add them to the templates of ReplicaSets."""
_VOLUMES: Final = ("configMap", "secret", "projected")
Json = dict[str, Any]


def summary(raw: bytes | msgspec.Raw) -> PodTemplate:
    """A pod template's JSON in short.

    Raises:
        msgspec.DecodeError: it is no JSON object.
    """
    template = msgspec.json.decode(raw, type=Json)
    metadata, spec = template.get("metadata") or {}, template.get("spec") or {}
    marks = metadata.get("annotations") or {}
    restarts = {k: v for k, v in marks.items() if k in _RESTARTS}
    checksums = {k: v for k, v in marks.items() if k not in restarts and any(word in k for word in _CHECKSUMS)}
    labels = {k: v for k, v in (metadata.get("labels") or {}).items() if k not in _HASH_LABELS}
    containers = [c for key in ("initContainers", "containers") for c in spec.get(key) or ()]
    volumes = spec.get("volumes") or []
    references = [v for v in volumes if any(kind in v for kind in _VOLUMES)]
    config = [checksums, [_part(c, ("env", "envFrom")) for c in containers], references]
    resources = [_part(c, ("resources",)) for c in containers]
    told = {"image", "env", "envFrom", "resources"}
    rest = [
        labels,
        {k: v for k, v in marks.items() if k not in restarts and k not in checksums},
        [{k: v for k, v in c.items() if k not in told} for c in containers],
        [v for v in volumes if v not in references],
        {k: v for k, v in spec.items() if k not in {"containers", "initContainers", "volumes"}},
    ]
    images = tuple(str(c.get("image", "")) for c in spec.get("containers") or ())
    inits = [str(c.get("image", "")) for c in spec.get("initContainers") or ()]
    return PodTemplate(images, _hash(config), _hash(resources), _hash(restarts), _hash([*rest, inits]))


def tag_of(image: str) -> str:
    """Tag (or digest) of an image, which is what a person calls the version."""
    name, _, digest = image.partition("@")
    _, colon, tag = name.rpartition("/")[2].partition(":")
    return tag if colon else digest or ("latest" if name else "")


def name_of(image: str) -> str:
    """An image without its tag and digest."""
    path, slash, last = image.partition("@")[0].rpartition("/")
    return path + slash + last.partition(":")[0]


def _part(container: Mapping[str, Any], keys: tuple[str, ...]) -> list[Any]:
    return [container.get(key) or None for key in keys]


def _hash(part: Any) -> int:
    """63 bits: it is kept as a signed integer."""
    return hash64(msgspec.json.encode(part, order="sorted").decode()) >> 1
