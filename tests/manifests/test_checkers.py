"""What others' checkers say of the rendered manifests."""

import re
import subprocess
from pathlib import Path

import pytest
import yaml

from tests.manifests.rendered import MANIFESTS, TARGETS, checker, objects, text
from tests.services import missing

FOREIGN = {"ClusterTrainingRuntime", "HTTPRoute", "ServiceMonitor"}
"""Kinds that Kubernetes itself does not know."""


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("rendered")
    found = []
    for target in TARGETS:
        file = folder / f"{target.replace('/', '-')}.yaml"
        file.write_text(text(target))
        found.append(file)
    return found


@pytest.mark.parametrize("version", ["1.32", "1.36"])
def test_kubernetes_knows_every_field(files: list[Path], version: str) -> None:
    done = subprocess.run(
        [checker("kubernetes-validate"), "-k", version, "--strict", *map(str, files)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    said = done.stdout + done.stderr
    assert done.returncode == 0, said
    # What it has no schema for, it lets pass.
    assert set(re.findall(r"WARN .* for kind (\w+)", said)) == FOREIGN
    known = sum(one["kind"] not in FOREIGN for target in TARGETS for one in objects(target))
    assert said.count(" passed for resource ") == known


def test_checkov_has_nothing_to_say_but_the_exceptions(files: list[Path]) -> None:
    configuration = MANIFESTS / "checkov.yaml"
    arguments = [word for file in files for word in ("-f", str(file))]
    done = subprocess.run(
        [checker("checkov"), "--config-file", str(configuration), *arguments],
        capture_output=True, text=True, check=False, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"Passed checks: [1-9]\d{2,}, Failed checks: 0", done.stdout), done.stdout


def test_every_exception_has_a_reason() -> None:
    lines = (MANIFESTS / "checkov.yaml").read_text().splitlines()
    exceptions = yaml.safe_load("\n".join(lines))["skip-check"]
    assert len(exceptions) <= 5
    for name in exceptions:
        before = lines[lines.index(f"  - {name}") - 1]
        assert before.startswith("  # "), name


def test_the_trainer_reads_the_runtime_without_losing_a_field() -> None:
    try:
        from kubeflow_trainer_api import models
    except ImportError:
        missing("kubeflow_trainer_api is not installed: add it to the environment")
    (runtime,) = objects("overlays/production", "ClusterTrainingRuntime")
    read = models.TrainerV1alpha1ClusterTrainingRuntime.from_dict(runtime).to_dict()
    assert read == runtime
    assert runtime["metadata"]["name"] == "realmat-torch"
    assert "namespace" not in runtime["metadata"]
