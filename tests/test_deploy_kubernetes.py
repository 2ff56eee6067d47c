"""deploy/kubernetes: manifests that Kubernetes knows, and that name nothing which is not there."""

from __future__ import annotations

import shutil
import subprocess
from functools import cache
from typing import TYPE_CHECKING, Any

import kubernetes_validate
import pytest

from outbox import config
from outbox.worker.vitals import LONGEST_STAND
from tests.promql import needs_promtool, parse, unanswerable
from tests.shipped import DEPLOY, documents, longest_stop, parsed

if TYPE_CHECKING:
    from pathlib import Path

FOLDER = DEPLOY / "kubernetes"
KUBECTL = shutil.which("kubectl")
OLDEST = (1, 30)
NOT_OURS = {"kustomization.yaml", "keda.yaml", "prometheus-adapter.yaml"}  # of kinds that Kubernetes does not bring
MANIFESTS = sorted(file for file in FOLDER.rglob("*.yaml") if file.name not in NOT_OURS)


@cache
def objects(kind: str) -> list[dict[str, Any]]:
    return [found for file in MANIFESTS for found in documents(file) if found["kind"] == kind]


def workloads() -> list[dict[str, Any]]:
    return objects("Deployment") + objects("Job")


def pod(workload: dict[str, Any]) -> dict[str, Any]:
    return dict(workload["spec"]["template"]["spec"])


def container(workload: dict[str, Any]) -> dict[str, Any]:
    (only,) = pod(workload)["containers"]
    return dict(only)


def name_of(found: dict[str, Any]) -> str:
    return str(found["metadata"]["name"])


def secrets() -> dict[str, dict[str, str]]:
    return {name_of(secret): secret["stringData"] for secret in objects("Secret")}


def workers() -> list[dict[str, Any]]:
    return [found for found in workloads() if parsed(container(found)["args"])[0] == "worker"]


def versions() -> list[str]:
    found = {tuple(map(int, version.split(".")[:2])) for version in kubernetes_validate.utils.all_versions()}
    return [f"{major}.{minor}" for major, minor in sorted(found) if (major, minor) >= OLDEST]


@pytest.mark.parametrize("version", versions())
def test_every_version_of_kubernetes_knows_what_the_manifests_say(version: str) -> None:
    for file in MANIFESTS:
        for found in documents(file):
            kubernetes_validate.validate(found, version, strict=True)


