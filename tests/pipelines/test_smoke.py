"""The smoke recipe through the command line, end to end: once in earnest, once reused."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from mlflow import MlflowClient

from components.core.platform.artifacts import point
from pipelines.parent_run import close_run
from pipelines.recipe import STAGES, load_recipe
from tests.pipelines.conftest import realmat
from tests.registry import tracking


def report_of(output: Path) -> dict[str, Any]:
    return dict(json.loads((output / "report" / "report.json").read_text()))


def test_the_report_has_the_keys_of_its_contract(smoke: Path) -> None:
    report = report_of(smoke)
    assert report["recipe"] == "smoke"
    assert [stage["name"] for stage in report["stages"]] == list(STAGES)
    assert all(stage["seconds"] > 0 for stage in report["stages"])
    assert {"real_mean", "synthetic_mean", "holdout_auc", "tv"} <= set(report["reward"])
    assert {"std_with", "std_without"} <= set(report["reward"]["tv"])
    assert {"epochs", "train_reward", "heldout_reward"} <= set(report["ddpo"])
    keys = {"pairs", "before_mean", "after_mean", "difference", "ci95", "p_value"}
    assert keys <= set(report["before_after"])
    assert keys <= set(report["gold"])
    assert set(report["clip_score"]) >= {"before", "after"}
    assert set(report["diversity"]) >= {"before", "after"}
    assert report["model"]["name"] == "realmat"
    assert report["model"]["alias"] in ("champion", "candidate")
    low, high = report["before_after"]["ci95"]
    assert low <= report["before_after"]["difference"] <= high
    html = (smoke / "report" / "report.html").read_text()
    assert "simulated" in html
    assert "http://" not in html.replace("http://www.w3.org", "")


def test_mlflow_has_one_run_for_the_pipeline_and_one_below_it_for_each_stage(smoke: Path) -> None:
    client = MlflowClient(f"sqlite:///{smoke / 'mlflow.db'}")
    experiment = client.get_experiment_by_name("realmat")
    assert experiment is not None
    runs = client.search_runs([experiment.experiment_id])
    (parent,) = [run for run in runs if "mlflow.parentRunId" not in run.data.tags]
    children = {run.data.tags["stage"]: run for run in runs if run is not parent}
    assert set(children) == set(STAGES)
    assert {run.info.status for run in runs} == {"FINISHED"}
    assert {r.data.tags["mlflow.parentRunId"] for r in children.values()} == {parent.info.run_id}
    lineage = children["ddpo_lora"].data.tags
    assert lineage["input.model"] == children["sdxl_finetune"].data.tags["output"]
    assert children["ddpo_lora"].data.params["epochs"] == "2"
    assert children["sdxl_finetune"].inputs.dataset_inputs
    assert list((smoke / "mlartifacts").rglob("report.html"))


def test_a_second_run_reuses_all_stages(smoke: Path) -> None:
    first = report_of(smoke)
    done = realmat("run", "smoke", runs=smoke.parent)
    assert done.returncode == 0, done.stderr
    reused = [stage for stage in STAGES if f"{stage}: reused" in done.stdout]
    fresh = ("promotion_gate", "registration")  # they look at, and change, the registry
    assert reused == [stage for stage in STAGES if stage not in fresh]
    second = report_of(smoke)
    assert second["before_after"] == first["before_after"]
    assert second["model"]["version"] == first["model"]["version"]
    for before, after in zip(first["stages"][:-2], second["stages"][:-2], strict=True):
        assert before == after


def test_the_registered_model_generates_and_scores(smoke: Path, tmp_path: Path) -> None:
    alias = report_of(smoke)["model"]["alias"]
    uri = f"models:/realmat@{alias}"
    (smoke.parent / "champion").write_text(str(smoke))
    out = tmp_path / "brick"
    done = realmat(
        *("generate", "old red brick wall", "--model", uri, "--format", "zip", "-o", str(out)),
        runs=smoke.parent,
    )
    assert done.returncode == 0, done.stderr
    maps = {"albedo.png", "height.png", "roughness.png", "metallic.png", "normal.png"}
    assert {*maps, "material.json", "old-red-brick-wall.zip"} <= {p.name for p in out.iterdir()}
    sheet = json.loads((out / "material.json").read_text())
    assert sheet["prompt"] == "old red brick wall"
    scored = realmat("score", str(out / "albedo.png"), "--model", uri, runs=smoke.parent)
    assert scored.returncode == 0, scored.stderr
    line = json.loads(scored.stdout)
    assert set(line) == {"image", "score"}
    assert isinstance(line["score"], float)


def carried(given: Any, folder: Path) -> Any:
    """What an engine hands to a task in place of artifacts: their manifests and names."""
    if isinstance(given, list):
        return [carried(one, folder) for one in given]
    if not isinstance(given, SimpleNamespace):
        return given
    target = folder / "carried" / Path(given.path).name
    point(Path(given.path), target)
    return SimpleNamespace(path=str(target))


def test_a_cluster_composes_the_same_report(smoke: Path, tmp_path: Path) -> None:
    """What the pipeline's last task does where nobody waits for the run."""
    client = MlflowClient(f"sqlite:///{tmp_path / 'mlflow.db'}")
    experiment = client.create_experiment("realmat", (tmp_path / "files").as_uri())
    run = client.create_run(experiment).info.run_id
    made: dict[str, list[SimpleNamespace]] = {stage: [] for stage in STAGES}
    lines = (smoke / "report" / "report.json").read_text()
    for manifest in sorted((smoke / "store").glob("*/*/manifest.json")):
        made[manifest.parent.parent.name].append(SimpleNamespace(path=str(manifest.parent)))
    several = ("synthetic_data", "photo_embedding")
    given: dict[str, Any] = {s: f if s in several else f[0] for s, f in made.items()}
    folder = Path(given["registration"].path)
    registered = json.loads((folder / "registration.json").read_text())
    given["registration"] = json.dumps({**registered, "seconds": 1.0})
    settings = load_recipe("smoke", []).model_dump_json()
    with tracking(f"sqlite:///{tmp_path / 'mlflow.db'}"):
        close_run.python_func(
            given="", run=run, recipe="smoke", settings=settings, photos="", environments="",
            materials="", **{name: carried(one, tmp_path) for name, one in given.items()},
        )  # fmt: skip
    assert client.get_run(run).info.status == "FINISHED"
    local = json.loads(lines)
    report = json.loads((tmp_path / "files" / run / "artifacts/report/report.json").read_text())
    assert [stage["name"] for stage in report["stages"]] == list(STAGES)
    assert {**report, "stages": []} == {**local, "stages": []}
    assert (tmp_path / "files" / run / "artifacts/report/report.html").stat().st_size > 10_000
