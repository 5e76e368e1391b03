"""Training on several nodes of a cluster: a TrainJob of the Kubeflow Trainer, watched to its end.

The task's pod makes the job, shows its log, and removes it when the task is cancelled; should the
pod itself be removed, the cluster removes the job with it, since the pod owns it. Where neither
comes to pass, the nodes end by themselves (node.py). Work folder and checkpoints lie on a volume
that all pods mount, so the next attempt continues from the last one.
The runtime (manifests/) says what the nodes' pods look like; the job says what runs in them.
"""

import json
import os
import re
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Any

from pydantic import BaseModel, Field

from components.core.errors import UserError
from components.core.platform.kubernetes_api import KubernetesApi
from components.core.platform.preemption import ended_by_sigterm

TRAINJOB = "REALMAT_TRAINJOB"
"""Environment variable with a `Node` as JSON, which the compiled pipeline sets."""
MANAGER = "realmat.io/pipeline"
SECONDS_BETWEEN_POLLS = 5.0
TAIL = 20


class Node(BaseModel, frozen=True, extra="forbid"):
    """What each node of a TrainJob is."""

    image: str = Field(min_length=1)
    runtime: str = "realmat-torch"
    requests: dict[str, str] = Field(default_factory=dict)
    node_selector: dict[str, str] = Field(default_factory=dict)
    tolerations: tuple[dict[str, str], ...] = ()
    seconds: int = 0


def node_of(environment: Mapping[str, str] = os.environ) -> Node:
    """The node that the pipeline describes; UserError where no cluster is."""
    given = environment.get(TRAINJOB, "")
    if not given:
        raise UserError(
            "Training on several nodes needs a cluster: use `realmat submit`, or set nodes=1."
        )
    return Node.model_validate_json(given)


def manifest(
    name: str, node: Node, *, nodes: int, processes: int, command: Sequence[str],
    owner: Mapping[str, str],
) -> dict[str, Any]:  # fmt: skip
    """The TrainJob as Kubernetes takes it; `owner` holds name and uid of the task's pod, if any."""
    metadata: dict[str, Any] = {"name": name, "labels": {"app.kubernetes.io/part-of": "realmat"}}
    if owner:
        reference = {"apiVersion": "v1", "kind": "Pod", **owner}
        metadata["ownerReferences"] = [reference]
    trainer: dict[str, Any] = {
        "image": node.image,
        "command": list(command),
        "numNodes": nodes,
        "numProcPerNode": processes,
        "resourcesPerNode": {"requests": node.requests, "limits": node.requests},
    }
    spec: dict[str, Any] = {"runtimeRef": {"name": node.runtime}, "trainer": trainer}
    if node.seconds:
        spec["activeDeadlineSeconds"] = node.seconds
    pod: dict[str, Any] = {}
    if node.node_selector:
        pod["nodeSelector"] = node.node_selector
    if node.tolerations:
        pod["tolerations"] = list(node.tolerations)
    if pod:
        job = {"name": "node", "template": {"spec": {"template": {"spec": pod}}}}
        template = {"spec": {"replicatedJobs": [job]}}
        spec["runtimePatches"] = [
            {"manager": MANAGER, "trainingRuntimeSpec": {"template": template}}
        ]
    return {
        "apiVersion": "trainer.kubeflow.org/v1alpha1",
        "kind": "TrainJob",
        "metadata": metadata,
        "spec": spec,
    }


def job_name(stage: str, key: str) -> str:
    """A name that is the same at each attempt of the same work, and valid in Kubernetes."""
    return re.sub(r"[^a-z0-9-]", "-", f"{stage}-{key}".lower())[:40].strip("-")


class LogEnd:
    """How far the log was shown of one pod; of another, which took its place, nothing yet."""

    def __init__(self) -> None:
        self.pod = ""
        self.last: list[tuple[datetime, str]] = []  # the lines of the latest time

    def since(self, pod: str) -> datetime | None:
        """From when on the pod's log is wanted; None is all of it."""
        return self.last[-1][0] if pod == self.pod and self.last else None

    def new(self, pod: str, lines: Sequence[tuple[datetime, str]]) -> list[str]:
        """Those lines that were not shown before."""
        if pod != self.pod:
            self.pod, self.last = pod, []
        fresh = [line for line in lines if line not in self.last]
        if fresh:
            self.last = [line for line in (*self.last, *fresh) if line[0] == fresh[-1][0]]
        return [words for _, words in fresh]


