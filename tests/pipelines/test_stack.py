"""The whole pipeline on real services of this machine, which fail while it runs.

The services have the settings and Secrets of the cluster's manifests. The undisturbed run of the
smoke recipe on local files is the oracle: whatever happens, the stages' results are the same.
"""

import copy
import json
import os
import random
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import httpx
import psycopg2
import pytest
from botocore.exceptions import ClientError
from mlflow import MlflowClient
from moto.core.authorization import enable_iam_authentication

from apps.study.place import Place
from components.core.platform.artifacts import read_manifest
from labeling.server import PROGRAM
from pipelines.recipe import STAGES
from pipelines.stack.addresses import localised
from pipelines.stack.object_store import guarded
from pipelines.stack.objects import client_of
from pipelines.stack.postgresql import installed
from pipelines.stack.stack import Stack, make_users
from tests.apps.studies import make_study
from tests.pipelines.conftest import EXACT, ROOT
from tests.pipelines.judged_run import judged_run, judgements, rows, weights
from tests.pipelines.watched_run import Run, until
from tests.s3 import Store
from tests.services import missing

pytestmark = pytest.mark.long

AWAY = 30.0  # seconds for which MLflow is gone
BUSY = 10.0  # seconds for which S3 refuses, each bucket from its first request on
MEASURED = ("second", "memory", "utilisation", "system/")  # what no two runs have alike


@pytest.fixture(scope="module")
def store() -> Iterator[Store]:
    server = Store()
    with enable_iam_authentication():
        yield server
    server.close()


