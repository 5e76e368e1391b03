"""The alias moves and the demo moves with it; the registry goes and the demo stays."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import mlflow
import pytest

from apps.materials.ask import Ask
from apps.materials.champion import Champion
from apps.materials.scheduler import ENDED
from apps.materials.studio import Studio
from components.core.errors import UserError
from components.core.generator import ModelVersion, registered_version
from tests.apps.studios import FakeGenerator
from tests.evaluation.micro import FlatRenderer, environments
from tests.registry import tracking


class Registry:
    """Which version the alias stands for; `down` answers nothing."""

    def __init__(self) -> None:
        self.number, self.down, self.loaded = "3", False, 0

    def version(self) -> ModelVersion:
        if self.down:
            raise UserError("no answer")
        return ModelVersion("realmat", self.number, "champion")

    def load(self) -> FakeGenerator:
        self.loaded += 1
        return FakeGenerator(self.version().version)


def test_a_new_champion_takes_over_and_is_loaded_once() -> None:
    registry = Registry()
    champion = Champion(FakeGenerator("3"), registry.load, registry.version)
    assert not champion.look()
    registry.number = "4"
    assert champion.look()
    assert not champion.look()
    assert champion.current.version.version == "4"
    assert registry.loaded == 1


def test_without_the_registry_the_last_model_goes_on(caplog: pytest.LogCaptureFixture) -> None:
    registry = Registry()
    champion = Champion(FakeGenerator("3"), registry.load, registry.version)
    registry.down = True
    for _ in range(3):
        assert not champion.look()
    assert champion.current.version.version == "3"
    assert [r.getMessage() for r in caplog.records] == ["registry does not answer"]
    registry.down, registry.number = False, "5"
    assert champion.look()
    assert champion.current.version.version == "5"


def test_a_broken_new_version_does_not_end_the_old_one() -> None:
    registry = Registry()
    tried = threading.Event()

    def load() -> FakeGenerator:
        tried.set()
        raise RuntimeError("half a file")

    champion = Champion(FakeGenerator("3"), load, registry.version, seconds=0.01)
    registry.number = "4"
    champion.follow()
    assert tried.wait(5)
    tried.clear()
    assert tried.wait(5)  # it goes on looking
    champion.stop()
    assert champion.current.version.version == "3"


def test_no_request_fails_while_the_alias_moves(tmp_path: Path) -> None:
    registry = Registry()
    champion = Champion(FakeGenerator("3"), registry.load, registry.version, seconds=0.01)
    studio = Studio.open(champion, FlatRenderer(), environments(), tmp_path)
    studio.start()
    versions = set()
    deadline = time.monotonic() + 20
    while "9" not in versions:
        assert time.monotonic() < deadline
        job = studio.submit("s", Ask(prompt="brick", count=2, seed=1))
        while (view := studio.scheduler.view(job)).state not in ENDED:
            studio.scheduler.wait(job, view.version, 1)
        assert view.state == "done"
        made = {studio.shelf.card(name).version for name in view.made}
        assert len(made) == 1  # a batch is made by one model
        versions |= made
        registry.number = str(min(9, int(registry.number) + 1))
    studio.stop()
    assert len(versions) > 1


def test_the_version_behind_an_alias_of_a_real_registry(tmp_path: Path) -> None:
    with tracking(f"sqlite:///{tmp_path / 'mlflow.db'}"):
        client = mlflow.MlflowClient()
        client.create_registered_model("stone")
        for number in (1, 2):
            client.create_model_version("stone", source=str(tmp_path))
            client.set_registered_model_alias("stone", "champion", str(number))
            found = registered_version("models:/stone@champion")
            assert found == ModelVersion("stone", str(number), "champion")
        assert registered_version("models:/stone/1") == ModelVersion("stone", "1", "")
        with pytest.raises(UserError, match="not in the model registry"):
            registered_version("models:/stone@nobody")
