"""Builds the real servers from pinned registry artifacts, once, into a cache outside the checkout.

    python -m tests.services.build [names…]      builds what is missing and says how it goes

One folder per service and content of its pins: `<cache>/<name>-<hash of pins/name>/`, where the cache is
`$HOMEOSTAT_SERVICES_CACHE`, else `$XDG_CACHE_HOME/homeostat/services`, else `~/.cache/homeostat/services`. A build works in
a folder of its own beside it, under a lock, and is renamed when it is whole: what exists is complete. Nothing under
`pins/` is written to. Needs Go for the Go programs, Java and Maven for the Java ones; only the standard library of Python.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Final

PINS: Final = Path(__file__).resolve().parent / "pins"
RECIPE: Final = "1"
"""To be raised when the commands below change what they make."""
AT_ONCE: Final = 2
"""Builds side by side. One Go build already uses every core; the second fills the time it waits for downloads."""
LAST_LINES: Final = 30
"""Lines of a failed command's output that the error repeats."""
PROGRESS_S: Final = 20.0
"""Pause between signs of life of a command that takes long."""
ATTEMPTS: Final = 3
"""Tries of each command: a registry that refuses once usually answers the next time, and what was fetched stays."""
COPY_JARS: Final = "org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies"

Build = Callable[[str, Path, Path], None]
"""`build(name, work, out)`: `work` is a scratch copy of the pins, `out` becomes the service's folder."""


class BuildFailed(Exception):
    """A service that can't be built: what was run, why it failed, and its last lines."""


def cache_folder() -> Path:
    """Where built services are kept."""
    if own := os.environ.get("HOMEOSTAT_SERVICES_CACHE"):
        return Path(own).expanduser()
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "homeostat" / "services"


def built(name: str) -> Path:
    """The folder of a built service; builds it when it is missing. BuildFailed with the reason if it can't be."""
    if name not in BUILDS:
        raise BuildFailed(f"unknown service {name!r}; there are: {', '.join(BUILDS)}")
    folder = cache_folder() / f"{name}-{digest(PINS / name)}"
    if folder.is_dir():
        return folder
    folder.parent.mkdir(parents=True, exist_ok=True)
    with _locked(folder.parent / f".{name}.lock"):
        if not folder.is_dir():  # another process may have built it meanwhile
            _build(name, folder)
    return folder


def digest(pins: Path) -> str:
    """What a service is keyed by: the names and contents of its pins, and the recipe."""
    content = hashlib.sha256(RECIPE.encode())
    for path in sorted(p for p in pins.rglob("*") if p.is_file()):
        content.update(path.name.encode() + b"\0" + path.read_bytes() + b"\0")
    return content.hexdigest()[:16]


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Hold the file lock; it goes with the process, however that ends."""
    with path.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _build(name: str, folder: Path) -> None:
    say(f"{name}: building into {folder}")
    started = time.monotonic()
    scratch = Path(tempfile.mkdtemp(prefix=f".{name}-", dir=folder.parent))
    try:
        work, out = scratch / "work", scratch / "out"
        shutil.copytree(PINS / name, work)
        out.mkdir()
        BUILDS[name](name, work, out)
        out.rename(folder)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    _forget_older(name, folder)
    say(f"{name}: ready after {time.monotonic() - started:.0f} s")


def _forget_older(name: str, folder: Path) -> None:
    """Builds of other pins of this service that nobody has made for a month."""
    for other in folder.parent.glob(f"{name}-*"):
        if other != folder and time.time() - other.stat().st_mtime > 30 * 86_400:
            shutil.rmtree(other, ignore_errors=True)


def say(line: str) -> None:
    """A line of progress, on standard error, at once."""
    print(f"services: {line}", file=sys.stderr, flush=True)


def _run(name: str, command: Sequence[str], cwd: Path, env: Mapping[str, str] | None = None) -> None:
    """Run a command to its end, again if it fails; BuildFailed with its last lines."""
    if shutil.which(command[0]) is None:
        raise BuildFailed(f"{name}: {command[0]!r} is not installed, and building {name} needs it")
    for attempt in range(1, ATTEMPTS + 1):
        status, lines = _follow(name, command, cwd, {**os.environ, **(env or {})})
        if status == 0:
            return
        if attempt == ATTEMPTS:
            last = "\n".join(f"    {line}" for line in lines)
            raise BuildFailed(
                f"{name}: `{' '.join(command)}` ended with status {status} again; its last lines:\n{last}"
            )
        say(f"{name}: {command[0]} ended with status {status}: {lines[-1] if lines else 'no output'}; trying again")
        time.sleep(5 * attempt)


def _follow(name: str, command: Sequence[str], cwd: Path, env: Mapping[str, str]) -> tuple[int, list[str]]:
    """Exit status and last lines; a sign of life now and then while it runs."""
    started = said = time.monotonic()
    lines: deque[str] = deque(maxlen=LAST_LINES)
    with tempfile.TemporaryFile("w+", errors="replace") as output:
        # A file and not a pipe: a quiet compiler must not make its own progress wait for a line.
        with subprocess.Popen(command, cwd=cwd, env=env, stdout=output, stderr=subprocess.STDOUT) as process:
            while process.poll() is None:
                time.sleep(0.2)
                if time.monotonic() - said > PROGRESS_S:
                    said = time.monotonic()
                    say(f"{name}: {command[0]} {command[1]} has run for {said - started:.0f} s")
        output.seek(0)
        lines.extend(line.rstrip() for line in output)
    return process.returncode, list(lines)


def _jars(name: str, work: Path, out: Path) -> None:
    """The jars of a pom's dependencies, in `out/lib`."""
    options = ("--batch-mode", "--quiet", "-Dstyle.color=never", "-Dmaven.wagon.http.retryHandler.count=5")
    copy = (COPY_JARS, "-DincludeScope=runtime", f"-DoutputDirectory={out / 'lib'}")
    _run(name, ["mvn", *options, "-f", str(work / "pom.xml"), *copy], work)
    if not list((out / "lib").glob("*.jar")):
        raise BuildFailed(f"{name}: Maven ended well but copied no jar")


