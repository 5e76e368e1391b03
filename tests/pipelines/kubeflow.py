"""A server that speaks the API of Kubeflow Pipelines as far as `submit` uses it."""

import base64
import json
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlparse

SECRET = "the client's secret"


class Kubeflow(ThreadingHTTPServer):
    """The API of Kubeflow Pipelines as far as `submit` uses it, and an OIDC provider."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.address = f"http://127.0.0.1:{self.server_port}"
        self.token = ""  # that requests must bear, "" for none
        self.tokens = 0
        self.lifetime = 3600
        self.pipelines: list[dict[str, Any]] = []  # a name is there once in each namespace
        self.versions: list[dict[str, Any]] = []
        self.uploads: list[str] = []
        self.experiments: list[dict[str, Any]] = []
        self.runs: list[dict[str, Any]] = []
        self.recurring: list[dict[str, Any]] = []
        self.states: list[tuple[str, list[dict[str, Any]]]] = [("SUCCEEDED", [])]
        self.away = 0

    def answer(self, command: str, path: str, query: dict[str, str], body: Any) -> tuple[int, Any]:
        name = path.removeprefix("/apis/v2beta1/")
        if name == "healthz":
            return 200, {"multi_user": False}
        if name.startswith("pipelines"):
            return self.answer_of_pipelines(name, query)
        if name == "experiments":
            if command == "POST":
                self.experiments.append({**body, "experiment_id": "e1"})
                return 200, self.experiments[-1]
            return 200, {"experiments": self.experiments}
        if name == "runs":
            self.runs.append(body)
            return 200, {**body, "run_id": "r1"}
        if name == "runs/r1":
            state, tasks = self.states.pop(0) if len(self.states) > 1 else self.states[0]
            return 200, {"run_id": "r1", "state": state, "run_details": {"task_details": tasks}}
        if name == "recurringruns":
            self.recurring.append(body)
            return 200, {**body, "recurring_run_id": "c1"}
        return 404, {"error": path}

    def answer_of_pipelines(self, name: str, query: dict[str, str]) -> tuple[int, Any]:
        space = query.get("namespace", "")
        own = [one for one in self.pipelines if one["namespace"] == space]
        if name == "pipelines":
            (wanted,) = json.loads(query["filter"])["predicates"]
            assert (wanted["operation"], wanted["key"]) == ("EQUALS", "display_name")
            found = [one for one in own if one["display_name"] == wanted["stringValue"]]
            return 200, {"pipelines": found} if found else {}
        if name == "pipelines/upload":
            if any(one["display_name"] == query["name"] for one in own):
                return 409, {"error": "already exist"}
            number = f"p{len(self.pipelines) + 1}"
            made = {"pipeline_id": number, "display_name": query["name"], "namespace": space}
            self.pipelines.append(made)
            return 200, made
        if name == "pipelines/upload_version":
            number = f"v{len(self.versions)}"
            made = {
                "pipeline_version_id": number, "display_name": query["name"],
                "pipeline_id": query["pipelineid"],
            }  # fmt: skip
            self.versions.append(made)
            return 200, made
        _, pipeline, _ = name.split("/")  # pipelines/ID/versions
        own = [one for one in self.versions if one["pipeline_id"] == pipeline]
        return 200, {"pipeline_versions": own}


class Handler(BaseHTTPRequestHandler):
    """One request."""

    server: Kubeflow

    def log_message(self, *_: object) -> None:
        """Says nothing."""

    def send(self, status: int, body: Any) -> None:
        text = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def handle_request(self) -> None:
        server, url = self.server, urlparse(self.path)
        raw = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if url.path == "/realm/.well-known/openid-configuration":
            self.send(200, {"token_endpoint": f"{server.address}/realm/token"})
            return
        if url.path == "/realm/token":
            kind, _, word = self.headers["Authorization"].partition(" ")
            good = kind == "Basic" and base64.b64decode(word).decode() == f"us:{SECRET}"
            form = parse_qs(raw.decode())
            assert form["grant_type"] == ["client_credentials"]
            server.tokens += 1
            server.token = f"token {server.tokens}" if good else server.token
            granted = {
                "access_token": server.token, "token_type": "Bearer", "expires_in": server.lifetime,
            }  # fmt: skip
            self.send(200 if good else 401, granted if good else {"error": "invalid_client"})
            return
        if server.away:
            server.away -= 1
            self.send(503, {})
            return
        if server.token and self.headers.get("Authorization") != f"Bearer {server.token}":
            self.send(401, {"error": "who?"})
            return
        if raw.startswith(b"--"):  # a file
            server.uploads.append(raw.decode())
        body = json.loads(raw) if raw.startswith(b"{") else {}
        query = {name: values[0] for name, values in parse_qs(url.query).items()}
        self.send(*server.answer(self.command, url.path, query, body))

    do_GET = do_POST = handle_request  # noqa: N815


def nodes(**tasks: str | list[str]) -> list[dict[str, Any]]:
    """A run's nodes as Kubeflow Pipelines lists them: sorted by their ids, named as Argo shows
    them, and each with the ids of those that come after it.

    tasks: the state of each; of one in a loop, of each part.
    """
    found: list[tuple[str, str]] = [
        ("realmat-x7k2p", "RUNNING"), ("root-driver", "SUCCEEDED"), ("root", "RUNNING"),
    ]  # fmt: skip
    for task, given in tasks.items():
        name = task.replace("_", "-")
        states = [given] if isinstance(given, str) else given
        if states != [given]:
            found += [("for-loop-2-driver", "SUCCEEDED"), ("for-loop-2", "RUNNING")]
            found += [("iteration-driver", "SUCCEEDED"), ("iteration-iterations", "RUNNING")]
        for part, state in enumerate(states):
            if states != [given]:
                found += [(f"iteration-item({part}:{part})", "RUNNING")]
            found += [(f"{name}-driver", "SUCCEEDED"), (name, state)]
            # Of what is tried again there is a node for each attempt within one for all.
            found += [("executor", state), ("executor(0)", "FAILED"), ("executor(1)", state)]
    return [
        {
            "task_id": f"t{number}", "pod_name": f"realmat-x7k2p-{number}", "display_name": name,
            "state": state, "child_tasks": [{"pod_name": f"realmat-x7k2p-{number + 1}"}],
        }
        for number, (name, state) in enumerate(found)
    ]  # fmt: skip
