"""TrainJobs through the real Kubernetes client, against a server that keeps what it is sent."""

import json
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlparse

import pytest
from kubeflow_trainer_api.models import TrainerV1alpha1TrainJob
from kubernetes.client import ApiClient, Configuration

from components.core.errors import UserError
from components.core.platform.kubernetes_api import KubernetesApi
from components.core.platform.trainjob import (
    Node,
    TrainJob,
    job_name,
    manifest,
    node_of,
    owner_of,
)

NODE = Node(
    image="example.org/train@sha256:1",
    requests={"cpu": "64", "memory": "512Gi", "nvidia.com/gpu": "8"},
    node_selector={"pool": "a100"},
    tolerations=({"key": "gpu", "operator": "Exists", "effect": "NoSchedule"},),
    seconds=3600,
)
JOB = manifest(
    "sdxl-finetune-abc", NODE, nodes=3, processes=8, command=["python", "-m", "worker"],
    owner={"name": "task", "uid": "1-2-3"},
)  # fmt: skip


# Node, last letter of the name, hour of creation: the first node was started again.
PODS = [(1, "a", 1), (0, "a", 1), (0, "c", 3), (0, "b", 2)]


def pod(job: str, node: int, letter: str, hour: int) -> dict[str, Any]:
    return {
        "metadata": {
            "name": f"{job}-node-0-{node}-{letter}",
            "creationTimestamp": f"2026-01-01T0{hour}:00:00Z",
            "labels": {"batch.kubernetes.io/job-completion-index": str(node)},
        }
    }


