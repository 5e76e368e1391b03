"""The reward in a real MLflow registry: the same scores, its card, and the model's alias."""

from __future__ import annotations

import io
import json
import os
import shutil
from pathlib import Path

import mlflow
import numpy as np
import pandas as pd
import pytest
from PIL import Image
from pydantic import ValidationError

from components.core.errors import UserError
from components.core.generator import load_reward, locate
from components.core.platform.artifacts import new_artifact
from components.core.realism.scorer import LinearScorer
from components.registration.config import Config
from components.registration.registry import LONGEST
from pipelines.cli import main
from tests.evaluation.micro import NoConfig
from tests.registration.conftest import GOOD, write_evaluation
from tests.registration.test_stage import register

pytestmark = pytest.mark.usefixtures("store")


def files(count: int = 5) -> list[bytes]:
    """Different PNG files, larger and smaller than what is read of them."""
    found = []
    for seed, side in enumerate(np.linspace(20, 300, count).astype(int)):
        pixels = np.random.default_rng(seed).integers(0, 256, (side, side + 7, 3), dtype=np.uint8)
        stream = io.BytesIO()
        Image.fromarray(pixels).save(stream, "PNG")
        found.append(stream.getvalue())
    return found


def another_reward(reward: Path, folder: Path, card: str = "# Another\n") -> Path:
    """The artifact with other weights and another card."""
    with new_artifact(folder, "realism-scorer", "test", NoConfig()) as target:
        shutil.copytree(reward, target, dirs_exist_ok=True)
        scorer = LinearScorer.load(reward / "reward")
        LinearScorer(scorer.weight + 1, scorer.bias).save(target / "reward")
        (target / "card.md").write_text(card)
    return folder


def poor(tmp_path: Path) -> Path:
    """An evaluation that does not pass the gate."""
    write_evaluation(tmp_path / "poor", {**GOOD, "diversity": {"before": 0.5, "after": 0.1}})
    return tmp_path / "poor"


def test_the_registered_reward_scores_as_its_artifact_bit_for_bit(
    run_folders: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    register(run_folders, tmp_path, "judge")
    images = files()
    expected = load_reward(str(run_folders["reward"])).files(images)
    assert len(set(expected.tolist())) == len(images)
    reward, model = "models:/judge-reward@champion", "models:/judge@champion"
    for uri in (reward, model, str(locate(model)[0])):
        np.testing.assert_array_equal(load_reward(uri).files(images), expected, strict=True)
    table = pd.DataFrame({"image": images})
    answer = mlflow.pyfunc.load_model(reward).predict(table)
    np.testing.assert_array_equal(answer["score"].to_numpy(), expected, strict=True)

    # What people type takes the same way.
    names = [str(tmp_path / f"{i}.png") for i in range(len(images))]
    for name, content in zip(names, images, strict=True):
        Path(name).write_bytes(content)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(os.environ, "MLFLOW_TRACKING_URI", mlflow.get_tracking_uri())
        capsys.readouterr()
        assert main(["score", *names, "--model", reward]) == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["score"] for line in lines] == [round(float(score), 6) for score in expected]


def test_what_is_registered_scores_where_its_clip_model_cannot_be_fetched(
    run_folders: dict[str, Path], tmp_path: Path
) -> None:
    """As in the demo's pods, which reach no internet."""
    fetched = tmp_path / "fetched"
    clip = json.loads((run_folders["reward"] / "clip.json").read_text())["uri"]
    shutil.copytree(clip, fetched)
    with new_artifact(tmp_path / "elsewhere", "realism-scorer", "test", NoConfig()) as target:
        shutil.copytree(run_folders["reward"], target, dirs_exist_ok=True)
        (target / "clip.json").write_text(json.dumps({"uri": str(fetched)}))
    expected = load_reward(str(run_folders["reward"])).files(files())
    registered = register(run_folders, tmp_path, "alone", reward=tmp_path / "elsewhere")
    again = register(run_folders, tmp_path, "alone", reward=tmp_path / "elsewhere")
    assert again["version"] == registered["version"]
    assert again["reward"]["version"] == registered["reward"]["version"]
    shutil.rmtree(fetched)
    for uri in ("models:/alone-reward@champion", "models:/alone@champion"):
        np.testing.assert_array_equal(load_reward(uri).files(files()), expected, strict=True)


