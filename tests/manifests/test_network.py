"""Who may reach whom, computed from the network policies as Kubernetes defines them, against a
table of what is meant: nothing more, nothing less."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from dataclasses import dataclass, field

import pytest

from tests.manifests.rendered import OVERLAYS, Object, objects, workloads

HERE = "realmat"
PORTS = (
    22, 53, 80, 443, 5000, 5432, 6443, 7860, 8080, 8089, 8333, 8887, 8888, 9000, 9333, 29500,
)  # fmt: skip
RUN = {"pipelines.kubeflow.org/v2_component": "true"}
"""The label that Kubeflow Pipelines gives to all pods of a run."""


@dataclass(frozen=True)
class End:
    """One end of a connection: a pod (namespace, labels) or, without a namespace, an address."""

    name: str
    namespace: str = ""
    labels: dict[str, str] = field(default_factory=dict, hash=False)
    address: str = ""


def _others() -> list[End]:
    kinds = [
        ("run", HERE, RUN, ""),
        ("stranger", HERE, {"app": "stranger"}, ""),
        # A pod that cert-manager starts beside an Ingress whose certificate it asks for.
        ("solver", HERE, {"acme.cert-manager.io/http01-solver": "true"}, ""),
        ("restore", HERE, {"app.kubernetes.io/name": "realmat-restore"}, ""),
        ("dns", "kube-system", {"k8s-app": "kube-dns"}, ""),
        ("system", "kube-system", {"app": "other"}, ""),
        ("nginx", "ingress-nginx", {}, ""),
        ("gateway", "gateway", {}, ""),
        ("kubeflow", "kubeflow", {}, ""),
        ("prometheus", "monitoring", {"app.kubernetes.io/name": "prometheus"}, ""),
        ("grafana", "monitoring", {"app.kubernetes.io/name": "grafana"}, ""),
        # A pod of another namespace that calls itself as one of ours.
        ("impostor", "default", {"app.kubernetes.io/name": "realmat-app", **RUN}, ""),
        ("internet", "", {}, "203.0.113.9"),
        ("metadata", "", {}, "169.254.169.254"),
        ("their-postgresql", "", {}, "192.0.2.10"),
        ("their-s3", "", {}, "198.51.100.10"),
    ]
    return [End(*kind) for kind in kinds]


def _short(name: str) -> str:
    return name.removeprefix("realmat-")


def ends(target: str) -> list[End]:
    """The pods that the manifests start, and everybody else who matters."""
    ours = {}
    for workload in workloads(target):
        labels = workload.metadata["labels"]
        name = _short(labels["app.kubernetes.io/name"])
        assert name not in ours, f"two workloads are called {name}"
        ours[name] = End(name, HERE, labels)
    return [*ours.values(), *_others()]


def _chosen(selector: Object, labels: dict[str, str]) -> bool:
    assert selector.keys() <= {"matchLabels", "matchExpressions"}
    if not selector.get("matchLabels", {}).items() <= labels.items():
        return False
    for one in selector.get("matchExpressions", []):
        assert one["operator"] == "In", "the model knows no other operator"
        if labels.get(one["key"]) not in one["values"]:
            return False
    return True


def _is_peer(peer: Object, end: End) -> bool:
    if "ipBlock" in peer:
        assert peer.keys() == {"ipBlock"}
        block = peer["ipBlock"]
        if not end.address:
            return False  # pods are chosen by labels; the ranges here are not the cluster's
        address = ipaddress.ip_address(end.address)
        return address in ipaddress.ip_network(block["cidr"]) and not any(
            address in ipaddress.ip_network(hole) for hole in block.get("except", [])
        )
    assert peer.keys() <= {"podSelector", "namespaceSelector"}
    if not end.namespace:
        return False
    if "namespaceSelector" in peer:
        space = {"kubernetes.io/metadata.name": end.namespace}
        if not _chosen(peer["namespaceSelector"], space):
            return False
    elif end.namespace != HERE:
        return False
    return _chosen(peer.get("podSelector", {}), end.labels)


def _passes(policies: Iterable[Object], own: End, other: End, port: int, way: str) -> bool:
    """Whether `own`'s policies let TCP with `other` pass; without any, everything passes."""
    if own.namespace != HERE:
        return True
    key, peers = ("ingress", "from") if way == "Ingress" else ("egress", "to")
    mine = [
        one["spec"] for one in policies
        if way in one["spec"]["policyTypes"] and _chosen(one["spec"]["podSelector"], own.labels)
    ]  # fmt: skip
    if not mine:
        return True
    for rule in (rule for spec in mine for rule in spec.get(key, [])):
        numbers = [p["port"] for p in rule.get("ports", []) if p["protocol"] == "TCP"]
        if "ports" in rule and port not in numbers:
            continue
        if peers not in rule or any(_is_peer(peer, other) for peer in rule[peers]):
            return True
    return False