def _go(*packages: str, output: str = "", symbols: str = "") -> Build:
    """A build of Go packages into `out/bin`; `output` names the program, else it is called like its package."""

    def build(name: str, work: Path, out: Path) -> None:
        target = out / "bin"
        target.mkdir()
        _run(
            name,
            ["go", "build", "-ldflags", f"-s -w {symbols}".strip(), "-o", f"{target}/{output}", *packages],
            work,
            {"CGO_ENABLED": "0", "GOWORK": "off", "GOFLAGS": "-mod=readonly -buildvcs=false"},
        )

    return build


def _kwok(name: str, work: Path, out: Path) -> None:
    """The program, and as stages.yaml how its pods and nodes live."""
    _go("sigs.k8s.io/kwok/cmd/kwok")(name, work, out)
    found = subprocess.run(
        ["go", "list", "-m", "-f", "{{.Dir}}", "sigs.k8s.io/kwok"], cwd=work, check=True, capture_output=True, text=True
    )
    stages = Path(found.stdout.strip()) / "kustomize" / "stage"
    texts = [
        path.read_text().strip()
        for folder in ("node/fast", "node/heartbeat-with-lease", "pod/fast")
        for path in sorted((stages / folder).glob("*.yaml"))
        if path.name != "kustomization.yaml"
    ]
    (out / "stages.yaml").write_text("\n---\n".join(texts) + "\n")


def _custom_resources(name: str, work: Path, out: Path) -> None:
    """What the Prometheus operator teaches an API server, so that it can judge a ServiceMonitor."""
    module = "github.com/prometheus-operator/prometheus-operator"
    _run(name, ["go", "mod", "download", module], work, {"GOWORK": "off"})
    found = subprocess.run(
        ["go", "list", "-m", "-f", "{{.Dir}}", module], cwd=work, check=True, capture_output=True, text=True
    )
    folder = Path(found.stdout.strip()) / "example" / "prometheus-operator-crd"
    for kind in ("servicemonitors", "prometheusrules"):
        shutil.copyfile(folder / f"monitoring.coreos.com_{kind}.yaml", out / f"{kind}.yaml")


_KUBERNETES: Final = "k8s.io/kubernetes/cmd/kube-"
_KUBERNETES_VERSION: Final = "-X k8s.io/component-base/version.gitVersion=v1.34.4"
"""Without it the API server calls itself v0.0.0-master."""

BUILDS: Final[Mapping[str, Build]] = {
    # The longest first: what is built side by side then ends at about the same time.
    "kubernetes": _go(
        f"{_KUBERNETES}apiserver",
        f"{_KUBERNETES}controller-manager",
        f"{_KUBERNETES}scheduler",
        symbols=_KUBERNETES_VERSION,
    ),
    "kafka": _jars,
    "neo4j": _jars,
    "opa": _go("github.com/open-policy-agent/opa"),
    "etcd": _go("go.etcd.io/etcd/server/v3", output="etcd"),
    "kwok": _kwok,
    "collector": _go(".", output="otelcol"),
    "kustomize": _go("sigs.k8s.io/kustomize/kustomize/v5", output="kustomize"),
    "promql": _go(".", output="promql"),
    "prometheus-operator": _custom_resources,
}


def main(names: Sequence[str]) -> int:
    """Build the named services, or all; the exit status says whether every one is there."""
    wanted = list(names) or list(BUILDS)
    failures = []
    with ThreadPoolExecutor(AT_ONCE) as pool:
        for name, future in [(name, pool.submit(built, name)) for name in wanted]:
            try:
                say(f"{name}: {future.result()}")
            except (BuildFailed, OSError, subprocess.CalledProcessError) as e:
                failures.append(name)
                say(f"{name}: FAILED: {e}")
    if failures:
        say(f"{len(failures)} of {len(wanted)} could not be built: {', '.join(failures)}")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
