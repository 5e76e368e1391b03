"""What autoscalers, budgets, volumes and accounts point at exists, and has what they need of it."""

import pytest

from pipelines.recipe import load_recipe
from tests.manifests.rendered import OVERLAYS, Object, objects, workloads

TARGETS = [(f"overlays/{overlay}", f"overlays/{overlay}") for overlay in OVERLAYS]
TARGETS += [("restore", "overlays/production")]
"""What is applied, and where the objects are that it counts on."""


def named(target: str, kind: str) -> dict[str, Object]:
    return {one["metadata"]["name"]: one for one in objects(target, kind)}


@pytest.mark.parametrize(("target", "beside"), TARGETS)
def test_every_claim_that_a_pod_mounts_exists(target: str, beside: str) -> None:
    claims = named(beside, "PersistentVolumeClaim")
    mounted = set()
    for one in workloads(target):
        for volume in one.spec.get("volumes", []):
            if "persistentVolumeClaim" in volume:
                name = volume["persistentVolumeClaim"]["claimName"]
                assert name in claims, one
                mounted.add(name)
    if target == beside:
        stages = load_recipe("paper").cluster.volume  # in pods that Kubeflow Pipelines makes
        assert stages in claims
        assert mounted | {stages} == set(claims)


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_every_autoscaler_scales_a_deployment_that_says_what_it_asks_for(overlay: str) -> None:
    target = f"overlays/{overlay}"
    scalers = objects(target, "HorizontalPodAutoscaler")
    assert scalers
    for scaler in scalers:
        goal = scaler["spec"]["scaleTargetRef"]
        scaled = named(target, goal["kind"])[goal["name"]]
        assert scaled["apiVersion"] == goal["apiVersion"]
        assert "replicas" not in scaled["spec"]  # each apply would set it back
        (pods,) = (one for one in workloads(target) if one.name == goal["name"])
        for metric in scaler["spec"]["metrics"]:
            resource = metric["resource"]["name"]
            assert all(resource in c["resources"]["requests"] for c in pods.containers)


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_every_budget_is_of_the_pods_of_one_workload_and_can_be_met(overlay: str) -> None:
    target = f"overlays/{overlay}"
    budgets = objects(target, "PodDisruptionBudget")
    assert budgets
    at_least = {
        one["spec"]["scaleTargetRef"]["name"]: one["spec"]["minReplicas"]
        for one in objects(target, "HorizontalPodAutoscaler")
    }
    for budget in budgets:
        selector = budget["spec"]["selector"]
        assert selector.keys() == {"matchLabels"}
        wanted = selector["matchLabels"].items()
        (chosen,) = (one for one in workloads(target) if wanted <= one.metadata["labels"].items())
        # With as many as there are at the least, no node could ever be drained.
        assert budget["spec"]["minAvailable"] < at_least.get(chosen.name, 1)


def test_what_several_pods_mount_has_a_class_to_be_set_in_production() -> None:
    for name, claim in named("overlays/production", "PersistentVolumeClaim").items():
        assert claim["spec"]["accessModes"] == ["ReadWriteMany"]
        assert claim["spec"]["storageClassName"] == "example-files", name


def test_every_account_pulls_with_the_registrys_secret_in_production() -> None:
    accounts = named("overlays/production", "ServiceAccount")
    for name, account in accounts.items():
        assert account["imagePullSecrets"] == [{"name": "registry"}], name
    assert load_recipe("paper").cluster.service_account in accounts
    used = [*workloads("overlays/production"), *workloads("restore")]
    assert {one.spec["serviceAccountName"] for one in used} <= accounts.keys()