class Cluster(ThreadingHTTPServer):
    """Keeps TrainJobs in memory; `states` are the conditions that successive reads show."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.jobs: dict[str, dict[str, Any]] = {}
        self.pods: dict[str, dict[str, Any]] = {}
        self.calls: list[str] = []
        self.states: list[list[dict[str, str]]] = [[]]
        self.busy = 0
        self.log = "loss 0.5\nloss 0.25\n"
        self.begun = datetime.now(UTC) - timedelta(hours=5)  # one line an hour
        self.queries: list[dict[str, list[str]]] = []

    def api(self) -> KubernetesApi:
        configuration = Configuration()
        configuration.host = f"http://127.0.0.1:{self.server_port}"
        configuration.retries = 0
        return KubernetesApi(ApiClient(configuration), "realmat", patience=10)

    def answer_log(self, query: dict[str, list[str]]) -> str:
        """As the API does: lines not older than `sinceSeconds`, with their times if asked."""
        self.queries.append(query)
        shown = []
        for number, line in enumerate(self.log.splitlines()):
            when = self.begun + timedelta(hours=number)
            passed = (datetime.now(UTC) - when).total_seconds()
            if passed > float(query.get("sinceSeconds", ["inf"])[0]):
                continue
            stamp = (
                f"{when.isoformat().replace('+00:00', '')}123Z " if "timestamps" in query else ""
            )
            shown.append(f"{stamp}{line}\n")
        return "".join(shown)


class Handler(BaseHTTPRequestHandler):
    """One request of the API."""

    server: Cluster

    def log_message(self, *_: object) -> None:
        """Says nothing."""

    def answer(self, status: int, body: Any) -> None:
        text = body if isinstance(body, str) else json.dumps(body)
        self.send_response(status)
        self.send_header("Content-Type", "text/plain" if body is text else "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text.encode())

    def handle_request(self) -> None:
        url = urlparse(self.path)
        name = url.path.rsplit("/", 1)[1]
        length = int(self.headers.get("Content-Length", 0))
        body = json.loads(self.rfile.read(length)) if length else {}
        jobs = self.server.jobs
        self.server.calls.append(f"{self.command} {name}")
        if self.server.busy:
            self.server.busy -= 1
            self.answer(503, {"reason": "etcd is electing"})
        elif "/pods" in url.path and name == "log":
            self.answer(200, self.server.answer_log(parse_qs(url.query)))
        elif url.path.endswith("/pods"):
            selector = parse_qs(url.query)["labelSelector"][0]
            job = selector.removeprefix("jobset.sigs.k8s.io/jobset-name=")
            self.answer(200, {"kind": "PodList", "items": [pod(job, *one) for one in PODS]})
        elif "/pods/" in url.path:
            found = self.server.pods.get(name)
            self.answer(200 if found else 404, found or {"reason": "NotFound"})
        elif self.command == "POST":
            given = body["metadata"]["name"]
            status = 409 if given in jobs else 201
            jobs.setdefault(given, body)
            self.answer(status, jobs[given])
        elif name not in jobs:
            self.answer(404, {"reason": "NotFound"})
        elif self.command == "DELETE":
            self.answer(200, jobs.pop(name))
        else:
            states = self.server.states
            conditions = states.pop(0) if len(states) > 1 else states[0]
            self.answer(200, {**jobs[name], "status": {"conditions": conditions}})

    do_GET = do_POST = do_DELETE = handle_request  # noqa: N815


def condition(kind: str, message: str = "") -> dict[str, str]:
    return {"type": kind, "status": "True", "reason": kind, "message": message}


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    server = Cluster()
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()


def test_the_manifest_is_what_the_trainer_reads() -> None:
    read = TrainerV1alpha1TrainJob.from_dict(json.loads(json.dumps(JOB)))
    assert read is not None
    assert read.to_dict() == JOB  # an unknown key would have been dropped
    spec = JOB["spec"]
    assert (spec["trainer"]["numNodes"], spec["trainer"]["numProcPerNode"]) == (3, 8)
    assert JOB["metadata"]["ownerReferences"][0]["uid"] == "1-2-3"
    bare = manifest("x", Node(image="i"), nodes=2, processes=1, command=["a"], owner={})
    assert "ownerReferences" not in bare["metadata"]
    assert "runtimePatches" not in bare["spec"]


def test_names_are_stable_and_valid() -> None:
    name = job_name("sdxl_finetune", "0123456789abcdef0123")
    assert name == job_name("sdxl_finetune", "0123456789abcdef0123")
    assert re.fullmatch(r"[a-z]([-a-z0-9]*[a-z0-9])?", name)
    assert len(name) <= 40  # the JobSet appends to it
    assert name != job_name("sdxl_finetune", "0123456789abcdef0124")


def test_outside_a_cluster_several_nodes_are_refused() -> None:
    with pytest.raises(UserError, match="nodes=1"):
        node_of({})
    with pytest.raises(UserError, match="service account"):
        KubernetesApi.inside()
    assert owner_of({}) == {}
    assert owner_of({"POD_NAME": "a", "POD_UID": "b"}) == {"name": "a", "uid": "b"}


def test_a_job_is_made_watched_and_removed(
    cluster: Cluster, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("components.core.platform.trainjob.SECONDS_BETWEEN_POLLS", 0.05)
    shown = threading.Event()
    watched = []

    def sleep(seconds: float) -> None:
        if len(watched) == 3:  # it goes on until its log was shown
            while "GET log" not in cluster.calls:
                shown.wait(0.05)
            shown.wait(0.3)

    cluster.states = [[], [], [], [condition("Complete")]]
    TrainJob(cluster.api(), JOB, sleep).run(lambda: watched.append(1))
    assert len(watched) == 4  # also after the end, for the last metrics
    assert cluster.jobs == {}
    assert "loss 0.5\nloss 0.25\n" in capsys.readouterr().out


def test_a_long_log_is_read_once_and_an_outage_does_not_end_it(
    cluster: Cluster, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("components.core.platform.trainjob.SECONDS_BETWEEN_POLLS", 0.02)
    api = cluster.api()
    shown: list[str] = []
    job = TrainJob(api, JOB, lambda _: None)

    def wait_for(words: str) -> None:
        while words not in "".join(shown):
            shown.append(capsys.readouterr().out)

    with job._log():
        wait_for("loss 0.25")
        cluster.log += "loss 0.125\n"
        wait_for("loss 0.125")
        api.patience, cluster.busy = 0.01, 40  # an API server that is away for longer than we ask
        wait_for("is not shown for a while")
        cluster.busy = 0
        cluster.log += "loss 0.0625\n"
        wait_for("loss 0.0625")
        cluster.log += "the last line\n"
    shown.append(capsys.readouterr().out)
    said = [line for line in "".join(shown).splitlines() if "shown for a while" not in line]
    assert said == ["loss 0.5", "loss 0.25", "loss 0.125", "loss 0.0625", "the last line"]
    # Only the first time for all of it; later for what came since the last line.
    first, *later = cluster.queries
    assert "sinceSeconds" not in first
    hours = [float(query["sinceSeconds"][0]) / 3600 for query in later]
    assert max(hours) < 4.1
    assert hours[-1] < 2.1


def leave_behind(cluster: Cluster, uid: str) -> None:
    """A job of the same name, whose owner is the pod `before` with this uid."""
    name = JOB["metadata"]["name"]
    owners = [{"apiVersion": "v1", "kind": "Pod", "name": "before", "uid": uid}]
    cluster.jobs[name] = {
        "metadata": {"name": name, "ownerReferences": owners}, "spec": "of the attempt before",
    }  # fmt: skip


def test_a_job_whose_pod_still_runs_is_left_alone(cluster: Cluster) -> None:
    """It is of another run, which has come to the same work."""
    leave_behind(cluster, "4-5-6")
    cluster.pods["before"] = {"metadata": {"uid": "4-5-6"}, "status": {"phase": "Running"}}
    with pytest.raises(UserError, match="belongs to the pod before, which still runs"):
        TrainJob(cluster.api(), JOB, lambda _: None).run(lambda: None)
    assert cluster.jobs[JOB["metadata"]["name"]]["spec"] == "of the attempt before"
    assert not [call for call in cluster.calls if call.startswith(("DELETE", "POST"))]


@pytest.mark.parametrize("uid", ["4-5-6", "1-2-3"], ids=["of another", "this pod's own"])
def test_a_pod_of_that_name_that_is_another_does_not_hold_the_job(
    cluster: Cluster, uid: str
) -> None:
    """1-2-3 is this pod itself, whose container was started again."""
    leave_behind(cluster, uid)
    cluster.pods["before"] = {"metadata": {"uid": "1-2-3"}, "status": {"phase": "Running"}}
    cluster.states = [[], [], [condition("Complete")]]
    TrainJob(cluster.api(), JOB, lambda _: None).run(lambda: None)


def test_of_a_node_that_was_started_again_the_newest_pod_is_shown(cluster: Cluster) -> None:
    names = cluster.api().pods("j")
    assert names == ["j-node-0-0-c", "j-node-0-0-b", "j-node-0-0-a", "j-node-0-1-a"]


@pytest.mark.parametrize("ended", [{"phase": "Failed"}, {"phase": "Succeeded"}])
def test_what_an_earlier_attempt_left_is_removed_first(
    cluster: Cluster, ended: dict[str, str]
) -> None:
    leave_behind(cluster, "the uid of before")
    cluster.pods["before"] = {"metadata": {"uid": "the uid of before"}, "status": ended}
    made = []
    cluster.states = [[condition("Failed")], [condition("Complete")]]
    TrainJob(cluster.api(), JOB, lambda _: made.append(dict(cluster.jobs))).run(lambda: None)
    verbs = [call.split()[0] for call in cluster.calls]
    assert verbs.index("DELETE") < verbs.index("POST")


def test_a_failed_job_says_why_with_its_last_lines(cluster: Cluster) -> None:
    cluster.states = [[condition("Failed", "DeadlineExceeded")]]
    with pytest.raises(UserError, match="DeadlineExceeded") as failed:
        TrainJob(cluster.api(), JOB, lambda _: None).run(lambda: None)
    assert "sdxl-finetune-abc-node-0-0-c: loss 0.25" in str(failed.value)
    assert cluster.jobs == {}


def test_a_job_that_somebody_removes_is_said(cluster: Cluster) -> None:
    with pytest.raises(UserError, match="was removed while it trained"):
        TrainJob(cluster.api(), JOB, lambda _: cluster.jobs.clear()).run(lambda: None)


def test_a_busy_server_is_asked_again_and_a_refusal_is_not(cluster: Cluster) -> None:
    cluster.busy = 3
    cluster.api().create(JOB)
    assert list(cluster.jobs) == ["sdxl-finetune-abc"]
    cluster.api().create(JOB)  # an answer that was lost: the job is there already
    cluster.shutdown()
    cluster.server_close()
    gone = cluster.api()
    gone.patience = 0.5
    with pytest.raises(UserError, match="Kubernetes does not answer"):
        gone.read("x")


CANCELLED = """
import sys, time
sys.path.insert(0, {root!r})
from kubernetes.client import ApiClient, Configuration
from components.core.platform.kubernetes_api import KubernetesApi
from components.core.platform.trainjob import TrainJob
from tests.core.platform.test_trainjob import JOB

configuration = Configuration()
configuration.host = "http://127.0.0.1:{port}"
TrainJob(KubernetesApi(ApiClient(configuration), "realmat"), JOB, time.sleep).run(lambda: None)
"""


def test_cancelling_removes_the_job(cluster: Cluster) -> None:
    root = str(Path(__file__).parents[3])
    program = CANCELLED.format(root=root, port=cluster.server_port)
    process = subprocess.Popen([sys.executable, "-c", program], env=dict(os.environ))
    waiting = threading.Event()
    while not cluster.jobs:
        assert process.poll() is None
        waiting.wait(0.05)
    process.send_signal(signal.SIGTERM)
    assert process.wait(60) == 128 + signal.SIGTERM
    assert cluster.jobs == {}
