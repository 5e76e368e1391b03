"""Champions in a real registry, taken back and promoted again."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from mlflow import MlflowClient

from components.core.errors import UserError
from components.registration.promotion import COMPANION, promote, promotions, rollback


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three versions of a model and its reward; made once, since MLflow takes seconds to."""
    folder = tmp_path_factory.mktemp("registry")
    client = MlflowClient(f"sqlite:///{folder / 'mlflow.db'}")
    for name in ("stone", "stone-reward"):
        client.create_registered_model(name)
    for number in (1, 2, 3):
        client.create_model_version("stone", source=str(folder))
        client.create_model_version("stone-reward", source=str(folder))
        client.set_model_version_tag("stone", str(number), COMPANION, f"stone-reward/{number}")
    return folder / "mlflow.db"


@pytest.fixture
def client(database: Path, tmp_path: Path) -> MlflowClient:
    shutil.copyfile(database, tmp_path / "mlflow.db")
    return MlflowClient(f"sqlite:///{tmp_path / 'mlflow.db'}")


def champion(client: MlflowClient, name: str = "stone") -> str:
    return str(client.get_model_version_by_alias(name, "champion").version)


def test_back_to_the_champion_before_with_its_reward(client: MlflowClient) -> None:
    for number in ("1", "2"):
        assert promote(client, "stone", number, "champion") == "champion"
        promote(client, "stone-reward", number, "champion")
    assert rollback(client, "stone") == ("2", "1")
    assert (champion(client), champion(client, "stone-reward")) == ("1", "1")
    rows = {one.version: (one.champion, bool(one.withdrawn)) for one in promotions(client, "stone")}
    assert rows == {"2": (False, True), "1": (True, False)}


def test_the_gate_does_not_undo_what_a_person_took_back(client: MlflowClient) -> None:
    for number in ("1", "2"):
        promote(client, "stone", number, "champion")
    rollback(client, "stone")
    assert promote(client, "stone", "2", "champion") == "candidate"
    assert champion(client) == "1"
    assert rollback(client, "stone", to="2") == ("1", "2")
    assert promote(client, "stone", "2", "champion") == "champion"
    # The next one is as good as any, and its way back leads to the version before it.
    assert promote(client, "stone", "3", "champion") == "champion"
    assert rollback(client, "stone") == ("3", "2")


def test_a_champion_that_made_room_for_a_later_one_is_still_a_way_back(
    client: MlflowClient,
) -> None:
    for number in ("1", "2", "3"):
        promote(client, "stone", number, "champion")
    assert rollback(client, "stone") == ("3", "2")
    assert rollback(client, "stone", to="3") == ("2", "3")  # forward: nothing was wrong with 2
    assert rollback(client, "stone") == ("3", "2")
    assert rollback(client, "stone") == ("2", "1")


def test_a_promotion_that_was_cut_off_ends_with_a_way_back(
    client: MlflowClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    promote(client, "stone", "1", "champion")

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    for step in ("set_registered_model_alias", "set_model_version_tag"):
        with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
            patch.setattr(client, step, killed)
            promote(client, "stone", "2", "champion")
    promote(client, "stone", "2", "champion")
    promote(client, "stone", "3", "champion")
    assert rollback(client, "stone", to="2") == ("3", "2")


def test_a_champion_whose_note_is_missing_gets_one(client: MlflowClient) -> None:
    client.set_registered_model_alias("stone", "champion", "1")
    assert promotions(client, "stone") == []
    promote(client, "stone", "1", "champion")
    assert [one.version for one in promotions(client, "stone")] == ["1"]


def test_what_never_passed_the_gate_is_refused(client: MlflowClient) -> None:
    with pytest.raises(UserError, match="no champion"):
        rollback(client, "stone")
    with pytest.raises(UserError, match="no champion"):
        rollback(client, "nobody")
    promote(client, "stone", "1", "champion")
    promote(client, "stone", "2", "candidate")
    with pytest.raises(UserError, match="no earlier champion"):
        rollback(client, "stone")
    with pytest.raises(UserError, match=r"never passed the gate.*\(1\)"):
        rollback(client, "stone", to="2")
    with pytest.raises(UserError, match="already"):
        rollback(client, "stone", to="1")
    assert champion(client) == "1"


def test_the_command(client: MlflowClient, tmp_path: Path) -> None:
    for number in ("1", "2"):
        promote(client, "stone", number, "champion")
    command = [sys.executable, "-m", "pipelines.cli", "rollback", "--name", "stone"]
    environment = {**os.environ, "MLFLOW_TRACKING_URI": f"sqlite:///{tmp_path / 'mlflow.db'}"}
    answers = [
        subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        for _ in range(2)
    ]
    assert [answer.returncode for answer in answers] == [0, 2]
    assert "version 1 is champion again" in answers[0].stdout
    assert answers[1].stderr.count("\n") == 1
    assert "no earlier champion" in answers[1].stderr
