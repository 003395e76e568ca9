"""What is deployed agrees with what Homeostat is: settings, endpoints, metrics, and with itself."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from contracts.settings import Settings, load
from contracts.topics import TOPICS
from contracts.verdicts import RunState
from homeostat.metrics import METRICS

DEPLOY = Path(__file__).parents[3] / "deploy"
KUBERNETES = DEPLOY / "kubernetes"
MANIFESTS = sorted(p for p in KUBERNETES.rglob("*.yaml") if p.name not in {"kustomization.yaml", "homeostat.yaml"})
EXPOSED = {f"homeostat_{m.name}_total" if m.type == "counter" else f"homeostat_{m.name}": m for m in METRICS.values()}
OTHERS = {"up", "process_resident_memory_bytes", "process_cpu_seconds_total"}
"""Metrics of Prometheus itself and of its Python client."""


def read(path: Path) -> list[dict[str, Any]]:
    return [d for d in YAML(typ="safe").load_all(path.read_text("utf-8")) if d]


def objects() -> Iterator[dict[str, Any]]:
    for path in MANIFESTS:
        yield from read(path)


def expressions() -> list[str]:
    """Every PromQL expression of the alerts and of the dashboard."""
    (alerts,) = read(DEPLOY / "prometheus" / "alerts.yaml")
    dashboard = json.loads((DEPLOY / "grafana" / "homeostat.json").read_text("utf-8"))
    return [
        *(rule["expr"] for group in alerts["groups"] for rule in group["rules"]),
        *(target["expr"] for panel in dashboard["panels"] for target in panel["targets"]),
    ]


# --- Kubernetes --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", sorted(KUBERNETES.rglob("homeostat.yaml")), ids=lambda p: p.parent.name)
def test_homeostat_accepts_its_settings(path: Path) -> None:
    (values,) = read(path)
    settings = load(values, source=str(path))
    assert settings.broker.url.startswith("kafka://"), "a worker needs Kafka"
    assert settings.graph.store == "neo4j", "Ladybug's file belongs to one process"
    assert not settings.broker.password.get_secret_value()
    assert not settings.graph.password.get_secret_value()


def test_the_base_acts_on_nothing() -> None:
    (values,) = read(KUBERNETES / "base" / "homeostat.yaml")
    settings = load(values)
    assert (settings.decide.autonomy, settings.act.actuators) == ("observe", ("dry-run",))
    assert not [d for p in (KUBERNETES / "base").glob("*.yaml") for d in read(p) if d.get("kind") == "RoleBinding"]


def test_every_manifest_is_used_and_every_reference_is_there() -> None:
    used = set()
    for path in DEPLOY.rglob("kustomization.yaml"):
        (document,) = read(path)
        named = [*document.get("resources", []), *document.get("components", [])]
        named += [f for g in document.get("configMapGenerator", []) for f in g["files"]]
        named += [p["path"] for p in document.get("patches", [])]
        found = {(path.parent / name).resolve() for name in named}
        assert [str(f) for f in found if not f.exists()] == []
        used |= found
    assert {p.resolve() for p in MANIFESTS} <= used


def _worker() -> dict[str, Any]:
    (found,) = (d for d in read(KUBERNETES / "base" / "worker.yaml") if d["kind"] == "Deployment")
    spec: dict[str, Any] = found["spec"]["template"]["spec"]
    return spec


def test_the_worker_runs_without_rights_it_does_not_need() -> None:
    pod = _worker()
    (container,) = pod["containers"]
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert f"--uid {pod['securityContext']['runAsUser']} " in (DEPLOY.parent / "Dockerfile").read_text("utf-8")
    own = container["securityContext"]
    assert (own["readOnlyRootFilesystem"], own["allowPrivilegeEscalation"]) == (True, False)
    assert own["capabilities"] == {"drop": ["ALL"]}
    assert {"requests", "limits"} <= set(container["resources"])


def test_the_worker_may_write_where_it_writes_and_is_probed_where_it_answers() -> None:
    pod = _worker()
    (container,) = pod["containers"]
    environment = {e["name"]: e["value"] for e in container["env"]}
    writable = {m["mountPath"] for m in container["volumeMounts"] if not m.get("readOnly")}
    assert writable == {environment["HOMEOSTAT_DATA_DIR"], "/tmp"}
    assert {m["name"] for m in container["volumeMounts"]} == {v["name"] for v in pod["volumes"]}
    (port,) = container["ports"]
    assert port["containerPort"] == Settings().api.port
    probes = {kind: container[f"{kind}Probe"]["httpGet"] for kind in ("startup", "liveness", "readiness")}
    assert {k: p["path"] for k, p in probes.items()} == {
        "startup": "/livez",
        "liveness": "/livez",
        "readiness": "/readyz",
    }
    assert {p["port"] for p in probes.values()} == {port["name"]}


def test_a_graceful_stop_fits_in_the_grace_period() -> None:
    from homeostat.graph_writer import GraphWriter
    from playbooks.runs import executor
    from streams.worker import loop

    graph_s = GraphWriter.stop.__defaults__
    assert graph_s is not None
    assert _worker()["terminationGracePeriodSeconds"] > executor.STOP_S + 2 * loop.STOP_S + graph_s[0]


def test_selectors_select_the_workers() -> None:
    (labels,) = (d["spec"]["template"]["metadata"]["labels"] for d in read(KUBERNETES / "base" / "worker.yaml"))
    selectors = [
        d["spec"].get("podSelector", d["spec"].get("selector", {}))
        for d in objects()
        if d["kind"] in {"Service", "PodDisruptionBudget", "NetworkPolicy"}
    ]
    assert len(selectors) == 3
    for selector in selectors:
        assert selector.get("matchLabels", selector).items() <= labels.items()


def test_nothing_may_do_everything() -> None:
    for role in (d for d in objects() if d["kind"] in {"ClusterRole", "Role"}):
        words = [w for rule in role["rules"] for field in rule.values() for w in field]
        assert "*" not in words
        assert "secrets" not in words
    watcher = next(d for d in objects() if d["kind"] == "ClusterRole" and d["metadata"]["name"] == "homeostat-watcher")
    assert {v for rule in watcher["rules"] for v in rule["verbs"]} == {"get", "list", "watch"}


# --- alerts and dashboard ----------------------------------------------------------------------------------------------


def test_alerts_and_panels_ask_for_metrics_that_exist() -> None:
    asked = expressions()
    assert len(asked) > 20
    for expression in asked:
        bare = re.sub(r'"[^"]*"', "", expression)
        named = {n for n in re.findall(r"\b[a-z_]+(?=[{\[ )]|$)", bare) if n.startswith(("homeostat_", "process_"))}
        assert named <= set(EXPOSED) | OTHERS, expression
        assert named or expression.startswith("up{"), expression


def test_labels_that_are_asked_for_exist() -> None:
    elsewhere = {"instance", "job"}  # Prometheus adds them
    for expression in expressions():
        for name, matchers in re.findall(r"\b(homeostat_\w+)\{([^}]*)\}", expression):
            labels = set(re.findall(r"(\w+)\s*[=!]~?\s*\"", matchers))
            assert labels <= {*EXPOSED[name].labels, *elsewhere}, expression
        for state in re.findall(r'state=~?"([^"]+)"', expression):
            assert set(state.split("|")) <= {s.value for s in RunState}


def test_every_metric_is_watched_by_an_alert_or_a_panel() -> None:
    text = " ".join(expressions())
    unasked = {n for n in EXPOSED if n not in text}
    assert unasked == {"homeostat_live", "homeostat_healthy"}, "the loop's age and what is lacking say it, too"


def test_every_alert_says_what_is_wrong_and_the_guide_what_to_do() -> None:
    (alerts,) = read(DEPLOY / "prometheus" / "alerts.yaml")
    guide = (DEPLOY.parent / "docs" / "operations.md").read_text("utf-8")
    rules = [rule for group in alerts["groups"] for rule in group["rules"]]
    assert len({r["alert"] for r in rules}) == len(rules)
    for rule in rules:
        assert rule["labels"]["severity"] in {"warning", "critical"}
        assert {"summary", "description"} <= set(rule["annotations"])
        assert f"`{rule['alert']}`" in guide, f"{rule['alert']} is not in docs/operations.md"


def test_the_operator_gets_the_same_rules() -> None:
    (alerts,) = read(DEPLOY / "prometheus" / "alerts.yaml")
    (custom,) = read(KUBERNETES / "components" / "monitoring" / "rules.yaml")
    assert custom["spec"] == alerts


def test_prometheus_of_the_compose_file_reads_the_alerts() -> None:
    (config,) = read(DEPLOY / "prometheus" / "prometheus.yml")
    (compose,) = read(DEPLOY.parent / "docker-compose.yml")
    mounts = [m.split(":") for m in compose["services"]["prometheus"]["volumes"]]
    assert ["./deploy/prometheus/alerts.yaml", config["rule_files"][0], "ro"] in mounts


def test_the_dashboard_is_whole() -> None:
    dashboard = json.loads((DEPLOY / "grafana" / "homeostat.json").read_text("utf-8"))
    ids = [p["id"] for p in dashboard["panels"]]
    assert len(set(ids)) == len(ids)
    cells = [
        (x, y)
        for p in dashboard["panels"]
        for x in range(p["gridPos"]["x"], p["gridPos"]["x"] + p["gridPos"]["w"])
        for y in range(p["gridPos"]["y"], p["gridPos"]["y"] + p["gridPos"]["h"])
    ]
    assert len(set(cells)) == len(cells), "panels overlap"
    assert max(x for x, _ in cells) < 24
    variables = {v["name"] for v in dashboard["templating"]["list"]}
    used = set(re.findall(r"\$\{?(\w+)", json.dumps(dashboard["panels"]))) - {"__rate_interval"}
    assert used <= variables


# --- collectors --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", sorted((DEPLOY / "collector").rglob("*.yaml")), ids=lambda p: p.stem)
def test_collectors_write_what_is_read_and_stay_in_their_memory(path: Path) -> None:
    (config,) = read(path)
    exporters = config["exporters"]
    for signal, pipeline in config["service"]["pipelines"].items():
        for exporter in pipeline["exporters"]:
            if exporter.startswith("kafka"):
                assert exporters[exporter][signal]["topic"] in TOPICS
                assert exporters[exporter][signal]["encoding"] in {"otlp_proto", "otlp_json"}
        processors = pipeline.get("processors", [])
        if path.parent.name == "examples":
            assert (processors[0], processors[-1]) == ("memory_limiter", "batch")
    assert config["processors"]["batch"]["timeout"].endswith("ms")
