"""docker-compose.yml against the compose schema, and against what this project promises of it.

The schema is compose-spec's own (Apache-2.0), as shipped in the check-jsonschema package.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path
from typing import Any

from jsonschema import Draft7Validator
from ruamel.yaml import YAML

ROOT = Path(__file__).resolve().parent.parent
SECRET_NAME = re.compile(r"PASSWORD|SECRET|TOKEN|_AUTH$|_KEY$|CREDENTIAL", re.IGNORECASE)
REQUIRED_VARIABLE = re.compile(r"\$\{\w+:\?[^}]+\}")
DEFAULTED_VARIABLE = re.compile(r"\$\{\w+:-(?P<default>[^}]*)\}")


def read_compose(path: Path) -> dict[str, Any]:
    """The file as plain dicts, anchors and merges resolved, variables as written."""
    document: dict[str, Any] = YAML(typ="safe").load(path.read_text(encoding="utf-8"))
    return document


def schema_problems(document: dict[str, Any]) -> Iterator[str]:
    """What the compose schema has against it."""
    schema = json.loads((files("check_jsonschema") / "builtin_schemas/vendor/compose-spec.json").read_text("utf-8"))
    for error in Draft7Validator(schema).iter_errors(document):
        yield f"{'.'.join(str(part) for part in error.absolute_path)}: {error.message}"


def promise_problems(document: dict[str, Any], root: Path) -> Iterator[str]:
    """What this project promises of every service: health, no literal secrets, pinned images, loopback, files present."""
    services = document.get("services", {})
    awaited = {
        name
        for service in services.values()
        for name, how in service.get("depends_on", {}).items()
        if how.get("condition") == "service_completed_successfully"
    }
    for name, service in services.items():
        one_shot = service.get("restart") == "no" and name in awaited
        if not one_shot and not _has_healthcheck(service, root):
            yield f"{name}: neither a health check nor a one-shot that others wait for"
        yield from (f"{name}: {problem}" for problem in _secret_problems(service))
        image = service.get("image", "")
        if ":" not in image or image.endswith(":latest"):
            yield f"{name}: image {image!r} is not pinned to a version"
        for port in service.get("ports", []):
            if not str(port).startswith("127.0.0.1:"):
                yield f"{name}: port {port} is published beyond loopback"
        yield from (f"{name}: {problem}" for problem in _mount_problems(service, document, root))


def _has_healthcheck(service: dict[str, Any], root: Path) -> bool:
    """In the service itself or in the Dockerfile it is built from."""
    if "healthcheck" in service:
        return not service["healthcheck"].get("disable", False)
    build = service.get("build")
    if build is None:
        return False
    context = build if isinstance(build, str) else build.get("context", ".")
    dockerfile = root / context / "Dockerfile"
    return dockerfile.is_file() and "\nHEALTHCHECK " in dockerfile.read_text(encoding="utf-8")


def _secret_problems(service: dict[str, Any]) -> Iterator[str]:
    """Environment variables that carry a secret must come from the user, and stop the start when they don't."""
    environment = service.get("environment", {})
    pairs = environment.items() if isinstance(environment, dict) else (str(e).partition("=")[::2] for e in environment)
    for key, value in pairs:
        if SECRET_NAME.search(key) and not REQUIRED_VARIABLE.search(str(value)):
            yield f"{key} holds a literal or optional secret; write ${{NAME:?why}}"


def _mount_problems(service: dict[str, Any], document: dict[str, Any], root: Path) -> Iterator[str]:
    """A mount is a declared volume or something in the repository (a missing file would be mounted as a folder)."""
    for mount in service.get("volumes", []):
        source = DEFAULTED_VARIABLE.sub(lambda found: found["default"], mount).split(":")[0]
        if source.startswith("."):
            if not (root / source).exists():
                yield f"mounts {source}, which is not in the repository"
        elif source not in document.get("volumes", {}):
            yield f"mounts volume {source}, which is not declared"


def main() -> int:
    """Print every problem; the exit status says whether there was one."""
    document = read_compose(ROOT / "docker-compose.yml")
    problems = [*schema_problems(document), *promise_problems(document, ROOT)]
    print("\n".join(f"docker-compose.yml: {problem}" for problem in problems) or "compose: valid")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
