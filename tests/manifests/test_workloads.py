"""Every container of everything that starts pods is confined, limited and pinned."""

import inspect
import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from pipelines.stack.addresses import PORTS
from pipelines.stack.secrets import make_secrets
from pipelines.stack.services import services
from pipelines.stack.stack import Stack
from tests.manifests.rendered import OVERLAYS, ROOT, Workload, objects, text, workloads

USER = 10001
TARGETS = ("overlays/dev", "overlays/production", "restore")
DIGEST = re.compile(r"[\w.-]+(/[\w.-]+)+@sha256:[0-9a-f]{64}")
TOKENS = {"realmat-pipeline"}
"""Accounts that speak to the Kubernetes API."""


def test_no_kind_of_workload_was_overlooked() -> None:
    kinds = {one.kind for target in TARGETS for one in workloads(target)}
    assert kinds == {"Deployment", "StatefulSet", "Job", "CronJob", "ClusterTrainingRuntime"}
    for target in TARGETS:
        images = re.findall(r"^\s*-?\s*image: (.*)", text(target), re.MULTILINE)
        assert len(images) == sum(len(one.containers) for one in workloads(target))


@pytest.mark.parametrize("target", TARGETS)
def test_pods_run_as_nobody_who_matters(target: str) -> None:
    for workload in workloads(target):
        _runs_as_nobody(workload)


def _runs_as_nobody(workload: Workload) -> None:
    security = workload.spec["securityContext"]
    assert security["runAsNonRoot"] is True
    assert (security["runAsUser"], security["runAsGroup"]) == (USER, USER)
    assert security["seccompProfile"] == {"type": "RuntimeDefault"}
    assert workload.spec["automountServiceAccountToken"] is False
    assert workload.spec["enableServiceLinks"] is False
    assert workload.spec["serviceAccountName"] not in ("", "default")
    for sharing in ("hostNetwork", "hostPID", "hostIPC", "shareProcessNamespace"):
        assert not workload.spec.get(sharing)
    for volume in workload.spec.get("volumes", []):
        assert "hostPath" not in volume
        if "emptyDir" in volume:
            assert "sizeLimit" in volume["emptyDir"], volume


@pytest.mark.parametrize("target", TARGETS)
def test_containers_are_confined_limited_and_pinned(target: str) -> None:
    for container in (one for workload in workloads(target) for one in workload.containers):
        security = container["securityContext"]
        assert security["runAsNonRoot"] is True
        assert security["allowPrivilegeEscalation"] is False
        assert security["readOnlyRootFilesystem"] is True
        assert security["capabilities"] == {"drop": ["ALL"]}
        assert not {"privileged", "runAsUser", "procMount"} & security.keys()
        for what in ("requests", "limits"):
            assert {"cpu", "memory", "ephemeral-storage"} <= container["resources"][what].keys()
        assert DIGEST.fullmatch(container["image"]), container["image"]


@pytest.mark.parametrize("target", TARGETS)
def test_servers_are_probed(target: str) -> None:
    servers = [one for one in workloads(target) if one.long_running]
    for container in (one for server in servers for one in server.spec["containers"]):
        ports = {port["name"] for port in container["ports"]}
        for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
            asked = container[probe]
            assert "httpGet" in asked or "exec" in asked
            assert "exec" in asked or asked["httpGet"]["port"] in ports


def test_the_app_is_alive_without_its_database_but_not_ready() -> None:
    for overlay in OVERLAYS:
        (app,) = (one for one in workloads(f"overlays/{overlay}") if one.name == "realmat-app")
        (container,) = app.containers
        paths = {
            probe: container[f"{probe}Probe"]["httpGet"]["path"]
            for probe in ("startup", "readiness", "liveness")
        }
        assert paths == {"startup": "/readyz", "readiness": "/readyz", "liveness": "/healthz"}