class TrainJob:
    """One job: made or found, watched, removed."""

    def __init__(
        self, api: KubernetesApi, job: Mapping[str, Any], sleep: Callable[[float], None]
    ) -> None:
        self.api = api
        self.job = job
        self.name = str(job["metadata"]["name"])
        self.sleep = sleep

    def run(self, watch: Callable[[], None]) -> None:
        """Returns when the job has ended well; calls `watch` meanwhile.

        Raises UserError with the last lines of the log when it failed or was removed. However this
        ends, and also at SIGTERM, the job is removed.
        """
        self._refuse_anothers()
        with ended_by_sigterm():
            try:
                self._start()
                with self._log():
                    while not self._ended():
                        watch()
                        self.sleep(SECONDS_BETWEEN_POLLS)
                watch()
            finally:
                self.api.delete(self.name)

    def _refuse_anothers(self) -> None:
        """UserError where a job of this name is of a pod that still runs: of another run."""
        ours = {owner["uid"] for owner in self.job["metadata"].get("ownerReferences", [])}
        found = self.api.read(self.name) or {"metadata": {}}
        for owner in found["metadata"].get("ownerReferences", []):
            if owner["uid"] not in ours and self.api.pod_lives(owner["name"], owner["uid"]):
                raise UserError(
                    f"The TrainJob {self.name} belongs to the pod {owner['name']}, which still "
                    "runs: wait for that run, its result is then used here too, or end it."
                )

    def _start(self) -> None:
        """Makes the job; one that an attempt before this left behind is removed first."""
        while self.api.read(self.name) is not None:
            self.api.delete(self.name)
            self.sleep(SECONDS_BETWEEN_POLLS)
        self.api.create(self.job)

    def _ended(self) -> bool:
        job = self.api.read(self.name)
        if job is None:
            raise UserError(
                f"The TrainJob {self.name} was removed while it trained: start the stage again, "
                "which continues from the last checkpoint."
            )
        states = {c["type"]: c for c in job.get("status", {}).get("conditions", [])}
        failed = states.get("Failed", {})
        if failed.get("status") == "True":
            raise UserError(self._failure(str(failed.get("message", failed.get("reason", "")))))
        return bool(states.get("Complete", {}).get("status") == "True")

    def _failure(self, reason: str) -> str:
        lines = [f"the TrainJob {self.name} failed ({reason}); its pods said last:"]
        for pod in self.api.pods(self.name):
            lines += [f"  {pod}: {line}" for line in self.api.tail(pod, TAIL)]
        return "\n".join(lines)

    @contextmanager
    def _log(self) -> Iterator[None]:
        """Shows the log of the first node while the job runs."""
        ended = threading.Event()

        def show() -> None:
            last, over = LogEnd(), False
            while not over:
                over = ended.wait(SECONDS_BETWEEN_POLLS)  # and once more for the last lines
                try:
                    for pod in self.api.pods(self.name)[:1]:  # the first node's newest
                        for line in last.new(pod, self.api.log_since(pod, last.since(pod))):
                            print(line, flush=True)
                except UserError as error:  # it has waited for minutes; the job goes on meanwhile
                    print(f"the log of {self.name} is not shown for a while: {error}", flush=True)

        thread = threading.Thread(target=show, name=f"log of {self.name}", daemon=True)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join(timeout=60)


def owner_of(environment: Mapping[str, str] = os.environ) -> dict[str, str]:
    """Name and uid of this process's pod, as the job's owner; {} outside a cluster."""
    name, uid = environment.get("POD_NAME", ""), environment.get("POD_UID", "")
    return {"name": name, "uid": uid} if name and uid else {}


def train_on_nodes(
    stage: str, key: str, *, nodes: int, processes: int, command: Sequence[str],
    watch: Callable[[], None],
) -> None:  # fmt: skip
    """Runs a command on so many nodes of the cluster, as torchrun does on one machine."""
    node = node_of()
    job = manifest(
        job_name(stage, key), node, nodes=nodes, processes=processes, command=command,
        owner=owner_of(),
    )  # fmt: skip
    print(f"{stage}: TrainJob {json.dumps(job['spec']['trainer']['resourcesPerNode'])}", flush=True)
    TrainJob(KubernetesApi.inside(), job, time.sleep).run(watch)
