"""The few requests that a stage makes to Kubernetes: TrainJobs, and the log of their pods.

A request that meets a busy or restarting API server is made again for some minutes; all of them may
be made twice.
"""

import math
import os
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import tenacity

from components.core.errors import UserError

GROUP, VERSION, PLURAL = "trainer.kubeflow.org", "v1alpha1", "trainjobs"
NAMESPACE_FILE = "/var/run/secrets/kubernetes.io/serviceaccount/namespace"
INDEX = "batch.kubernetes.io/job-completion-index"
PATIENCE = 300.0
CLOCKS = 60  # seconds by which this machine's clock and a node's may differ


class KubernetesApi:
    """One namespace's TrainJobs and pods, through the `kubernetes` client given."""

    def __init__(self, client: Any, namespace: str, patience: float = PATIENCE) -> None:
        from kubernetes import client as kubernetes

        self.jobs = kubernetes.CustomObjectsApi(client)
        self.core = kubernetes.CoreV1Api(client)
        self.place: dict[str, Any] = {
            "group": GROUP,
            "version": VERSION,
            "plural": PLURAL,
            "namespace": namespace,
        }
        self.namespace = namespace
        self.patience = patience

    @classmethod
    def inside(cls) -> "KubernetesApi":
        """The API as a pod reaches it, with the pod's service account; UserError elsewhere."""
        from kubernetes import client, config

        try:
            config.load_incluster_config()
        except config.ConfigException as error:
            raise UserError(
                "Training on several nodes needs the pod's service account, and there is none: "
                "use `realmat submit`, or set nodes=1."
            ) from error
        namespace = os.environ.get("POD_NAMESPACE", "") or Path(NAMESPACE_FILE).read_text().strip()
        return cls(client.ApiClient(), namespace)

    def create(self, job: Mapping[str, Any]) -> None:
        """Makes a TrainJob; one of that name that an unanswered request made is taken as it."""
        self._try(self.jobs.create_namespaced_custom_object, known=409, **self.place, body=job)

    def read(self, name: str) -> dict[str, Any] | None:
        """A TrainJob with its status; None when there is none of that name."""
        found = self._try(self.jobs.get_namespaced_custom_object, **self.place, name=name)
        return dict(found) if found is not None else None

    def delete(self, name: str) -> None:
        """Removes a TrainJob with its pods."""
        self._try(
            self.jobs.delete_namespaced_custom_object,
            **self.place, name=name, propagation_policy="Foreground",
        )  # fmt: skip

    def pods(self, job: str) -> list[str]:
        """Names of a TrainJob's pods: the first node's first, and of each node's the newest first,
        for a pod that failed stays beside the one that took its place."""
        selector = f"jobset.sigs.k8s.io/jobset-name={job}"
        found = self._try(
            self.core.list_namespaced_pod, namespace=self.namespace, label_selector=selector
        )
        newest = sorted(
            found.items if found is not None else [],
            key=lambda pod: (pod.metadata.creation_timestamp, pod.metadata.name), reverse=True,
        )  # fmt: skip
        return [pod.metadata.name for pod in sorted(newest, key=_node)]

    def pod_lives(self, name: str, uid: str) -> bool:
        """Whether this very pod is there, has not ended and lies on a node that can be reached."""
        pod = self._try(self.core.read_namespaced_pod, name=name, namespace=self.namespace)
        if pod is None or pod.metadata.uid != uid:
            return False
        # Of a node that is lost its pods stay "Running", but are no longer ready.
        ready = next((c.status for c in pod.status.conditions or [] if c.type == "Ready"), "True")
        if pod.status.phase == "Running" and ready != "True":
            return False
        return pod.status.phase not in ("Succeeded", "Failed")

    def tail(self, pod: str, lines: int) -> list[str]:
        """The last lines of a pod's log; none while the pod has not begun."""
        text = self._try(
            self.core.read_namespaced_pod_log, known=400, name=pod, namespace=self.namespace,
            tail_lines=lines,
        )  # fmt: skip
        return str(text or "").splitlines()

    def log_since(self, pod: str, since: datetime | None) -> list[tuple[datetime, str]]:
        """Lines of a pod's log from a second on (None: all), each with the time of its writing."""
        asked: dict[str, Any] = {}
        if since is not None:
            passed = (datetime.now(UTC) - since).total_seconds()
            asked["since_seconds"] = max(1, math.ceil(passed) + CLOCKS)
        text = self._try(
            self.core.read_namespaced_pod_log, known=400, name=pod, namespace=self.namespace,
            timestamps=True, **asked,
        )  # fmt: skip
        parts = [line.partition(" ") for line in str(text or "").splitlines()]
        lines = [(datetime.fromisoformat(when), words) for when, _, words in parts]
        return [line for line in lines if since is None or line[0] >= since]

    def _try(self, call: Callable[..., Any], known: int = 404, **arguments: Any) -> Any:
        """The answer, or None when it says "not found" or `known`."""
        from kubernetes.client import ApiException

        retrying = tenacity.Retrying(
            retry=tenacity.retry_if_exception(_passes),
            wait=tenacity.wait_exponential(multiplier=0.5, max=20),
            stop=tenacity.stop_after_delay(self.patience),
            reraise=True,
        )
        try:
            return retrying(call, **arguments)
        except ApiException as error:
            if error.status in (404, known):
                return None
            raise UserError(
                f"Kubernetes refuses {call.__name__} in namespace {self.namespace} "
                f"({error.status} {error.reason}): check the service account's role."
            ) from error
        except Exception as error:
            if not _passes(error):
                raise
            raise UserError(
                f"Kubernetes does not answer ({type(error).__name__}): start the stage again, "
                "which continues from the last checkpoint."
            ) from error


def _node(pod: Any) -> int:
    """Which node of its Job a pod is."""
    return int((pod.metadata.labels or {}).get(INDEX, 0))


def _passes(error: BaseException) -> bool:
    """Whether a later request may succeed."""
    from kubernetes.client import ApiException
    from urllib3.exceptions import HTTPError

    if isinstance(error, ApiException):
        return error.status is None or error.status == 429 or error.status >= 500
    return isinstance(error, HTTPError | ConnectionError | TimeoutError)
