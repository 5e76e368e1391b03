"""Registering in a real MLflow store: one version per content, the alias by the gate."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pandas as pd
import pytest
from PIL import Image

from components.core.errors import UserError
from components.core.generator import MaterialGenerator, load_reward, locate
from components.core.platform.tracking import NullTracker
from components.promotion_gate import stage as judged
from components.promotion_gate.config import Config as Gate
from components.registration.config import Config
from components.registration.provenance import OWN, origins
from components.registration.stage import run
from pipelines.commands_evaluate import settled
from tests.registration.conftest import GOOD, write_evaluation

pytestmark = pytest.mark.usefixtures("store")


def judge(evaluation: Path, tmp_path: Path, name: str) -> Any:
    """gate.json of the stage `promotion_gate`."""
    judged.run(
        Gate(name=name),
        evaluation=evaluation,
        output=tmp_path / "gate",
        work=tmp_path / "work-gate",
        tracker=NullTracker(),
    )
    return json.loads((tmp_path / "gate" / "gate.json").read_text())


def register(
    folders: dict[str, Path], tmp_path: Path, name: str, parent: str = "", **changes: Path
) -> Any:
    """What the gate and then the branch of the pipeline that it chooses do."""
    given = {**folders, **changes}
    verdict = judge(given["evaluation"], tmp_path, name)["verdict"]
    with mlflow.start_run(tags={"mlflow.parentRunId": parent} if parent else {}):
        run(
            Config(name=name, reward_name=f"{name}-reward", alias=verdict),
            **given,
            gate=tmp_path / "gate",
            output=tmp_path / "registration",
            work=tmp_path / "work",
            tracker=NullTracker(),
        )
    return json.loads((tmp_path / "registration" / "registration.json").read_text())


def test_the_registered_model_generates_what_the_folder_generates(
    run_folders: dict[str, Path], tmp_path: Path
) -> None:
    result = register(run_folders, tmp_path, "one")
    assert (result["version"], result["alias"]) == ("1", "champion")
    uri = "models:/one@champion"
    registered = MaterialGenerator.load(uri, device="cpu")
    assert str(registered.version) == "one version 1 (champion)"
    assert registered.settings["steps"] == 2  # as it was evaluated
    (material,) = registered.generate(["grey stone"], [7])
    assert material.metadata["version"] == "1"
    (local,) = MaterialGenerator.load(str(tmp_path / "work" / "generator"), "cpu").generate(
        ["grey stone"], [7]
    )
    np.testing.assert_array_equal(material.albedo, local.albedo)

    answer = mlflow.pyfunc.load_model(uri).predict(pd.DataFrame({"prompt": ["grey stone"] * 2}))
    assert list(answer["seed"]) == [0, 1]
    seven = pd.DataFrame({"prompt": ["grey stone"], "seed": [7]})
    answer = mlflow.pyfunc.load_model(uri).predict(seven)
    pixels = np.asarray(Image.open(io.BytesIO(answer["albedo"][0])))
    np.testing.assert_array_equal(pixels, np.round(material.albedo * 255))
    assert Image.open(io.BytesIO(answer["height"][0])).mode == "I;16"

    images = np.zeros((2, 16, 16, 3), np.uint8)
    np.testing.assert_allclose(registered.realism(images), load_reward(uri)(images))


def test_the_same_content_keeps_its_version_and_other_content_gets_another(
    run_folders: dict[str, Path], tmp_path: Path
) -> None:
    first = register(run_folders, tmp_path, "two")
    again = register(run_folders, tmp_path, "two")
    assert first == again
    poor = {**GOOD, "diversity": {"before": 0.5, "after": 0.1}}
    write_evaluation(tmp_path / "poor", poor)
    # The same weights, judged worse: still the same version, and the gate does not demote.
    worse = register(run_folders, tmp_path, "two", evaluation=tmp_path / "poor")
    assert (worse["version"], worse["alias"]) == ("1", "champion")
    other = register({**run_folders}, tmp_path, "three", evaluation=tmp_path / "poor")
    assert (other["version"], other["alias"]) == ("1", "candidate")
    assert locate("models:/three@candidate")[1].version == "1"
    with pytest.raises(UserError, match="models:/three@champion is not in the model registry"):
        locate("models:/three@champion")


def test_the_same_weights_measured_again_are_described_by_what_was_measured_last(
    run_folders: dict[str, Path], tmp_path: Path
) -> None:
    register(run_folders, tmp_path, "again")
    client = mlflow.MlflowClient()
    first = client.get_model_version("again", "1")
    gold = {**GOOD["gold"], "after_mean": 0.47, "difference": 0.013}
    weights = first.tags["weights"]
    write_evaluation(tmp_path / "second", {**GOOD, "gold": gold}, weights)
    # The same weights are no other champion to compare with.
    assert "champion" not in judge(tmp_path / "second", tmp_path, "again")
    assert (
        register(run_folders, tmp_path, "again", evaluation=tmp_path / "second")["version"] == "1"
    )
    found = client.get_model_version("again", "1")
    assert found.tags["weights"] == weights
    assert found.tags["evaluation"] != first.tags["evaluation"]
    assert "gold scorer: +0.0130" in found.description
    assert "Measured again" in found.description
    # A model that comes after is shown the last figures, not the first.
    write_evaluation(tmp_path / "other", GOOD, "others")
    rules = judge(tmp_path / "other", tmp_path, "again")["rules"]
    shown = {rule["name"]: (rule["after"], rule["champion"]) for rule in rules}
    assert shown["gold scorer"] == ("0.4", "0.47")


def test_no_pickle_is_registered(run_folders: dict[str, Path], tmp_path: Path) -> None:
    register(run_folders, tmp_path, "four")
    folder, _ = locate("models:/four/1")
    root = folder.parents[1]
    names = [path.name for path in root.rglob("*") if path.is_file()]
    assert "MLmodel" in names
    assert not [n for n in names if n.endswith((".pkl", ".pt", ".pth", ".bin", ".ckpt"))]


def test_the_card_says_what_the_run_measured_and_the_gate_decided(
    run_folders: dict[str, Path], tmp_path: Path
) -> None:
    register(run_folders, tmp_path, "described")
    found = mlflow.MlflowClient().get_model_version_by_alias("described", "champion")
    card = found.description
    assert "realism: +0.0500, 95 % interval [+0.0100, +0.0900]" in card
    assert "diversity: 0.500 → 0.470" in card
    assert "tile's border" not in card  # not measured, so not said
    assert card.count("- passed: ") == 5
    assert "licences of the materials: CC0-1.0 (12 grids)" in card
    assert "seed of the evaluation: 7" in card
    assert "- processor: " in card
    root = Path(mlflow.artifacts.download_artifacts("models:/described@champion"))
    [file] = root.rglob("generator/card.md")
    assert file.read_text() == card


def test_the_card_says_whose_the_parts_are_and_holds_the_recipe(
    run_folders: dict[str, Path], tmp_path: Path
) -> None:
    client = mlflow.MlflowClient()
    experiment = client.get_experiment_by_name("test")
    assert experiment is not None
    parent = client.create_run(experiment.experiment_id, run_name="paper").info.run_id
    client.log_param(parent, "photos", "s3://photos/flickr")
    base = "stabilityai/stable-diffusion-xl-base-1.0"
    recipe = {
        "name": "paper",
        "sdxl_finetune": {"base_model": base, "iterations": 400_000},
        "ddpo_lora": {"epochs": 110},
        "cluster": {"secret": "pipeline-secrets"},
    }
    client.log_dict(parent, recipe, "recipe.json")
    register(run_folders, tmp_path, "whose", parent)
    card = client.get_model_version_by_alias("whose", "champion").description
    theirs = "under the licence of its source, which this run was not told"
    assert f"- photographs: 512 from s3://photos/flickr, each {theirs}" in card
    assert "- environments: 200 from polyhaven://200, Poly Haven, CC0-1.0" in card
    assert f"- base model: {base} (Stability AI, CreativeML Open RAIL++-M" in card
    assert f"/clip, {theirs}" in card
    assert f"- sdxl_finetune: base_model = {base}, iterations = 400000" in card
    assert "- ddpo_lora: epochs = 110" in card
    assert "pipeline-secrets" not in card


def test_the_stand_ins_of_a_run_without_data_are_told_as_such() -> None:
    data = {"photographs": {"kept": 9, "embedded": 9}, "environments": {"count": 24, "uri": ""}}
    recipe = {"sdxl_finetune": {"base_model": "small"}}
    lines = list(origins({"data": data}, recipe, {}, "ViT-L-14|openai"))
    assert lines[0] == "- photographs: none; 9 renderings by this project stand in for them, " + OWN
    assert lines[1] == f"- environments: 24, made by this project, {OWN}"
    assert lines[2].startswith("- base model: small, trained by this project")
    assert lines[3] == "- CLIP: ViT-L-14|openai (OpenAI, MIT)"
    assert list(origins({}, {}, {}, "")) == []  # what is not known has no line


def test_the_gate_shows_the_champion_before_beside_the_new_model(
    run_folders: dict[str, Path], tmp_path: Path
) -> None:
    assert "champion" not in judge(run_folders["evaluation"], tmp_path, "beside")
    register(run_folders, tmp_path, "beside")
    # Run again, the pipeline finds the model that it has made: there is nothing to compare with.
    assert "champion" not in judge(run_folders["evaluation"], tmp_path, "beside")
    other = {**GOOD, "gold": {**GOOD["gold"], "after_mean": 0.45}}
    write_evaluation(tmp_path / "other", other)
    found = judge(tmp_path / "other", tmp_path, "beside")
    assert (found["champion"]["name"], found["champion"]["version"]) == ("beside", "1")
    rows = {row["figure"]: row for row in found["champion"]["figures"]}
    assert rows["gold score, after"] == {
        "figure": "gold score, after", "this": 0.45, "champion": 0.4, "change": None
    }  # fmt: skip
    assert rows["CLIP score"]["change"] == 0.0
    assert "category recognised, share" not in rows  # neither run measured it
    beside = {rule["name"]: (rule["after"], rule["champion"]) for rule in found["rules"]}
    assert beside["gold scorer"] == ("0.45", "0.4")
    assert beside["diversity within a prompt"] == ("0.29", "0.29")


def test_no_branch_registers_against_the_gates_word(
    run_folders: dict[str, Path], tmp_path: Path
) -> None:
    write_evaluation(tmp_path / "poor", {**GOOD, "diversity": {"before": 0.5, "after": 0.1}})
    assert judge(tmp_path / "poor", tmp_path, "wrong")["verdict"] == "candidate"
    with mlflow.start_run(), pytest.raises(ValueError, match="verdict is candidate"):
        run(
            Config(name="wrong", reward_name="wrong-reward", alias="champion"),
            **run_folders,
            gate=tmp_path / "gate",
            output=tmp_path / "registration",
            work=tmp_path / "work",
            tracker=NullTracker(),
        )
    assert mlflow.MlflowClient().search_model_versions("name = 'wrong'") == []


def test_a_comparison_settles_the_version_of_an_alias_once(
    run_folders: dict[str, Path], tmp_path: Path
) -> None:
    register(run_folders, tmp_path, "settled")
    assert settled("models:/settled@champion") == "models:/settled/1"
    assert settled("small") == "small"
