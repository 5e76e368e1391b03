"""The comparison of ways to learn: what it compares on, and that a run goes in."""

import json
from pathlib import Path

import numpy as np
import pytest

from components.core.materials.material import CATEGORIES
from components.core.platform.artifacts import new_artifact
from components.ddpo_lora.config import Config
from tests.benchmarks.ddpo_learning import draw, main
from tests.ddpo_lora.micro import micro_model
from tests.ddpo_lora.real import save_reward


def test_prompts_are_of_all_categories_and_held_out_ones_are_others() -> None:
    rng = np.random.default_rng(0)
    train, heldout = draw(32, rng, heldout=False), draw(32, rng, heldout=True)
    assert len(train) == len(set(train)) == 32
    assert {prompt.split(",")[0] for prompt in train} == set(CATEGORIES)
    assert not set(train) & set(heldout)


@pytest.mark.long
def test_a_runs_artifacts_are_trained_on_with_every_seed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Both scores with their intervals; another seed is another training."""
    rng, store = np.random.default_rng(0), tmp_path / "store"
    (store / "sdxl_finetune" / "caches").mkdir(parents=True)  # no artifact
    with new_artifact(store / "sdxl_finetune/0", "diffusion-model", "test", Config()) as folder:
        micro_model().save(folder)
    with new_artifact(store / "reward_training/0", "realism-scorer", "test", Config()) as folder:
        save_reward(folder)
    with new_artifact(store / "prompt_selection/0", "prompts", "test", Config()) as folder:
        rows = [{"prompt": p, "split": "train"} for p in draw(8, rng, heldout=False)]
        rows += [{"prompt": p, "split": "heldout"} for p in draw(4, rng, heldout=True)]
        (folder / "prompts.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    words = ["--ways", "mixed", "--seeds", "2", "--epochs", "1", "--samples", "4"]
    first, second = main([*words, "--run", str(tmp_path)])
    for one in (first, second):
        assert one.samples == 32
        assert one.low <= one.change <= one.high
        assert one.gold_low <= one.gold_change <= one.gold_high
    assert first.change != second.change
    assert "mixed   seed 1: held-out" in capsys.readouterr().out
