"""Where a stage's task runs on a cluster: what the recipe's [cluster] section says, as settings.

`kfp.local` ignores all of it, so the same compiled file runs on one machine.
"""

import math
from typing import Any

from kfp import kubernetes

from components.core.platform.trainjob import TRAINJOB, Node
from pipelines.cluster_config import Cluster, Resources, Toleration

SECONDS_BETWEEN_ATTEMPTS = 120
CACHE, CACHE_SIZE = "/cache", "5Gi"


def place(task: Any, cluster: Cluster, stage: str) -> None:
    """Sets image, requests, environment, volumes and limits of a stage's task."""
    resources = cluster.resources.get(stage, Resources())
    task.set_container_image(cluster.image_of(resources))
    task.set_cpu_request(resources.cpu).set_cpu_limit(resources.cpu)
    task.set_memory_request(resources.memory).set_memory_limit(resources.memory)
    if resources.gpus:
        task.set_accelerator_type(cluster.accelerator).set_accelerator_limit(resources.gpus)
    if resources.retries:
        # Checkpoints lie on the volume, so each attempt goes on where the last one was. Argo counts
        # the "maximum duration" from the first attempt's start and gives up after it.
        attempts = (resources.retries + 1) * (resources.hours * 3600 + SECONDS_BETWEEN_ATTEMPTS)
        task.set_retry(
            num_retries=resources.retries,
            backoff_duration=f"{SECONDS_BETWEEN_ATTEMPTS}s",
            backoff_factor=1.0,  # with 2, the twentieth attempt would wait for two years
            backoff_max_duration=f"{math.ceil(attempts)}s",
        )
    if stage in cluster.nodes:
        node = trainjob_node(cluster, cluster.nodes[stage])
        task.set_env_variable(TRAINJOB, node.model_dump_json())
    _schedule(task, cluster, resources)
    _equip(task, cluster, resources)


def trainjob_node(cluster: Cluster, resources: Resources) -> Node:
    """What each node of a stage's TrainJob is; the stage itself asks for it when it trains."""
    requests = {
        "cpu": resources.cpu,
        "memory": resources.memory,
        "ephemeral-storage": cluster.node_storage,
    }
    if resources.gpus:
        requests[cluster.accelerator] = str(resources.gpus)
    # The runtime tolerates the accelerator by itself; a job with a list of its own replaces that.
    accepted = tolerations_of(cluster, resources) if resources.tolerations else ()
    tolerations = (taint.model_dump(exclude_defaults=True) for taint in accepted)
    return Node(
        image=cluster.image_of(resources),
        runtime=cluster.runtime,
        requests=requests,
        node_selector=resources.node_selector,
        tolerations=tuple({"operator": "Exists", **taint} for taint in tolerations),
        seconds=round(resources.hours * 3600),
    )


def tolerations_of(cluster: Cluster, resources: Resources) -> tuple[Toleration, ...]:
    """What a recipe says, and that of nodes with GPUs, which clusters keep other pods away from."""
    taint = Toleration(key=cluster.accelerator)
    said = any(one.key == taint.key for one in resources.tolerations)
    return resources.tolerations + ((taint,) if resources.gpus and not said else ())


def _schedule(task: Any, cluster: Cluster, resources: Resources) -> None:
    for label, value in resources.node_selector.items():
        kubernetes.add_node_selector(task, label_key=label, label_value=value)
    for taint in tolerations_of(cluster, resources):
        kubernetes.add_toleration(
            task, key=taint.key, operator=taint.operator, value=taint.value or None,
            effect=taint.effect,
        )  # fmt: skip
    if resources.hours:
        kubernetes.set_timeout(task, seconds=round(resources.hours * 3600))


def _equip(task: Any, cluster: Cluster, resources: Resources) -> None:
    """Environment by name alone, volumes, and a user that is not root."""
    kubernetes.use_config_map_as_env(
        task, cluster.config_map, {name: name for name in cluster.settings}, optional=True
    )
    kubernetes.use_secret_as_env(
        task, cluster.secret, {name: name for name in cluster.credentials}, optional=True
    )
    for variable, path in (
        ("POD_NAME", "metadata.name"),
        ("POD_NAMESPACE", "metadata.namespace"),
        ("POD_UID", "metadata.uid"),
    ):
        kubernetes.use_field_path_as_env(task, variable, path)
    if cluster.volume:
        kubernetes.mount_pvc(task, pvc_name=cluster.volume, mount_path=cluster.mount)
    # Compiled kernels; the images name it, and models lie on the volume.
    kubernetes.empty_dir_mount(task, "cache", CACHE, size_limit=CACHE_SIZE)
    if resources.shared_memory:
        path = "/dev/shm"  # noqa: S108 - of the container, where torch expects it
        kubernetes.empty_dir_mount(
            task, "shared-memory", path, medium="Memory", size_limit=resources.shared_memory
        )
    kubernetes.set_security_context(
        task, run_as_user=cluster.pod_user, run_as_group=cluster.pod_user, run_as_non_root=True
    )
