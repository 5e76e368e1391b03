"""Synthetic data: as many grids as asked for, honest splits, the same again after a kill."""

import json
from pathlib import Path

import numpy as np
import pytest

from components.core.materials.files import save_material
from components.core.materials.library.catalogue import sample
from components.core.materials.prompts import is_heldout, prompt_of
from components.core.platform.artifacts import open_artifact
from components.core.platform.tracking import NullTracker
from components.synthetic_data import stage
from components.synthetic_data.config import Config

CONFIG = Config(seed=3, base_materials=32, variations=48, map_size=16, oversampling=1)


def make(folder: Path, config: Config = CONFIG, materials: str = "") -> Path:
    stage.run(
        config,
        materials=materials,
        output=folder / "out",
        work=folder / "work",
        tracker=NullTracker(),
    )
    return open_artifact(folder / "out", "material-grids")


def index(folder: Path) -> list[dict[str, str]]:
    return [json.loads(line) for line in (folder / "index.jsonl").read_text().splitlines()]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make(tmp_path_factory.mktemp("synthetic"))


def test_the_number_of_grids_is_the_one_asked_for(made: Path) -> None:
    assert np.load(made / "grids.npy").shape == (48, 32, 32, 3)
    assert len(index(made)) == 48


def test_heldout_prompts_are_in_the_test_split_only(made: Path) -> None:
    for entry in index(made):
        heldout = is_heldout(prompt_of(entry["category"], entry["caption"]))
        assert entry["split"] == ("test" if heldout else "train")


def test_only_metals_are_metallic(made: Path) -> None:
    metallic = np.load(made / "grids.npy")[:, 16:, 16:].reshape(48, -1).max(axis=1)
    is_metal = np.array([entry["category"] == "metal" for entry in index(made)])
    assert metallic[~is_metal].max() == 0
    assert metallic[is_metal].max() > 200


def test_a_killed_run_ends_with_the_same_grids(made: Path, tmp_path: Path) -> None:
    class Killed(Exception):
        pass

    class Dying(NullTracker):
        def log_image(self, image: object, name: str) -> None:
            raise Killed

    with pytest.raises(Killed):
        stage.run(
            CONFIG, materials="", output=tmp_path / "out", work=tmp_path / "work", tracker=Dying()
        )
    assert not (tmp_path / "out").exists()
    (tmp_path / "work" / "grids-00001.npz").unlink()
    assert np.array_equal(np.load(make(tmp_path) / "grids.npy"), np.load(made / "grids.npy"))


def test_given_materials_take_their_share_and_are_never_held_out(tmp_path: Path) -> None:
    for name in ("oak", "birch"):
        wood = sample("wood", np.random.default_rng(len(name)), 32)
        save_material(wood, tmp_path / "sets" / name)
    entries = index(make(tmp_path, materials=str(tmp_path / "sets")))
    given = [entry for entry in entries if entry["source"] == "materials"]
    assert len(given) == 24
    assert {entry["split"] for entry in given} == {"train"}
    counts = json.loads((tmp_path / "out" / "counts.json").read_text())
    assert counts["materials"] == 2
