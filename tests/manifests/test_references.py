"""Whatever the manifests name, exists: Services, Secrets' keys, ConfigMaps' keys, ports."""

import re
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from tests.manifests.rendered import (
    MANIFESTS,
    OVERLAYS,
    TARGETS,
    objects,
    secrets,
    settings,
    workloads,
)  # fmt: skip

SHARED = {
    "base/mlflow/mlflow.env", "base/label-studio/label-studio.env", "base/app/app.env",
    "base/pipeline/pipeline.env",
}  # fmt: skip
"""The files that the local stack reads too."""
SERVICES = {"mlflow": 5000, "label-studio": 8080, "realmat-app": 7860}
IN_DEV = {"postgresql": 5432, "s3": 9000}


def nodes(node: Any, key: str) -> Iterator[Any]:
    """Every value of a key, anywhere."""
    if isinstance(node, dict):
        for name, value in node.items():
            if name == key:
                yield value
            yield from nodes(value, key)
    elif isinstance(node, list):
        for value in node:
            yield from nodes(value, key)


def ports(target: str) -> dict[str, set[int]]:
    """The ports of the Services."""
    return {
        one["metadata"]["name"]: {port["port"] for port in one["spec"]["ports"]}
        for one in objects(target, "Service")
    }


def test_services_have_the_names_and_ports_that_everything_is_written_for() -> None:
    assert ports("overlays/dev") == {name: {port} for name, port in {**SERVICES, **IN_DEV}.items()}
    production = ports("overlays/production")
    assert {name: {port} for name, port in SERVICES.items()}.items() <= production.items()
    assert not set(IN_DEV) & set(production)


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_services_select_pods_that_listen_there(overlay: str) -> None:
    pods = workloads(f"overlays/{overlay}")
    for service in objects(f"overlays/{overlay}", "Service"):
        if service["metadata"]["name"] == "nowhere":
            continue
        selector = service["spec"]["selector"]
        chosen = [one for one in pods if selector.items() <= one.metadata.get("labels", {}).items()]
        assert [one.name for one in chosen] == [service["metadata"]["name"]]
        (port,) = service["spec"]["ports"]
        (container,) = chosen[0].spec["containers"]
        offered = {p["name"]: p["containerPort"] for p in container["ports"]}
        assert offered[port["targetPort"]] == port["port"]


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_addresses_in_the_settings_are_services_that_exist(overlay: str) -> None:
    known = ports(f"overlays/{overlay}")
    seen = set()
    for one in objects(f"overlays/{overlay}", "ConfigMap"):
        for name, value in one["data"].items():
            if name.endswith((".py", ".sh", ".json")):
                continue
            for host, port in re.findall(r"//([\w.-]+):(\d+)", value):
                if host != "localhost":
                    seen.add(host)
                    assert int(port) in known.get(host, ()), (name, value)
    assert seen == {"mlflow", "label-studio"} | ({"s3"} if overlay == "dev" else set())


def test_routes_from_outside_lead_to_services_that_exist() -> None:
    known = ports("overlays/production")
    (ingress,) = objects("overlays/production", "Ingress")
    backends = [service["name"] for service in nodes(ingress, "service")]
    assert set(backends) == set(known)
    hosts = {rule["host"] for rule in ingress["spec"]["rules"]}
    assert hosts == {host for tls in ingress["spec"]["tls"] for host in tls["hosts"]}
    routes = objects("gateway", "HTTPRoute")
    for backend in (one for found in nodes(routes, "backendRefs") for one in found):
        assert backend["port"] in known[backend["name"]]
    assert hosts == {name for found in nodes(routes, "hostnames") for name in found}
    allowed = settings("overlays/production/mlflow.env")["MLFLOW_SERVER_ALLOWED_HOSTS"]
    assert "mlflow.example.com" in hosts & set(allowed.split(","))


@pytest.mark.parametrize("target", TARGETS)
def test_secrets_are_named_as_in_the_contract_and_none_lies_here(target: str) -> None:
    contract, found = secrets(), objects(target)
    assert not [one for one in found if one["kind"] == "Secret"]
    for reference in nodes(found, "secretKeyRef"):
        assert reference["key"] in contract[reference["name"]]
    for reference in nodes(found, "secretRef"):
        assert reference["name"] in contract


def test_label_studio_answers_to_the_name_by_which_its_probes_call() -> None:
    (pod,) = (one for one in workloads("overlays/production") if one.name == "label-studio")
    hosts = settings("overlays/production/label-studio.env")["LABEL_STUDIO_ALLOWED_HOSTS"]
    probed = list(nodes(pod.spec, "httpGet"))
    assert len(probed) == 3
    for asked in probed:
        (header,) = asked["httpHeaders"]
        assert header["name"] == "Host"
        assert header["value"] in hosts.split(",")