def test_the_app_starts_alike_on_a_cluster_by_its_image_and_in_the_stack(tmp_path: Path) -> None:
    """On a fresh cluster there is no champion: without `--meanwhile` no pod would become ready."""
    text = (ROOT / "images" / "Containerfile").read_text()
    (app,) = re.findall(r"^FROM common AS app$(.*?)^FROM", text, re.M | re.S)
    words = dict(re.findall(r"^(ENTRYPOINT|CMD) (\[.*\])$", app, re.M))
    commands = [json.loads(words["ENTRYPOINT"]) + json.loads(words["CMD"])]
    for overlay in OVERLAYS:
        (pod,) = (one for one in workloads(f"overlays/{overlay}") if one.name == "realmat-app")
        commands.append(pod.containers[0]["command"])
    model = inspect.signature(Stack).parameters["model"].default
    *_, local = services(tmp_path, PORTS, make_secrets(), model)
    commands.append(["realmat", *local.command[3:]])
    started = []
    for command in commands:
        assert command[:2] == ["realmat", "serve"]
        started.append(dict(zip(command[2::2], command[3::2], strict=True)))
    on_this_machine = {"--host": "127.0.0.1", "--data": str(tmp_path / "app")}
    image, *others, stack = started
    assert image["--meanwhile"] == "small"
    assert others == [image] * len(OVERLAYS)
    assert stack == image | on_this_machine


def test_only_the_pipeline_gets_a_token() -> None:
    for overlay in OVERLAYS:
        accounts = objects(f"overlays/{overlay}", "ServiceAccount")
        given = {one["metadata"]["name"] for one in accounts if one["automountServiceAccountToken"]}
        assert given == TOKENS
        used = {one.spec["serviceAccountName"] for one in workloads(f"overlays/{overlay}")}
        assert used <= {one["metadata"]["name"] for one in accounts}


def test_the_namespace_enforces_the_same() -> None:
    for overlay in OVERLAYS:
        (namespace,) = objects(f"overlays/{overlay}", "Namespace")
        labels = namespace["metadata"]["labels"]
        assert labels["pod-security.kubernetes.io/enforce"] == "restricted"
        for one in objects(f"overlays/{overlay}"):
            if one["kind"] not in ("Namespace", "ClusterTrainingRuntime"):
                assert one["metadata"]["namespace"] == namespace["metadata"]["name"], one


def test_an_image_has_one_digest_everywhere_and_the_version_that_was_tested() -> None:
    files = list((ROOT / "manifests").rglob("kustomization.yaml"))
    digests: dict[str, set[str]] = {}
    for file in files:
        for one in yaml.safe_load(file.read_text()).get("images", []):
            digests.setdefault(one["name"], set()).add(f"{one['newName']}@{one['digest']}")
    assert {name: len(found) for name, found in digests.items()} == dict.fromkeys(digests, 1)
    lock = (ROOT / "labeling" / "requirements.lock").read_text()
    (version,) = re.findall(r"^label-studio==(\S+)", lock, re.MULTILINE)
    for overlay in OVERLAYS:
        given = (ROOT / "manifests" / "overlays" / overlay / "kustomization.yaml").read_text()
        assert f"# label-studio {version}\n" in given


def test_the_command_in_the_readme_sets_the_digest_in_every_place(tmp_path: Path) -> None:
    copy = tmp_path / "manifests"
    shutil.copytree(ROOT / "manifests", copy)
    (command,) = re.findall(r"^sed .*$", (copy / "README.md").read_text(), re.MULTILINE)
    digest, repository = f"sha256:{'5' * 64}", "registry.local:5000/team/app"
    subprocess.run(
        ["bash", "-c", command], cwd=tmp_path, check=True,
        env={"PATH": os.environ["PATH"], "IMAGE": "realmat-pipeline", "DIGEST": digest,
             "REPOSITORY": repository},
    )  # fmt: skip
    changed = 0
    for file in copy.rglob("kustomization.yaml"):
        for one in yaml.safe_load(file.read_text()).get("images", []):
            ours = one["name"] == "realmat-pipeline"
            changed += ours
            assert ((one["newName"], one["digest"]) == (repository, digest)) == ours
    assert changed == 3
