"""Submitting through Kubeflow's own client, to a server that speaks its API."""

import base64
import json
import re
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlparse

import pytest
import yaml

from components.core.errors import UserError
from pipelines.authentication import Credentials
from pipelines.cli import main
from pipelines.submission import Service, six_fields

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
        self.pipelines: list[dict[str, Any]] = []
        self.versions: list[dict[str, Any]] = []
        self.uploads: list[str] = []
        self.experiments: list[dict[str, Any]] = []
        self.runs: list[dict[str, Any]] = []
        self.recurring: list[dict[str, Any]] = []
        self.states: list[tuple[str, dict[str, str]]] = [("SUCCEEDED", {})]
        self.away = 0

    def answer(self, command: str, path: str, query: dict[str, str], body: Any) -> tuple[int, Any]:
        name = path.removeprefix("/apis/v2beta1/")
        if name == "healthz":
            return 200, {"multi_user": False}
        if name == "pipelines":
            return 200, {"pipelines": self.pipelines}
        if name == "pipelines/upload":
            self.pipelines.append({"pipeline_id": "p1", "display_name": query["name"]})
            return 200, self.pipelines[-1]
        if name == "pipelines/p1/versions":
            return 200, {"pipeline_versions": self.versions}
        if name == "pipelines/upload_version":
            made = {"pipeline_version_id": f"v{len(self.versions)}", "display_name": query["name"]}
            self.versions.append(made)
            return 200, made
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
            details = [{"display_name": task, "state": now} for task, now in tasks.items()]
            return 200, {"run_id": "r1", "state": state, "run_details": {"task_details": details}}
        if name == "recurringruns":
            self.recurring.append(body)
            return 200, {**body, "recurring_run_id": "c1"}
        return 404, {"error": path}


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


@pytest.fixture
def kubeflow(monkeypatch: pytest.MonkeyPatch) -> Iterator[Kubeflow]:
    server = Kubeflow()
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setattr("pipelines.submission.SECONDS_BETWEEN_POLLS", 0.01)
    yield server
    server.shutdown()


def submitted(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, Any, str]:
    code = main(["submit", "smoke", "--allow-tags", *arguments])
    printed = capsys.readouterr()
    return code, json.loads(printed.out) if printed.out else None, printed.err


def test_a_run_is_uploaded_started_and_watched(
    kubeflow: Kubeflow, capsys: pytest.CaptureFixture[str]
) -> None:
    kubeflow.states = [
        ("RUNNING", {"synthetic_data": "RUNNING"}),
        ("RUNNING", {"synthetic_data": "SUCCEEDED", "sdxl_finetune": "RUNNING"}),
        ("SUCCEEDED", {"synthetic_data": "SUCCEEDED", "sdxl_finetune": "SUCCEEDED"}),
    ]
    code, result, said = submitted(
        capsys, "--host", kubeflow.address, "--wait", "--photos", "s3://photos/all"
    )
    assert code == 0
    link = f"{kubeflow.address}/#/runs/details/r1"
    assert result == {"run": "r1", "link": link, "state": "SUCCEEDED"}
    lines = [line for line in said.splitlines() if re.match(r"\w+: \w+$", line)]
    assert lines == [
        "synthetic_data: running", "synthetic_data: succeeded", "sdxl_finetune: running",
        "sdxl_finetune: succeeded",
    ]  # fmt: skip
    assert link in said
    (run,) = kubeflow.runs
    assert run["service_account"] == "realmat-pipeline"
    assert run["runtime_config"]["parameters"]["photos"] == "s3://photos/all"
    assert run["pipeline_version_reference"] == {"pipeline_id": "p1", "pipeline_version_id": "v0"}
    text = kubeflow.uploads[0]
    uploaded = text[text.index("# PIPELINE DEFINITION") : text.rindex("\r\n--")]
    assert next(yaml.safe_load_all(uploaded))["pipelineInfo"]["name"] == "realmat"


def test_the_same_pipeline_is_uploaded_once(
    kubeflow: Kubeflow, capsys: pytest.CaptureFixture[str]
) -> None:
    for _ in range(2):
        submitted(capsys, "--host", kubeflow.address)
    assert (len(kubeflow.versions), len(kubeflow.runs)) == (1, 2)
    submitted(capsys, "--host", kubeflow.address, "--set", "ddpo_lora.epochs=3")
    assert len(kubeflow.versions) == 2
    assert len(kubeflow.experiments) == 1


