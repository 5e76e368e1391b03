"""A stage runs once for the same work, again for other work, and resumes after a kill."""

import json
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import components
from components.core.errors import UserError
from components.core.platform.artifacts import open_artifact, read_manifest
from components.core.platform.key import _file_hashes
from components.core.platform.stage import content_hash, execute, run_task

CONFIG = """
from typing import ClassVar
from pydantic import BaseModel
class Config(BaseModel, frozen=True, extra="forbid"):
    MAY_CHANGE: ClassVar[frozenset[str]] = frozenset({"pace"})
    seed: int = 0
    value: int = 1
    pace: int = 1
"""
STAGE = """
from components.core.errors import UserError
from components.core.platform.artifacts import new_artifact
def run(config, *, photos, source=None, output, work, tracker):
    with (work / "attempts").open("a") as file:
        file.write("x")
    if config.value < 0:
        raise UserError("value must not be negative: give another.")
    if config.value >= 9 and len((work / "attempts").read_text()) < 2:
        raise KeyboardInterrupt
    tracker.log_metrics({"loss": 0.5}, step=1)
    with new_artifact(output, "prompts", producer="toy", config=config) as folder:
        if source:
            (folder / "read").write_text((source[0] / "value").read_text())
        (folder / "attempts").write_text((work / "attempts").read_text())
        (folder / "value").write_text(str(config.value))
"""


@pytest.fixture(scope="module")
def toy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    root = tmp_path_factory.mktemp("packages")
    package = root / "toy"
    package.mkdir()
    for name, text in (("__init__", ""), ("config", CONFIG), ("stage", STAGE)):
        (package / f"{name}.py").write_text(text)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(components, "__path__", [*components.__path__, str(root)])
        yield package
    for name in [name for name in sys.modules if name.startswith("components.toy")]:
        del sys.modules[name]


