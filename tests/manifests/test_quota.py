"""The namespace has room for the services and for the widest moment of the paper's run."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from functools import cache
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
import yaml

from pipelines.cluster import compile_pipeline
from pipelines.recipe import STAGES, Recipe, load_recipe
from tests.manifests.rendered import OVERLAYS, Object, objects, workloads

UNITS = {"": 1.0, "m": 1e-3, "Mi": 2.0**20, "Gi": 2.0**30, "Ti": 2.0**40}
GPU = "nvidia.com/gpu"
LISTED = ("cpu", "memory", "ephemeral-storage", GPU)
Amounts = dict[str, float]


def amount(quantity: str) -> float:
    """A quantity of Kubernetes as a number of cores, bytes or pieces."""
    found = re.fullmatch(r"([\d.]+)(m|Mi|Gi|Ti|)", str(quantity))
    assert found, quantity
    return float(found[1]) * UNITS[found[2]]


def amounts(given: Mapping[str, str], times: int = 1) -> Amounts:
    return {name: times * amount(given.get(name, "0")) for name in LISTED}


def total(parts: Iterable[Amounts]) -> Amounts:
    parts = list(parts)
    return {name: sum(part[name] for part in parts) for name in LISTED}


def limit_range(overlay: str) -> Object:
    (found,) = objects(f"overlays/{overlay}", "LimitRange")
    (container,) = found["spec"]["limits"]
    return dict(container)


def services(overlay: str) -> Amounts:
    """What the pods that always run ask for, at the most that they are scaled to."""
    scaled = {
        one["spec"]["scaleTargetRef"]["name"]: one["spec"]["maxReplicas"]
        for one in objects(f"overlays/{overlay}", "HorizontalPodAutoscaler")
    }
    return total(
        amounts(container["resources"]["requests"], scaled.get(one.name, 1))
        for one in workloads(f"overlays/{overlay}")
        if one.long_running
        for container in one.containers
    )


def of_stage(recipe: Recipe, stage: str, default: Mapping[str, str]) -> Amounts:
    """All pods of a stage: its tasks side by side, and the nodes of its TrainJob."""
    own = recipe.cluster.resources[stage]
    parts = getattr(getattr(recipe, stage), "parts", 1)
    task = {
        "cpu": own.cpu, "memory": own.memory, GPU: str(own.gpus),
        "ephemeral-storage": default["ephemeral-storage"],
    }  # fmt: skip
    found = [amounts(task, parts)]
    if stage in recipe.cluster.nodes:
        node = recipe.cluster.nodes[stage]
        asked = {
            "cpu": node.cpu, "memory": node.memory, GPU: str(node.gpus),
            "ephemeral-storage": recipe.cluster.node_storage,
        }  # fmt: skip
        found.append(amounts(asked, getattr(recipe, stage).nodes))
    return total(found)


@cache
def after(folder: Path) -> dict[str, set[str]]:
    """By stage, all stages that must have ended before it begins, from the compiled pipeline."""
    compiled = compile_pipeline(load_recipe("paper"), folder / "paper.yaml")
    document: dict[str, Any] = next(yaml.safe_load_all(compiled.read_text()))
    tasks = document["root"]["dag"]["tasks"]

    def stage_of(name: str, task: dict[str, Any]) -> str:
        """The stage of a task, or that in a loop or in the branches of a condition."""
        dag = document["components"][task["componentRef"]["name"]].get("dag", {})
        for inner, its in dag.get("tasks", {}).items():
            return stage_of(inner, its)
        return name.replace("-", "_")

    names = {name: stage_of(name, task) for name, task in tasks.items()}
    direct = {
        names[name]: {names[other] for other in task.get("dependentTasks", [])}
        for name, task in tasks.items()
    }
    found: dict[str, set[str]] = {}

    def ancestors(stage: str) -> set[str]:
        if stage not in found:
            found[stage] = direct[stage].union(*map(ancestors, direct[stage]))
        return found[stage]

    return {stage: ancestors(stage) & set(STAGES) for stage in STAGES}


def moments(before: Mapping[str, set[str]]) -> list[tuple[str, ...]]:
    """The sets of up to three stages that may run at the same time."""
    return [
        chosen
        for size in (1, 2, 3)
        for chosen in combinations(STAGES, size)
        if not any(a in before[b] or b in before[a] for a, b in combinations(chosen, 2))
    ]


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_the_quota_has_room_for_the_papers_run_beside_the_services(
    overlay: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    (quota,) = objects(f"overlays/{overlay}", "ResourceQuota")
    hard, limits, recipe = quota["spec"]["hard"], limit_range(overlay), load_recipe("paper")
    found = moments(after(tmp_path_factory.getbasetemp()))
    assert ("sdxl_finetune", "photo_embedding") in found
    assert not any(len(chosen) == 3 for chosen in found)  # no wider moment was left out
    for chosen in found:
        stages = [of_stage(recipe, stage, limits["defaultRequest"]) for stage in chosen]
        needed = total([services(overlay), *stages])
        for name in LISTED:
            assert needed[name] <= amount(hard[f"requests.{name}"]), (chosen, name, needed[name])
    # A stage's limits are its requests; the services' exceed theirs.
    assert amount(hard["limits.memory"]) > amount(hard["requests.memory"])


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_no_container_is_larger_than_the_namespace_allows(overlay: str) -> None:
    most = limit_range(overlay)["max"]
    cluster = load_recipe("paper").cluster
    for asked in (*cluster.resources.values(), *cluster.nodes.values()):
        assert amount(asked.cpu) <= amount(most["cpu"])
        assert amount(asked.memory) <= amount(most["memory"])
    for container in (one for pod in workloads(f"overlays/{overlay}") for one in pod.containers):
        for name, most_of_it in most.items():
            assert amount(container["resources"]["limits"][name]) <= amount(most_of_it)