def test_every_secret_of_the_contract_is_used() -> None:
    everything = [one for target in TARGETS for one in objects(target)]
    whole = {reference["name"] for reference in nodes(everything, "secretRef")}
    keys = {(r["name"], r["key"]) for r in nodes(everything, "secretKeyRef")}
    whole.add("pipeline-secrets")  # by the stages' pods, see tests/pipelines/test_compile.py
    for name, known in secrets().items():
        assert name in whole or {(name, key) for key in known} == {k for k in keys if k[0] == name}


def test_no_setting_is_a_secret() -> None:
    names = {key for keys in secrets().values() for key in keys}
    for file in MANIFESTS.rglob("*.env"):
        assert not names & settings(str(file.relative_to(MANIFESTS))).keys(), file


@pytest.mark.parametrize("target", TARGETS)
def test_configmaps_and_their_keys_exist(target: str) -> None:
    data = {one["metadata"]["name"]: one["data"] for one in objects(target, "ConfigMap")}
    found = objects(target)
    for reference in nodes(found, "configMapRef"):
        assert reference["name"] in data
    for reference in nodes(found, "configMapKeyRef"):
        assert reference["key"] in data[reference["name"]]
    for workload in workloads(target):
        volumes = {
            volume["name"]: volume["configMap"]["name"]
            for volume in workload.spec.get("volumes", []) if "configMap" in volume
        }  # fmt: skip
        assert set(volumes.values()) <= data.keys()
        for container in workload.containers:
            _scripts_exist(container, volumes, data)


def _scripts_exist(
    container: dict[str, Any], volumes: dict[str, str], data: dict[str, dict[str, str]]
) -> None:
    """A command that names a file below a mounted ConfigMap names one of its keys."""
    mounts = {m["mountPath"]: m["name"] for m in container.get("volumeMounts", [])}
    for word in container.get("command", []):
        folder, _, name = word.rpartition("/")
        if mounts.get(folder) in volumes:
            assert name in data[volumes[mounts[folder]]], word


def test_shared_settings_are_plain_lines_that_a_shell_reads_alike() -> None:
    for file in SHARED:
        for line in (MANIFESTS / file).read_text().splitlines():
            assert not line or line.startswith("#") or re.fullmatch(r"[A-Z][A-Z0-9_]*=\S*", line)
            assert "'" not in line.partition("=")[2], line
            assert '"' not in line.partition("=")[2], line


def test_the_example_of_external_secrets_covers_the_contract() -> None:
    text = (MANIFESTS / "examples" / "external-secrets.yaml").read_text()
    given = {
        one["spec"]["target"]["name"]: {entry["secretKey"] for entry in one["spec"]["data"]}
        for one in yaml.safe_load_all(text) if one["kind"] == "ExternalSecret"
    }  # fmt: skip
    wanted = secrets()
    for only_in_dev_or_once in ("postgresql-secrets", "s3-secrets", "restore-secrets"):
        del wanted[only_in_dev_or_once]
    assert given == wanted


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_kubeflows_launcher_keeps_artifacts_where_the_stages_do(overlay: str) -> None:
    data = {
        one["metadata"]["name"]: one["data"] for one in objects(f"overlays/{overlay}", "ConfigMap")
    }
    stages, launcher = data["realmat-pipeline"], data["kfp-launcher"]
    store = yaml.safe_load(launcher["providers"])["s3"]["default"]
    # The keys of a stage's environment: no right to read Secrets, no second copy of the keys.
    assert store["credentials"] == {"fromEnv": True}
    assert store["endpoint"] == stages["AWS_ENDPOINT_URL"]
    assert store["region"] == stages["AWS_DEFAULT_REGION"]
    assert store.get("disableSSL", False) == store["endpoint"].startswith("http:")
    bucket = stages["REALMAT_ARCHIVE"].split("/")[2]
    assert launcher["defaultPipelineRoot"] == f"s3://{bucket}/kfp"


def test_the_example_for_lost_pods_leaves_each_task_its_own_number_of_attempts() -> None:
    """Argo fills in what a task's own strategy does not say, which is the policy alone."""
    example = yaml.safe_load((MANIFESTS / "examples" / "workflow-controller.yaml").read_text())
    defaults = yaml.safe_load(example["data"]["workflowDefaults"])
    strategy = defaults["spec"]["templateDefaults"]["retryStrategy"]
    # "OnError" would take the retries of failures away, "OnFailure" those of deleted pods.
    assert strategy == {"limit": "2", "retryPolicy": "Always"}
