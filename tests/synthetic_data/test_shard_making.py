"""A sample that kills, raises or dawdles is tried again, then left out; the others are as ever."""

import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from components.core.materials.grid import pack_uint8
from components.core.materials.shards import GridShards
from components.core.platform.artifacts import open_artifact
from components.core.platform.tracking import NullTracker
from components.synthetic_data import shard_making, stage, worker
from components.synthetic_data.config import Config
from components.synthetic_data.plan import Maker, Plan

CONFIG = Config(
    seed=3, base_materials=32, variations=48, map_size=16, oversampling=1, samples_per_shard=20,
    renderings=0, processes=2, sample_timeout=4.0,
)  # fmt: skip
MARKS = "MARKS_OF_TRIES"


def fragile(plan: Plan, environments: str) -> Callable[[worker.Shard], Any]:
    real = worker.make_sample

    def make(plan: Plan, maker: Any, light: Any, number: int) -> Any:
        mark = Path(os.environ[MARKS]) / str(number)
        first = not mark.exists()
        mark.touch()
        if number == 7 or (number == 3 and first):
            os.abort()
        if number == 25:
            time.sleep(600.0)
        if number == 11 or (number == 10 and first):
            raise ValueError("no such bark")
        return real(plan, maker, light, number)

    worker.make_sample = make
    return worker.prepare(plan, environments)


def run(folder: Path, config: Config = CONFIG) -> Path:
    sources = {"materials": "", "environments": "", "tracker": NullTracker()}
    stage.run(config, output=folder / "out", work=folder / "work", **sources)
    return open_artifact(folder / "out", "material-grids")


def rows(file: Path) -> list[dict[str, str]]:
    return [json.loads(line) for line in file.read_text().splitlines()]


@pytest.fixture
def hurt(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "marks").mkdir()
    monkeypatch.setenv(MARKS, str(tmp_path / "marks"))
    monkeypatch.setattr(shard_making, "prepare", fragile)


def check(folder: Path, config: Config, reasons: dict[str, str]) -> None:
    """Exactly the grids with reasons lack, and the others are what they are without trouble."""
    assert {row["source"]: row["reason"] for row in rows(folder / "rejected.jsonl")} == reasons
    counts = json.loads((folder / "counts.json").read_text())
    kept = config.variations - len(reasons)
    assert (counts["grids"], counts["grids_failed"]) == (kept, len(reasons))
    keys = [row["key"] for row in rows(folder / "index.jsonl")]
    names = [f"{number:08d}" for number in range(config.variations)]
    assert keys == [name for name in names if f"grid {name}" not in reasons]
    maker, grids = Maker(Plan(config, [])), GridShards.open([folder])
    for place, key in enumerate(keys):
        made = pack_uint8(maker.material(int(key)).resized(config.map_size))
        np.testing.assert_array_equal(grids.grid(place), made)


@pytest.mark.usefixtures("hurt")
def test_one_bad_sample_costs_itself_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shard_making, "SHARE", 0.1)
    config = CONFIG.model_copy(update={"variations": 20, "processes": 1})
    reasons = {
        "grid 00000007": "the process ended with exit code -6",
        "grid 00000011": "ValueError: no such bark",
    }
    check(run(tmp_path, config), config, reasons)


@pytest.mark.rare
@pytest.mark.usefixtures("hurt")
def test_too_many_bad_samples_stop_the_stage_and_late_ones_are_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(2):  # the second time much of it is there
        with pytest.raises(RuntimeError, match=r"[23] of 48 grids could not be made, over 1%"):
            run(tmp_path)
        assert not (tmp_path / "out").exists()
    monkeypatch.setattr(shard_making, "SHARE", 0.1)
    reasons = {
        "grid 00000007": "the process ended with exit code -6",
        "grid 00000011": "ValueError: no such bark",
        "grid 00000025": "it took longer than 4 seconds",
    }
    check(run(tmp_path), CONFIG, reasons)


def test_processes_that_cannot_begin_are_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(MARKS, raising=False)
    monkeypatch.setattr(shard_making, "prepare", dying)
    with pytest.raises(RuntimeError, match="could not be made: the process ended with exit code"):
        run(tmp_path)


def dying(plan: Plan, environments: str) -> Callable[[worker.Shard], Any]:
    os.abort()
