"""What accounts may do to the cluster's API, against an exact table."""

import pytest

from tests.manifests.rendered import OVERLAYS, objects, workloads

MAY = {
    ("realmat-pipeline", "trainer.kubeflow.org", "trainjobs", "create"),
    ("realmat-pipeline", "trainer.kubeflow.org", "trainjobs", "get"),
    ("realmat-pipeline", "trainer.kubeflow.org", "trainjobs", "delete"),
    ("realmat-pipeline", "", "pods", "get"),
    ("realmat-pipeline", "", "pods", "list"),
    ("realmat-pipeline", "", "pods/log", "get"),
    # Where artifacts lie, for Kubeflow's launcher in the stage's pod.
    ("realmat-pipeline", "", "configmaps kfp-launcher", "get"),
    # Without these two, Argo's executor in the stage's pod cannot report how the stage ended.
    ("realmat-pipeline", "argoproj.io", "workflowtaskresults", "create"),
    ("realmat-pipeline", "argoproj.io", "workflowtaskresults", "patch"),
}


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_accounts_may_do_this_in_their_namespace_and_nothing_else(overlay: str) -> None:
    target = f"overlays/{overlay}"
    assert not objects(target, "ClusterRole", "ClusterRoleBinding")
    roles = {one["metadata"]["name"]: one["rules"] for one in objects(target, "Role")}
    found = set()
    for binding in objects(target, "RoleBinding"):
        assert binding["roleRef"]["kind"] == "Role"
        for subject in binding["subjects"]:
            assert subject["kind"] == "ServiceAccount"
            assert subject["namespace"] == binding["metadata"]["namespace"] == "realmat"
            for rule in roles[binding["roleRef"]["name"]]:
                assert rule.keys() - {"resourceNames"} == {"apiGroups", "resources", "verbs"}
                only = "".join(f" {name}" for name in rule.get("resourceNames", []))
                found |= {
                    (subject["name"], group, resource + only, verb)
                    for group in rule["apiGroups"]
                    for resource in rule["resources"]
                    for verb in rule["verbs"]
                }
    assert found == MAY


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_nodes_of_a_training_hold_the_keys_of_the_bucket_alone(overlay: str) -> None:
    """Not the login that moves an alias, nor the key of Label Studio."""
    (nodes,) = (one for one in workloads(f"overlays/{overlay}") if one.name == "realmat-torch")
    (container,) = nodes.containers
    assert [source.keys() for source in container["envFrom"]] == [{"configMapRef"}]
    secret = {one["name"]: one["valueFrom"] for one in container["env"] if "valueFrom" in one}
    assert secret == {
        key: {"secretKeyRef": {"name": "pipeline-secrets", "key": key}}
        for key in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")
    }
    assert not any(volume.keys() & {"secret", "projected"} for volume in nodes.spec["volumes"])