@pytest.fixture
def place(tmp_path: Path, toy: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr("components.core.platform.key.SHARED_SOURCE", ())
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{toy.parent}/mlflow.db")
    monkeypatch.setenv("REALMAT_STORE", str(tmp_path / "store"))
    monkeypatch.setenv("REALMAT_RECORD", str(tmp_path / "record.jsonl"))
    return tmp_path


def run(
    place: Path, output: str, photos: str = "", source: list[Path] | None = None, **config: int
) -> dict[str, object]:
    execute(
        "toy",
        json.dumps(config),
        inputs={"source": source} if source else {},
        output=place / output,
        parameters={"photos": photos},
    )
    return dict(json.loads((place / "record.jsonl").read_text().splitlines()[-1]))


def test_the_same_work_is_done_once(place: Path) -> None:
    (place / "photos").mkdir()
    (place / "photos" / "a.png").write_text("a")
    photos = str(place / "photos")
    first = run(place, "1", photos)
    again = run(place, "2", photos)
    assert (first["reused"], again["reused"]) == (False, True)
    assert again["seconds"] == first["seconds"]
    assert (open_artifact(place / "2", "prompts") / "value").read_text() == "1"
    assert read_manifest(place / "2").content_hash == first["content_hash"]
    assert not run(place, "3", photos, value=2)["reused"]
    (place / "photos" / "b.png").write_text("b")
    assert not run(place, "4", photos)["reused"]


def test_changed_code_is_run_again(place: Path, toy: Path) -> None:
    run(place, "1", value=5)
    (toy / "loss.py").write_text("# another file of the stage\n")
    assert not run(place, "2", value=5)["reused"]


def test_a_killed_stage_finds_its_work_and_its_run(place: Path) -> None:
    import mlflow

    with pytest.raises(KeyboardInterrupt):
        run(place, "1", value=9)
    assert not (place / "1").exists()
    run(place, "1", value=9)
    assert (open_artifact(place / "1", "prompts") / "attempts").read_text() == "xx"
    assert list((place / "store" / "toy").glob("*.work")) == []
    client = mlflow.MlflowClient()
    experiment = client.get_experiment_by_name("realmat")
    assert experiment is not None
    runs = client.search_runs([experiment.experiment_id])
    (killed,) = [run for run in runs if run.data.params["value"] == "9"]
    assert killed.info.status == "FINISHED"
    assert killed.data.metrics["loss"] == 0.5


def test_settings_that_may_change_are_changed_for_a_killed_stage(place: Path, toy: Path) -> None:
    """Its run is continued, though MLflow lets no parameter change; the result is another one."""
    import mlflow

    with pytest.raises(KeyboardInterrupt):
        run(place, "1", value=10)
    (toy / "faster.py").write_text("# the code was changed, too\n")
    with pytest.raises(KeyboardInterrupt):
        run(place, "1", value=11, pace=2)  # other work
    changed = run(place, "1", value=10, pace=2)
    assert (open_artifact(place / "1", "prompts") / "attempts").read_text() == "xx"
    assert run(place, "3", value=10, pace=2)["key"] == changed["key"]
    client = mlflow.MlflowClient()
    experiment = client.get_experiment_by_name("realmat")
    assert experiment is not None
    runs = client.search_runs([experiment.experiment_id])
    (resumed,) = [run for run in runs if run.data.params["value"] == "10"]
    assert resumed.data.params["pace"] == "1"
    assert resumed.data.tags["resumed.pace"] == "2"


def test_a_users_error_is_a_sentence_and_exit_code_2(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stop:
        run_task("toy", config='{"value": -1}', inputs={}, output="x", parameters={"photos": ""})
    assert stop.value.code == 2
    assert "value must not be negative" in capsys.readouterr().out
    assert "value must not be negative" in (place / "record.jsonl").read_text()
    with pytest.raises(UserError, match="does not exist"):
        run(place, "1", str(place / "nowhere"))


def test_parts_of_an_input_count_each_and_in_their_order(place: Path) -> None:
    for name, value in (("1", 1), ("2", 2)):
        run(place, name, value=value)
    one, two = place / "1", place / "2"
    assert content_hash(one) == read_manifest(one).content_hash
    assert len({content_hash(given) for given in (one, [one], [one, two], [two, one])}) == 4
    assert run(place, "3", source=[one, two])["reused"] is False
    assert run(place, "4", source=[one, two])["reused"] is True
    assert run(place, "5", source=[two, one])["reused"] is False


def test_an_engine_carries_a_manifest_and_a_name_not_the_data(place: Path) -> None:
    run(place, "1", value=4)
    assert {path.name for path in (place / "1").iterdir()} == {"manifest.json", "location"}
    # The engine uploads the output and downloads it into another pod, where the volume is the same.
    shutil.move(place / "1", place / "elsewhere")
    run(place, "2", source=[place / "elsewhere"])
    assert (open_artifact(place / "2", "prompts") / "read").read_text() == "4"


def test_an_artifact_that_is_gone_from_the_volume_is_said(place: Path) -> None:
    first = run(place, "1", value=4)
    shutil.rmtree(str(first["artifact"]))
    with pytest.raises(UserError, match=r"names the artifact .*, which is gone .* stage 'toy'"):
        run(place, "2", source=[place / "1"])


def test_without_a_common_volume_the_engine_carries_everything(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("REALMAT_STORE")
    run(place, "1", value=4)
    shutil.rmtree(place / ".store")
    assert (open_artifact(place / "1", "prompts") / "value").read_text() == "4"


def test_what_the_pipeline_sets_goes_on_top_of_the_recipe(place: Path) -> None:
    run_task(
        "toy", config='{"seed": 8, "value": 1}', inputs={}, output=str(place / "out"),
        parameters={"photos": ""}, settings={"value": 3},
    )  # fmt: skip
    assert (open_artifact(place / "out", "prompts") / "value").read_text() == "3"


def test_model_cards_are_no_part_of_a_key() -> None:
    lines = list(_file_hashes("components.core"))
    assert any("weights/clip-small/open_clip_model.safetensors" in line for line in lines)
    assert not any(".md " in line or "training.json" in line for line in lines)
