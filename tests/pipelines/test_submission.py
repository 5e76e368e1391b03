"""Submitting through Kubeflow's own client, to a server that speaks its API."""

import json
import re
import threading
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml

from components.core.errors import UserError
from pipelines.authentication import Credentials
from pipelines.cli import main
from pipelines.submission import Service, six_fields
from tests.pipelines.kubeflow import SECRET, Kubeflow, nodes


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


def lines_of(said: str) -> list[str]:
    """What `--wait` showed of the stages."""
    return [line for line in said.splitlines() if re.match(r"[\w-]+: [\w ,]+$", line)]


def test_a_run_is_uploaded_started_and_watched(
    kubeflow: Kubeflow, capsys: pytest.CaptureFixture[str]
) -> None:
    done = "SUCCEEDED"
    kubeflow.states = [
        ("RUNNING", nodes(open_run="RUNNING")),
        ("RUNNING", nodes(open_run=done, synthetic_data=["RUNNING", "PENDING", "RUNNING"])),
        ("RUNNING", nodes(open_run=done, synthetic_data=["RUNNING", "RUNNING", done])),
        ("RUNNING", nodes(open_run=done, synthetic_data=[done, "RUNNING", "RUNNING"])),
        ("RUNNING", nodes(open_run=done, synthetic_data=[done] * 3, sdxl_finetune="RUNNING")),
        (done, nodes(open_run=done, synthetic_data=[done] * 3, sdxl_finetune=done)),
    ]
    code, result, said = submitted(
        capsys, "--host", kubeflow.address, "--wait", "--photos", "s3://photos/all"
    )
    assert code == 0
    link = f"{kubeflow.address}/#/runs/details/r1"
    assert result == {"run": "r1", "link": link, "state": "SUCCEEDED"}
    assert lines_of(said) == [
        "open_run: running", "open_run: succeeded", "synthetic_data: 1 pending, 2 running",
        "synthetic_data: 2 running, 1 succeeded", "synthetic_data: 3 succeeded",
        "sdxl_finetune: running", "sdxl_finetune: succeeded",
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


def test_each_namespace_has_a_pipeline_of_its_own(
    kubeflow: Kubeflow, capsys: pytest.CaptureFixture[str]
) -> None:
    for flags in (["--namespace", "realmat"], ["--namespace", "realmat"], []):
        code, _, said = submitted(capsys, "--host", kubeflow.address, *flags)
        assert code == 0, said
    assert [one["namespace"] for one in kubeflow.pipelines] == ["realmat", ""]
    used = [run["pipeline_version_reference"]["pipeline_id"] for run in kubeflow.runs]
    assert used == ["p1", "p1", "p2"]
    assert [one["pipeline_id"] for one in kubeflow.versions] == ["p1", "p2"]


def test_a_name_that_is_taken_is_said(
    kubeflow: Kubeflow, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As where the account may upload to a namespace, and not list what is there."""
    kubeflow.pipelines = [{"pipeline_id": "p1", "display_name": "realmat", "namespace": ""}]
    nothing = SimpleNamespace(pipelines=None)
    monkeypatch.setattr("kfp.client.Client.list_pipelines", lambda *_, **__: nothing)
    code, _, said = submitted(capsys, "--host", kubeflow.address)
    assert code == 2
    assert "--namespace" in said
    assert "check --host" not in said


def test_a_failed_run_is_a_failed_command(
    kubeflow: Kubeflow, capsys: pytest.CaptureFixture[str]
) -> None:
    branches = {"registration": "SKIPPED", "registration_2": "SKIPPED"}
    kubeflow.states = [("FAILED", nodes(ddpo_lora="FAILED", **branches))]
    code, result, said = submitted(capsys, "--host", kubeflow.address, "--wait")
    assert (code, result["state"]) == (1, "FAILED")
    assert lines_of(said) == [
        "ddpo_lora: failed", "registration: skipped", "registration_2: skipped",
    ]  # fmt: skip


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