def test_a_failed_run_is_a_failed_command(
    kubeflow: Kubeflow, capsys: pytest.CaptureFixture[str]
) -> None:
    kubeflow.states = [("FAILED", {"ddpo_lora": "FAILED"})]
    code, result, said = submitted(capsys, "--host", kubeflow.address, "--wait")
    assert (code, result["state"]) == (1, "FAILED")
    assert "ddpo_lora: failed" in said


def test_waiting_outlasts_an_upgrade_of_the_service(kubeflow: Kubeflow) -> None:
    service = Service(kubeflow.address, Credentials())
    kubeflow.away = 5
    assert service.wait("r1", print, sleep=lambda _: None) == "SUCCEEDED"
    assert kubeflow.away == 0


def test_a_schedule(kubeflow: Kubeflow, capsys: pytest.CaptureFixture[str]) -> None:
    code, result, _ = submitted(capsys, "--host", kubeflow.address, "--cron", "0 3 * * 1")
    assert code == 0
    assert result["link"].endswith("/#/recurringrun/details/c1")
    (made,) = kubeflow.recurring
    assert made["trigger"]["cron_schedule"]["cron"] == "0 0 3 * * 1"
    assert int(made["max_concurrency"]) == 1
    assert made["no_catchup"] is True
    assert not kubeflow.runs
    code, _, said = submitted(capsys, "--host", kubeflow.address, "--cron", "on mondays")
    assert code == 2
    assert "--cron" in said


def test_schedules_of_six_fields_stay() -> None:
    assert six_fields("30 0 3 * * *") == "30 0 3 * * *"
    assert six_fields("*/5 * * * *") == "0 */5 * * * *"
    for wrong in ("", "1 2 3", "0 3 * * 1; rm"):
        with pytest.raises(UserError, match="--cron"):
            six_fields(wrong)


def test_signing_in_by_a_file_that_is_renewed(
    kubeflow: Kubeflow, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    kubeflow.token = "first"
    code, _, said = submitted(capsys, "--host", kubeflow.address)
    assert code == 2
    assert "--token-file" in said
    file = tmp_path / "token"
    file.write_text("first\n")
    service = Service(kubeflow.address, Credentials(token_file=str(file)))
    assert service.wait("r1", print) == "SUCCEEDED"
    kubeflow.token = "second"
    file.write_text("second")
    assert service.wait("r1", print) == "SUCCEEDED"
    file.write_text("")
    code, _, said = submitted(capsys, "--host", kubeflow.address, "--token-file", str(file))
    assert code == 2
    assert "is empty" in said


def test_signing_in_at_an_oidc_provider(
    kubeflow: Kubeflow, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OAUTHLIB_INSECURE_TRANSPORT", "1")  # the double speaks no TLS
    monkeypatch.setenv("REALMAT_OIDC_CLIENT_SECRET", SECRET)
    kubeflow.token = "none but the provider's"
    issuer = f"{kubeflow.address}/realm"
    flags = ["--host", kubeflow.address, "--oidc-issuer", issuer, "--oidc-client-id", "us"]
    code, _, _ = submitted(capsys, *flags, "--wait")
    assert code == 0
    assert kubeflow.tokens == 1  # one token serves until it ends
    kubeflow.lifetime = 30  # which is within the margin: it is renewed at each request
    credentials = Credentials(oidc_issuer=issuer, oidc_client="us")
    Service(kubeflow.address, credentials).wait("r1", print)
    Service(kubeflow.address, credentials).wait("r1", print)
    assert kubeflow.tokens >= 3
    monkeypatch.setenv("REALMAT_OIDC_CLIENT_SECRET", "a wrong one")
    code, _, said = submitted(capsys, *flags)
    assert code == 2
    assert "refuses the client us" in said
    assert "a wrong one" not in said


def test_what_is_no_kubeflow_is_said(
    kubeflow: Kubeflow, capsys: pytest.CaptureFixture[str]
) -> None:
    elsewhere = f"{kubeflow.address}/elsewhere"
    for host, part in (("http://127.0.0.1:9", "does not answer"), (elsewhere, "answers 404")):
        code, _, said = submitted(capsys, "--host", host)
        assert code == 2
        assert part in said
        assert "Traceback" not in said