def edges(target: str, more: str = "") -> set[tuple[str, str, str]]:
    """(from, to, ports) of all connections that pass, where one end at least is ours."""
    policies = objects(target, "NetworkPolicy")
    if more:
        policies = [*policies, *objects(more, "NetworkPolicy")]
    found, all_of = set(), ends(target)
    for source in all_of:
        for goal in all_of:
            if HERE not in (source.namespace, goal.namespace):
                continue
            open_ports = [
                port for port in PORTS
                if _passes(policies, source, goal, port, "Egress")
                and _passes(policies, goal, source, port, "Ingress")
            ]  # fmt: skip
            if open_ports:
                said = "all" if len(open_ports) == len(PORTS) else " ".join(map(str, open_ports))
                found.add((source.name, goal.name, said))
    return found


DATABASE = ("mlflow", "label-studio", "app", "migrate", "backup", "restore")
BUCKETS = ("mlflow", "label-studio", "backup", "restore", "train", "run")
MEANT = {
    ("app", "mlflow", "5000"),
    ("mlflow-users", "mlflow", "5000"),
    ("train", "train", "all"),
    ("run", "mlflow", "5000"),
    ("run", "label-studio", "8080"),
    ("run", "kubeflow", "8080 8887 8888"),
    # The Kubernetes API, whose address no policy can name, and sources of photographs.
    ("run", "internet", "443 6443"),
    ("run", "their-postgresql", "443 6443"),
    ("run", "their-s3", "443 6443"),
}
IN_DEV = {
    *((one, "postgresql", "5432") for one in DATABASE),
    *((one, "s3", "9000") for one in (*BUCKETS, "s3-buckets")),
}
IN_PRODUCTION = {
    *((one, "their-postgresql", "5432") for one in DATABASE),
    *((one, "their-s3", "443") for one in BUCKETS if one != "run"),
    ("nginx", "app", "7860"),
    ("nginx", "mlflow", "5000"),
    ("nginx", "label-studio", "8080"),
    ("nginx", "solver", "8089"),
    ("prometheus", "app", "7860"),
}


def names(target: str) -> set[tuple[str, str, str]]:
    """Everybody of ours may ask for names."""
    return {(one.name, "dns", "53") for one in ends(target) if one.namespace == HERE}


def test_in_development_exactly_these_reach_each_other() -> None:
    target = "overlays/dev"
    assert edges(target) == MEANT | IN_DEV | names(target)


def test_in_production_exactly_these_reach_each_other() -> None:
    target = "overlays/production"
    assert edges(target) == MEANT | IN_PRODUCTION | names(target)


def test_the_gateway_opens_what_the_ingress_opens() -> None:
    gained = edges("overlays/dev", "gateway") - edges("overlays/dev")
    assert gained == {
        ("gateway", "app", "7860"), ("gateway", "mlflow", "5000"),
        ("gateway", "label-studio", "8080"),
    }  # fmt: skip


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_policies_open_ports_that_services_of_that_name_have(overlay: str) -> None:
    """An allowed edge without a Service at its end would be a leftover."""
    ports = {
        _short(one["metadata"]["name"]): {str(p["port"]) for p in one["spec"]["ports"]}
        for one in objects(f"overlays/{overlay}", "Service")
    }
    ours = {one.name for one in ends(f"overlays/{overlay}") if one.namespace == HERE}
    for _, goal, said in edges(f"overlays/{overlay}"):
        if goal in ours and goal not in ("train", "solver"):
            assert set(said.split()) <= ports[goal]


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_every_label_that_a_policy_selects_is_worn_by_somebody(overlay: str) -> None:
    worn = {label for end in ends(f"overlays/{overlay}") for label in end.labels.items()}
    for policy in objects(f"overlays/{overlay}", "NetworkPolicy"):
        spec = policy["spec"]
        peers = [
            peer.get("podSelector", {})
            for key in ("from", "to")
            for rule in (*spec.get("ingress", []), *spec.get("egress", []))
            for peer in rule.get(key, [])
        ]
        for selector in (spec["podSelector"], *peers):
            wanted = set(selector.get("matchLabels", {}).items())
            for one in selector.get("matchExpressions", []):
                wanted |= {(one["key"], value) for value in one["values"]}
            assert wanted <= worn, policy["metadata"]["name"]