@pytest.fixture(scope="module")
def stack(store: Store, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    if not installed():
        missing("PostgreSQL is not installed: apt-get install postgresql")
    if not PROGRAM.exists():
        missing("Label Studio is not installed: .ci/install --labeling")
    folder = tmp_path_factory.mktemp("stack") / "stack"
    # Away from the ports of a stack that somebody else starts meanwhile.
    first = random.randrange(20_000, 30_000, 10)
    found = Stack(folder, say=lambda _: None, elsewhere={"s3": store.port}, first_port=first)
    # What the stack's own server does, but in this process, where a test can make it refuse.
    store.application = guarded(found.secrets)
    try:
        found.start()
        yield found
    finally:
        found.stop()
        for service in found.services:
            assert not found.processes.running(service.name), service.name
        assert not found.postgres.running()
        for name, port in found.ports.items():
            if name not in found.elsewhere:
                with socket.socket() as probe:
                    assert probe.connect_ex(("127.0.0.1", port)) != 0, name
        assert not folder.exists()
        assert not found.postgres.folder.exists()


@pytest.fixture(scope="module")
def disturbed(stack: Stack, store: Store, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The output of a run that lost each service once and a stage by SIGKILL."""
    output = tmp_path_factory.mktemp("disturbed") / "smoke"
    run = Run(stack, output)
    run.saw("sdxl_finetune: started")
    stack.processes.kill("mlflow")
    ends = time.monotonic() + AWAY
    run.saw("photo_retrieval: started")
    until(lambda: time.monotonic() > ends, "time")
    stack.restart("mlflow")
    outages: dict[str, float] = {}

    def refuse(method: str, path: str) -> bool:
        bucket = path.split("/")[1]
        if bucket not in ("mlflow", "realmat"):
            return False
        return time.monotonic() - outages.setdefault(bucket, time.monotonic()) < BUSY

    store.refuse = refuse
    run.saw("material_sampling: started")
    stack.postgres.stop()
    stack.postgres.start()
    run.saw("ddpo_lora step 0")
    run.kill_stage()
    assert run.end() == 1, run.text[-3000:]
    assert "ddpo_lora failed (its process was ended from outside" in run.text
    assert "Traceback" not in run.text
    assert store.refused > 1
    assert "realmat" in outages
    again = Run(stack, output)
    assert again.end() == 0, again.text[-3000:]
    assert "ddpo_lora: resumed" in again.text
    assert "reward_training: reused" in again.text
    assert set(outages) == {"mlflow", "realmat"}
    return output


def test_what_the_stages_made_is_what_an_undisturbed_run_makes(
    disturbed: Path, smoke: Path
) -> None:
    hashes = []
    for output in (smoke, disturbed):
        manifests = sorted((output / "store").glob("*/*/manifest.json"))
        hashes.append(
            {
                (path.parent.parent.name, path.parent.name): read_manifest(path.parent).content_hash
                for path in manifests
                if path.parent.parent.name != "registration"
            }
        )
    assert len(hashes[0]) >= len(STAGES) - 1
    assert hashes[0] == hashes[1]
    left = [path for path in (disturbed / "store").rglob("*") if ".partial" in path.name]
    assert left == []


def test_artifacts_lie_in_s3_and_the_model_in_the_registry(disturbed: Path, stack: Stack) -> None:
    clients = {
        bucket: client_of({**stack.environment, **stack.secrets[f"{whose}-secrets"]})
        for bucket, whose in (("realmat", "pipeline"), ("mlflow", "mlflow"))
    }
    keys = {
        bucket: {
            item["Key"]
            for page in client.get_paginator("list_objects_v2").paginate(Bucket=bucket)
            for item in page["Contents"]
        }
        for bucket, client in clients.items()
    }
    for manifest in (disturbed / "store").glob("*/*/manifest.json"):
        stage, key = manifest.parent.parent.name, manifest.parent.name
        assert f"artifacts/{stage}/{key}/manifest.json" in keys["realmat"]
    assert any(key.endswith("generator.json") for key in keys["mlflow"])
    assert not (disturbed / "mlflow.db").exists()


@pytest.fixture
def tracking(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> MlflowClient:
    for name, value in stack.environment.items():
        monkeypatch.setenv(name, value)
    return MlflowClient(stack.environment["MLFLOW_TRACKING_URI"])


def test_no_metric_is_lost(disturbed: Path, smoke: Path, stack: Stack) -> None:
    """By the databases themselves: the server would hash a password for each of 1,000 questions."""
    kept = localised(stack.secrets["mlflow-secrets"], stack.ports)["MLFLOW_BACKEND_STORE_URI"]
    found = []
    for client in (MlflowClient(f"sqlite:///{smoke / 'mlflow.db'}"), MlflowClient(kept)):
        experiment = client.get_experiment_by_name("realmat")
        assert experiment is not None
        runs = client.search_runs([experiment.experiment_id], "tags.stage != ''")
        stages = [run.data.tags["stage"] for run in runs]
        assert set(stages) == set(STAGES)
        # The killed stage went on in the run that it had.
        assert (stages.count("sdxl_finetune"), stages.count("ddpo_lora")) == (1, 1)
        assert {run.info.status for run in runs} == {"FINISHED"}
        points = {
            (run.data.tags["stage"], name, point.step, f"{point.value:.6f}")  # NaN equals NaN
            for run in runs
            if run.data.tags["stage"] != "registration"  # another test registers once more
            for name in run.data.metrics
            if not any(measured in name for measured in MEASURED)
            for point in client.get_metric_history(run.info.run_id, name)
        }
        found.append(points)
    assert found[0] == found[1]
    assert len({stage for stage, *_ in found[0]}) > 6  # most stages have something to measure


def test_the_app_takes_the_champion_that_the_pipeline_registers(
    disturbed: Path, stack: Stack, tracking: MlflowClient
) -> None:
    health = f"http://127.0.0.1:{stack.ports['realmat-app']}/healthz"
    assert httpx.get(health).json()["model"] == "small"  # until there is a champion
    tracking.set_registered_model_alias("realmat", "champion", "1")
    until(lambda: httpx.get(health).json()["version"] == "1", "the app saw no champion")


def test_the_app_may_read_the_registry_and_not_write_it(disturbed: Path, stack: Stack) -> None:
    user = stack.secrets["app-secrets"]
    signed = (user["MLFLOW_TRACKING_USERNAME"], user["MLFLOW_TRACKING_PASSWORD"])
    base = f"{stack.environment['MLFLOW_TRACKING_URI']}/api/2.0/mlflow/registered-models"
    found = httpx.get(f"{base}/get", params={"name": "realmat"}, auth=signed)
    assert found.status_code == 200
    wanted = {"name": "realmat", "alias": "champion", "version": "1"}
    assert httpx.post(f"{base}/alias", json=wanted, auth=signed).status_code == 403
    assert httpx.get(f"{base}/get", params={"name": "realmat"}).status_code == 401


def test_votes_and_judgements_go_to_postgresql(stack: Stack) -> None:
    for database, table in (("realmat", "vote"), ("label_studio", "task"), ("mlflow", "runs")):
        connection = stack.postgres.connect(database)
        with connection.cursor() as cursor:
            cursor.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
            assert any(table in name for (name,) in cursor.fetchall()), database
        connection.close()
    with pytest.raises(psycopg2.OperationalError):
        psycopg2.connect(
            host="127.0.0.1", port=stack.ports["postgresql"], user="realmat", dbname="realmat"
        )


def test_a_vote_over_http_is_a_row_in_postgresql(stack: Stack) -> None:
    given = localised(stack.secrets["app-secrets"], stack.ports)
    place = Place(stack.folder / "app", given["REALMAT_STUDY_DATABASE"])
    database = place.database()
    make_study(database, place.media, name="stack")
    database.close()
    study = f"http://127.0.0.1:{stack.ports['realmat-app']}/api/study/stack"
    state = httpx.post(f"{study}/join", json={"consent": True}).json()
    cast = {"token": state["token"], "trial": state["trial"], "choice": "left", "seconds": 1.5}
    assert httpx.post(f"{study}/votes", json=cast).status_code == 200
    connection = stack.postgres.connect("realmat")
    with connection.cursor() as cursor:
        cursor.execute("SELECT trial_id FROM votes")
        assert [str(row[0]) for row in cursor.fetchall()] == [str(state["trial"])]
    connection.close()


def test_a_password_that_was_changed_in_the_secret_is_mlflows_too(stack: Stack) -> None:
    get = f"{stack.environment['MLFLOW_TRACKING_URI']}/api/2.0/mlflow/users/get"
    changed = copy.deepcopy(stack.secrets)
    changed["app-secrets"]["MLFLOW_TRACKING_PASSWORD"] = "another, of twelve or more"
    for secrets in (changed, stack.secrets):
        make_users(stack.environment, secrets)
        user = secrets["app-secrets"]
        signed = (user["MLFLOW_TRACKING_USERNAME"], user["MLFLOW_TRACKING_PASSWORD"])
        assert httpx.get(get, params={"username": "app"}, auth=signed).status_code == 200


def test_a_service_reaches_its_own_database_alone(stack: Stack) -> None:
    signed = {
        "user": "label_studio", "host": "127.0.0.1", "port": stack.ports["postgresql"],
        "password": stack.secrets["label-studio-secrets"]["POSTGRE_PASSWORD"],
    }  # fmt: skip
    psycopg2.connect(dbname="label_studio", **signed).close()
    with pytest.raises(psycopg2.OperationalError, match="permission denied"):
        psycopg2.connect(dbname="realmat", **signed)


def test_the_bucket_refuses_a_wrong_key_and_a_key_that_only_reads(
    disturbed: Path, stack: Stack
) -> None:
    given, one = stack.environment, {"Bucket": "realmat", "Key": "labels/other.png"}
    wrong = client_of({**given, "AWS_SECRET_ACCESS_KEY": "guessed"})
    with pytest.raises(ClientError, match="SignatureDoesNotMatch"):
        wrong.list_objects_v2(Bucket="realmat")
    with pytest.raises(ClientError, match="AccessDenied"):
        client_of(given).list_objects_v2(Bucket="mlflow")
    reader = {
        f"AWS_{name.removeprefix('LABEL_STUDIO_S3_')}": given[name]
        for name in given
        if "LABEL_STUDIO_S3_" in name
    }
    client_of({**given, **reader}).list_objects_v2(Bucket="realmat")
    with pytest.raises(ClientError, match="AccessDenied"):
        client_of({**given, **reader}).put_object(Body=b"", **one)


@pytest.fixture(scope="module")
def judged(
    disturbed: Path, stack: Stack, store: Store, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """The output of a run whose images a second process judged at the stack's Label Studio."""
    output, before = tmp_path_factory.mktemp("judged") / "smoke", len(store.seen)
    run, judge = judged_run(stack, output)
    (output / "judged.log").write_text(run.text + judge)
    count = len(judgements(output))
    assert f"{count} images judged by the simulated annotator" in judge
    assert "material_sampling: reused" in run.text  # fetched from the archive
    # Each image went into the bucket and from there, by a presigned address, to who judged it.
    pictures = [one for one in store.seen[before:] if one[1].startswith("/realmat/labels/")]
    assert Counter(method for method, _ in pictures) == {"PUT": count, "GET": count}
    assert len(set(pictures)) == 2 * count
    return output


@pytest.mark.rare
def test_judged_in_label_studio_a_run_goes_on_as_one_that_the_rule_judged_itself(
    judged: Path, smoke: Path
) -> None:
    assert judgements(judged) == judgements(smoke)
    assert rows(judged, "realism_labels", "labels.jsonl") == rows(
        smoke, "realism_labels", "labels.jsonl"
    )
    assert len(weights(judged)) > 4
    assert weights(judged) == weights(smoke)
    # What differs is who says so, and that it was said at a time.
    said, ruled = (rows(one, "annotation_sync", "annotations.jsonl") for one in (judged, smoke))
    assert {row["annotator"] for row in ruled} == {"simulated annotator"}
    assert {row["annotator"] for row in said} == {"label studio user 1"}
    assert all(row["judged_at"] and row["seconds"] for row in said)


def test_no_secret_is_in_a_log_or_an_artifact(disturbed: Path, stack: Stack) -> None:
    no_secret_in(disturbed, disturbed / "run.log", stack)


@pytest.mark.rare
def test_no_secret_is_in_what_a_judged_run_leaves(judged: Path, stack: Stack) -> None:
    no_secret_in(judged, judged / "judged.log", stack)


def no_secret_in(output: Path, log: Path, stack: Stack) -> None:
    words = {
        value.encode()
        for name, keys in stack.secrets.items()
        for key, value in keys.items()
        if key.endswith(("PASSWORD", "KEY", "TOKEN", "ID")) and len(value) > 8
    }
    assert len(words) > 8
    files = [*stack.processes.logs.iterdir(), *output.rglob("*.json*"), log]
    for file in files:
        content = file.read_bytes()
        assert not [word for word in words if word in content], file


def test_a_full_disk_is_one_sentence_and_the_next_run_goes_on(
    stack: Stack, smoke: Path, tmp_path: Path
) -> None:
    """A disk on which the first stage's work fits, but not its artifact beside it."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1800k", "tmpfs", str(disk)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        missing("this test mounts a small disk, which needs root")
    command = [
        sys.executable, "-m", "pipelines.cli", "run", "smoke", "--until", "synthetic_data",
        "--output", str(disk / "run"),
    ]  # fmt: skip
    # An archive of its own, for what another test's run has made would be fetched.
    environment = {
        **os.environ, **EXACT, **stack.environment, "REALMAT_RUNS": str(tmp_path),
        "REALMAT_ARCHIVE": "s3://realmat/full-disk",
    }  # fmt: skip
    try:
        done = subprocess.run(
            command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 2, done.stdout + done.stderr
        assert "No space left" in done.stderr
        assert "Traceback" not in done.stderr + done.stdout
        assert not list((disk / "run" / "store").glob("*/*/manifest.json"))
        resize = ["mount", "-o", "remount,size=200m", str(disk)]
        subprocess.run(resize, check=True)
        done = subprocess.run(
            command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        made = {
            path.parent.name: json.loads(path.read_text())["content_hash"]
            for path in (disk / "run" / "store").glob("*/*/manifest.json")
        }
        assert made
        for key, content in made.items():
            assert read_manifest(smoke / "store" / "synthetic_data" / key).content_hash == content
        pages = client_of(stack.environment).get_paginator("list_objects_v2")
        found = pages.paginate(Bucket="realmat", Prefix="full-disk/")
        archived = [item["Key"] for page in found for item in page["Contents"]]
        assert {key.split("/")[2] for key in archived} == set(made)
        assert {key for key in archived if key.endswith("manifest.json")} == {
            f"full-disk/synthetic_data/{key}/manifest.json" for key in made
        }
        _compare_metrics(stack, smoke)
    finally:
        subprocess.run(["umount", str(disk)], check=False)


def _compare_metrics(stack: Stack, smoke: Path) -> None:
    """Whatever the newest runs of the first stage say, the undisturbed ones say, and no less."""
    found = []
    with pytest.MonkeyPatch.context() as patch:
        for name, value in stack.environment.items():
            patch.setenv(name, value)
        for address in (
            f"sqlite:///{smoke / 'mlflow.db'}",
            stack.environment["MLFLOW_TRACKING_URI"],
        ):
            client = MlflowClient(address)
            experiment = client.get_experiment_by_name("realmat")
            assert experiment is not None
            stages = client.search_runs(
                [experiment.experiment_id], "tags.stage = 'synthetic_data'",
                order_by=["attributes.start_time DESC"],
            )  # fmt: skip
            parent = stages[0].data.tags["mlflow.parentRunId"]
            runs = [run for run in stages if run.data.tags["mlflow.parentRunId"] == parent]
            assert {run.info.status for run in runs} == {"FINISHED"}
            found.append(
                {
                    (run.data.params["part"], name, f"{value:.6f}")
                    for run in runs
                    for name, value in run.data.metrics.items()
                    if not any(measured in name for measured in MEASURED)
                }
            )
    assert found[0] == found[1]
    assert len({part for part, *_ in found[0]}) == 2