def test_the_card_the_labels_and_the_measures_lie_in_the_registry(
    run_folders: dict[str, Path], tmp_path: Path
) -> None:
    register(run_folders, tmp_path, "carded")
    client = mlflow.MlflowClient()
    found = client.get_model_version_by_alias("carded-reward", "champion")
    assert found.description == (run_folders["reward"] / "card.md").read_text()
    assert found.tags["labels.sets.photographs.judged"] == "4"
    assert found.tags["labels.sets.generated.threshold"] == "0.4"
    assert found.tags["labels.alpha"] == "0.61"
    logged = client.get_logged_model(found.source.removeprefix("models:/"))
    assert logged.params["tv_weight"] == "100.0"
    measured = {metric.key: metric.value for metric in logged.metrics or []}
    assert measured["holdout_auc"] == 0.95
    assert measured["tv.std_with"] == 0.03
    folder = Path(mlflow.artifacts.download_artifacts("models:/carded-reward@champion"))
    names = [path.name for path in folder.rglob("*") if path.is_file()]
    assert "card.md" in names
    assert not [n for n in names if n.endswith((".pkl", ".pt", ".pth", ".bin", ".ckpt"))]


def test_a_card_longer_than_the_database_takes_is_cut_there_only(
    run_folders: dict[str, Path], tmp_path: Path
) -> None:
    card = "# Long\n" + "x" * 2 * LONGEST
    long = another_reward(run_folders["reward"], tmp_path / "long", card)
    register(run_folders, tmp_path, "long", reward=long)
    found = mlflow.MlflowClient().get_model_version("long-reward", "1")
    assert len(found.description) == LONGEST
    assert found.description.endswith("of the model's artifacts)")
    folder = Path(mlflow.artifacts.download_artifacts("models:/long-reward/1"))
    assert (folder / "artifacts" / "reward" / "card.md").read_text() == card


def test_the_champions_reward_is_the_champion_of_rewards(
    run_folders: dict[str, Path], tmp_path: Path
) -> None:
    first = register(run_folders, tmp_path, "pair")
    assert (first["reward"]["version"], first["reward"]["alias"]) == ("1", "champion")
    other = another_reward(run_folders["reward"], tmp_path / "other")
    # A model that does not pass takes its reward with it.
    worse = register(run_folders, tmp_path, "pair", reward=other, evaluation=poor(tmp_path))
    assert (worse["alias"], worse["reward"]["alias"]) == ("candidate", "candidate")
    client = mlflow.MlflowClient()
    assert client.get_model_version_by_alias("pair-reward", "champion").version == 1
    # One that passes moves both.
    better = register(run_folders, tmp_path, "pair", reward=other)
    assert (better["alias"], better["reward"]["alias"]) == ("champion", "champion")
    assert (better["version"], better["reward"]["version"]) == ("2", "2")
    images = files(2)
    np.testing.assert_array_equal(
        load_reward("models:/pair-reward@champion").files(images),
        load_reward("models:/pair@champion").files(images),
    )
    # Another model with the champion's reward, which fails, does not take the alias from it.
    lora = tmp_path / "lora"
    with new_artifact(lora, "lora", "test", NoConfig()) as target:
        shutil.copytree(run_folders["lora"], target, dirs_exist_ok=True)
        (target / "note.txt").write_text("another adapter")
    third = register(
        run_folders, tmp_path, "pair", lora=lora, reward=other, evaluation=poor(tmp_path)
    )
    assert (third["version"], third["alias"]) == ("3", "candidate")
    assert (third["reward"]["version"], third["reward"]["alias"]) == ("2", "champion")


def test_a_reward_is_no_generator_and_says_so(run_folders: dict[str, Path], tmp_path: Path) -> None:
    register(run_folders, tmp_path, "apart")
    with pytest.raises(UserError, match="no material model"):
        locate("models:/apart-reward@champion")


def test_model_and_reward_need_two_names() -> None:
    with pytest.raises(ValidationError, match="cannot both"):
        Config(name="one", reward_name="one")