@pytest.mark.skipif(KUBECTL is None, reason="there is no kubectl here")
def test_the_kustomization_can_be_built_and_its_result_is_known_too() -> None:
    import yaml  # noqa: PLC0415

    done = subprocess.run([str(KUBECTL), "kustomize", str(FOLDER)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    built = list(yaml.safe_load_all(done.stdout))
    for found in built:
        kubernetes_validate.validate(found, versions()[-1], strict=True)
    images = {container(found)["image"] for found in built if found["kind"] in {"Deployment", "Job"}}
    assert images == {"registry.example.org/outbox:0.1.0"}
    assert {name_of(found) for found in workloads()} <= {name_of(found) for found in built}


@pytest.mark.parametrize("workload", workloads(), ids=name_of)
def test_the_command_and_the_configuration_of_each_pod_are_right(workload: dict[str, Any]) -> None:
    given = parsed(container(workload)["args"])[1]
    volumes = {volume["name"]: volume for volume in pod(workload)["volumes"]}
    environ = secrets()[volumes["secrets"]["secret"]["secretName"]]
    environ = {name: value if "URL" in name else "x" * 40 for name, value in environ.items()}
    settings, problems = config.survey(FOLDER / "outbox.toml", environ=environ)
    assert problems == []
    assert set(given.get("channel") or ()) <= set(settings.channels)
    if name_of(workload) == "outbox-web":
        assert settings.web.problems == []
    said = {variable["name"]: variable["value"] for variable in container(workload)["env"]}
    mounts = {mount["name"]: mount["mountPath"] for mount in container(workload)["volumeMounts"]}
    assert said == {"OUTBOX_CONFIG": mounts["config"], "OUTBOX_SECRETS_DIR": mounts["secrets"]}
    assert set(mounts) == set(volumes)


@pytest.mark.parametrize("workload", workloads(), ids=name_of)
def test_a_pod_may_do_nothing_that_it_need_not(workload: dict[str, Any]) -> None:
    assert pod(workload)["securityContext"]["runAsNonRoot"] is True
    assert pod(workload)["securityContext"]["runAsUser"] == 10001
    assert f"USER {10001}:" in (DEPLOY / "docker/Dockerfile").read_text()
    assert pod(workload)["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert pod(workload)["automountServiceAccountToken"] is False
    context = container(workload)["securityContext"]
    assert context["readOnlyRootFilesystem"] is True
    assert context["allowPrivilegeEscalation"] is False
    assert context["capabilities"] == {"drop": ["ALL"]}
    resources = container(workload)["resources"]
    assert set(resources["requests"]) == {"cpu", "memory"}
    assert "memory" in resources["limits"]


@pytest.mark.parametrize("worker", workers(), ids=name_of)
def test_a_worker_is_probed_where_it_answers_and_has_time_to_stop(worker: dict[str, Any]) -> None:
    settings = config.load(FOLDER / "outbox.toml", environ={})
    ports = {port["name"]: port["containerPort"] for port in container(worker)["ports"]}
    paths = {"startupProbe": "/live", "livenessProbe": "/live", "readinessProbe": "/ready"}
    for name, path in paths.items():
        probe = container(worker)[name]["httpGet"]
        assert probe["path"] == path
        assert ports[probe["port"]] == settings.worker.health_port
    assert settings.worker.metrics_host == "0.0.0.0"  # noqa: S104 - what the kubelet asks is no loopback
    liveness = container(worker)["livenessProbe"]
    assert liveness["periodSeconds"] * liveness["failureThreshold"] > LONGEST_STAND
    assert pod(worker)["terminationGracePeriodSeconds"] > longest_stop(settings.worker.grace)


def test_every_worker_has_a_budget_for_disruptions_that_finds_its_pods() -> None:
    labels = [worker["spec"]["template"]["metadata"]["labels"] for worker in workers()]
    budgets = [budget["spec"]["selector"]["matchLabels"] for budget in objects("PodDisruptionBudget")]
    assert labels == budgets
    for workload in objects("Deployment"):
        spec = workload["spec"]
        assert spec["selector"]["matchLabels"] == spec["template"]["metadata"]["labels"]


def queries() -> list[str]:
    rules = adapter()["rules"]["external"]
    return [
        *(rule["metricsQuery"].replace("<<.LabelMatchers>>", 'channel="email"') for rule in rules),
        *(rule["seriesQuery"] for rule in rules),
        *(trigger["metadata"]["query"] for trigger in keda()["spec"]["triggers"]),
    ]


@needs_promtool
def test_prometheus_understands_what_scales(tmp_path: Path) -> None:
    assert parse(tmp_path, queries()) == ""


def test_what_scales_names_deployments_and_metrics_that_exist() -> None:
    assert [problem for query in queries() for problem in unanswerable(query)] == []
    deployments = {name_of(found) for found in objects("Deployment")}
    (scaler,) = objects("HorizontalPodAutoscaler")
    assert scaler["spec"]["scaleTargetRef"]["name"] in deployments
    assert keda()["spec"]["scaleTargetRef"]["name"] in deployments
    (metric,) = scaler["spec"]["metrics"]
    assert metric["external"]["metric"]["name"] == adapter()["rules"]["external"][0]["name"]["as"]
    channels = config.load(FOLDER / "outbox.toml", environ={}).channels
    assert metric["external"]["metric"]["selector"]["matchLabels"]["channel"] in channels


def adapter() -> dict[str, Any]:
    (found,) = documents(FOLDER / "scaling/prometheus-adapter.yaml")
    return dict(found)


def keda() -> dict[str, Any]:
    (found,) = documents(FOLDER / "scaling/keda.yaml")
    assert (found["apiVersion"], found["kind"]) == ("keda.sh/v1alpha1", "ScaledObject")
    return dict(found)
