"""Pairs differ in nothing but the adapter, and the whole stage writes what the report reads."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from components.core.errors import UserError
from components.core.materials.grid import unpack_uint8
from components.core.materials.library.catalogue import sample
from components.core.materials.material import CATEGORIES
from components.core.platform.config_types import Rendering
from components.core.platform.tracking import NullTracker
from components.core.rendering.environments import Environment
from components.evaluation import media, stage
from components.evaluation.comparison import Pair, Side, compare, make_pairs, measure
from components.evaluation.config import Config
from components.evaluation.report import compose_report
from components.evaluation.summaries import read_lines
from tests.evaluation.micro import HELDOUT, FlatRenderer, environments, write_run

ROWS = [{"prompt": f"{c}, number {i}", "category": c} for c in ("brick", "wood") for i in range(5)]
SMALL = Rendering(size=16, spp=1, displacement=0.0, mesh_resolution=2)


def pairs_of(**changes: Any) -> list[Pair]:
    settings = {"count": 4, "seeds_per_prompt": 3, "lights": 2, "environments": 5, "seed": 0}
    return make_pairs(ROWS, **{**settings, **changes})


def test_seeds_of_a_prompt_share_their_lights_and_differ_in_their_seed() -> None:
    pairs = pairs_of()
    assert len(pairs) == 12
    assert len({pair.seed for pair in pairs}) == 12
    for prompt in {pair.prompt for pair in pairs}:
        group = [pair for pair in pairs if pair.prompt == prompt]
        assert len({pair.lights for pair in group}) == 1
    assert len({pair.lights for pair in pairs}) == 4


def test_prompts_are_spread_over_the_categories() -> None:
    assert sorted(pair.category for pair in pairs_of(seeds_per_prompt=1)) == [
        "brick", "brick", "wood", "wood"
    ]  # fmt: skip
    assert pairs_of() == pairs_of()
    assert pairs_of() != pairs_of(seed=1)


def side(features_nld: Any, reward: Any, gold: Any) -> Side:
    unit = features_nld / np.linalg.norm(features_nld, axis=-1, keepdims=True)
    count = len(reward)
    return Side([], unit, {"reward": reward, "gold": gold}, np.full(count, 20.0), np.ones(count))


class FixedClip:
    """Features without content; the first light shows every material as brick."""

    def images(self, images: Any) -> Any:
        return np.ones((len(images), 4), np.float32)

    def texts(self, texts: Any) -> Any:
        return np.ones((len(texts), 4), np.float32)

    def zero_shot(self, features: Any, categories: Any) -> Any:
        assert list(categories) == list(CATEGORIES)
        first_light = np.arange(len(features)) % 2 == 0
        return np.where(first_light, CATEGORIES.index("brick"), CATEGORIES.index("stone"))


def test_recognised_counts_lights_under_which_the_category_is_named() -> None:
    pairs = pairs_of(environments=2)
    measured = measure(
        pairs,
        [sample("wood", np.random.default_rng(0), 16)] * len(pairs),
        renderer=FlatRenderer(),
        environments=environments(),
        features=FixedClip(),  # type: ignore[arg-type]
        scorers={},
    )
    expected = [0.5 * (p.category == "brick") for p in pairs]
    assert measured.recognised_n.tolist() == expected
    assert {0.0, 0.5} == set(expected)


def test_reward_hacking_shows_in_gold_and_in_diversity() -> None:
    rng = np.random.default_rng(0)
    pairs = pairs_of()
    before = side(rng.normal(size=(12, 2, 8)), rng.normal(size=12), rng.normal(size=12))
    same_image = np.tile(rng.normal(size=(1, 1, 8)), (12, 2, 1))
    after = side(same_image, before.scores["reward"] + 1.0, before.scores["gold"] - 1.0)
    result = compare(pairs, before, after, seed=0, resamples=500)
    assert result["before_after"]["difference"] == pytest.approx(1.0)
    assert result["before_after"]["ci95"][0] > 0
    assert result["gold"]["ci95"][1] < 0
    assert result["diversity"]["after"] == pytest.approx(0.0, abs=1e-9)
    assert result["diversity"]["before"] > 0.5
    assert result["diversity_within"]["after"] == pytest.approx(0.0, abs=1e-9)


def test_diversity_is_not_that_of_the_lights() -> None:
    rng = np.random.default_rng(1)
    of_light = np.tile(rng.normal(size=(1, 2, 8)), (12, 1, 1))  # two lights, one material
    same = side(of_light, np.zeros(12), np.zeros(12))
    result = compare(pairs_of(), same, same, seed=0, resamples=100)
    assert result["diversity"]["before"] == pytest.approx(0.0, abs=1e-9)


def test_shown_pairs_are_spread_over_the_ranks() -> None:
    assert media.spread(np.array([0.1, 0.5, -0.3, 0.0, 0.2]), 3) == [1, 0, 2]
    assert media.spread(np.array([0.1, 0.2]), 5) == [1, 0]


@pytest.fixture(scope="module")
def artifacts(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return write_run(tmp_path_factory.mktemp("run") / "artifacts")


def run(monkeypatch: pytest.MonkeyPatch, artifacts: dict[str, Path], output: Path) -> None:
    def lights(uri: str) -> list[Environment]:
        assert uri == "polyhaven://2"  # a catalogue's address arrives as it was given
        return environments()

    monkeypatch.setattr(stage, "load_environments", lights)
    monkeypatch.setattr(stage, "Renderer", lambda **_: FlatRenderer())
    config = Config(
        prompts=3, seeds_per_prompt=2, lights=2, steps=2, guidance=2.0, batch_size=3,
        resamples=200, shown=2, rendering=SMALL, shown_rendering=SMALL, device="cpu",
    )  # fmt: skip
    stage.run(
        config,
        **{**artifacts, "dataset": [artifacts["dataset"]]},
        environments="polyhaven://2",
        output=output,
        work=output.with_name("work"),
        tracker=NullTracker(),
    )


def test_the_stage_compares_unseen_prompts_and_its_report_can_be_composed(
    monkeypatch: pytest.MonkeyPatch, artifacts: dict[str, Path], tmp_path: Path
) -> None:
    run(monkeypatch, artifacts, tmp_path / "evaluation")
    rows = read_lines(tmp_path / "evaluation" / "pairs.jsonl")
    assert {row["prompt"] for row in rows} == set(HELDOUT[:2])  # the third is a training caption
    assert len(rows) == 4
    before, after = (np.load(tmp_path / "evaluation" / f"{n}.npy") for n in ("before", "after"))
    assert before.shape == after.shape == (4, 32, 32, 3)
    assert not np.array_equal(before, after)
    values = json.loads((tmp_path / "evaluation" / "evaluation.json").read_text())
    changes = [row["scores"][1] - row["scores"][0] for row in rows]
    assert values["before_after"]["difference"] == pytest.approx(np.mean(changes), abs=1e-5)
    assert {"reward", "ddpo", "before_after", "gold", "clip_score", "diversity"} == set(values)
    details = json.loads((tmp_path / "evaluation" / "details.json").read_text())
    assert details["photographs"]["scored"] == sum(details["histogram"]["photographs"]) == 3
    assert len(details["weights"]) == 64
    assert details["data"]["environments"] == {"count": 2, "uri": "polyhaven://2"}
    assert details["data"]["photographs"] == {"kept": 6, "embedded": 0}
    report = compose_report(
        tmp_path / "report",
        recipe="test",
        settings={},
        stages=[],
        artifacts={"evaluation": tmp_path / "evaluation"},
    )
    assert report["before_after"] == values["before_after"]


def test_an_adapter_of_zeros_changes_nothing(
    monkeypatch: pytest.MonkeyPatch, artifacts: dict[str, Path], tmp_path: Path
) -> None:
    monkeypatch.setattr(stage, "load_lora", lambda model, _: model)
    run(monkeypatch, artifacts, tmp_path / "evaluation")
    before, after = (np.load(tmp_path / "evaluation" / f"{n}.npy") for n in ("before", "after"))
    np.testing.assert_array_equal(before, after)
    values = json.loads((tmp_path / "evaluation" / "evaluation.json").read_text())
    assert values["before_after"]["difference"] == 0.0
    assert values["before_after"]["p_value"] == 1.0
    assert values["diversity"]["before"] == values["diversity"]["after"]


def test_too_few_unseen_prompts_is_the_users_error(tmp_path: Path) -> None:
    prompt = {"prompt": "wood, oak", "category": "wood"}
    (tmp_path / "prompts.jsonl").write_text(
        "".join(json.dumps({**prompt, "split": split}) + "\n" for split in ("train", "heldout"))
    )
    with pytest.raises(UserError, match="0 held-out prompts"):
        stage.unseen_prompts(tmp_path, [tmp_path])


def test_map_pictures_point_normals_up_on_a_flat_material() -> None:
    grid = np.full((8, 8, 3), 128, np.uint8)
    pictures = media.map_pictures(unpack_uint8(grid))
    assert pictures["normal"][0, 0].tolist() == [128, 128, 255]
    assert pictures["height"].shape == (4, 4)
