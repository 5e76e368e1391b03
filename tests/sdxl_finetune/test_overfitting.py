"""Eight grids learnt by heart, and sampled back by stock diffusers with no code of ours.

The one test that goes through everything at once: were noise schedule, prediction type, timestep
spacing, conditioning or the saved scheduler wrong, training or the pipeline would not find them.
"""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import StableDiffusionXLPipeline

from components.core.diffusion.model import load_model
from components.core.diffusion.small import SmallConfig, build_small
from components.core.materials.prompts import prompt_of
from components.core.materials.shards import INDEX, SHARDS, Sample, write_shard
from components.core.platform.artifacts import new_artifact
from components.sdxl_finetune.config import Config
from components.sdxl_finetune.stage import run
from tests.sdxl_finetune.recorder import Recorder

CAPTIONS = [
    "old red brick wall", "scratched copper plate", "oak floor", "grey gravel",
    "blue glazed tiles", "wet green moss", "white marble", "black leather",
]  # fmt: skip
CATEGORIES = ["brick", "metal", "wood", "pebble", "tile", "grass", "marble", "leather"]


def eight_grids(path: Path) -> np.ndarray:
    rng = np.random.default_rng(1)
    coarse = rng.integers(0, 256, (8, 4, 4, 3), dtype=np.uint8)
    grids = coarse.repeat(8, axis=1).repeat(8, axis=2)
    with new_artifact(path, "material-grids", producer="test", config=Config()) as folder:
        (folder / SHARDS).mkdir()
        words = {"source": "library", "split": "train"}
        samples = [
            Sample(f"{i:08d}", grid, words | {"caption": CAPTIONS[i], "category": CATEGORIES[i]})
            for i, grid in enumerate(grids)
        ]
        lines = write_shard(folder / SHARDS / "00000.tar", samples)
        (folder / INDEX).write_text("".join(json.dumps(line) + "\n" for line in lines))
    return grids


@pytest.mark.parametrize(
    ("iterations", "cooldown", "most", "share", "most_of_quarters"),
    [
        # With so much noise (the last two quarters) only the prompt tells the grid.
        (140, 0, 0.4, 1 / 4, (1.0, 0.4, 0.15, 0.15)),
        pytest.param(400, 130, 0.08, 1 / 20, (0.2, 0.06, 0.03, 0.04), marks=pytest.mark.long),
    ],
)
def test_eight_grids_are_learnt_and_sampled_back_by_stock_diffusers(
    tmp_path: Path,
    iterations: int,
    cooldown: int,
    most: float,
    share: float,
    most_of_quarters: tuple[float, ...],
) -> None:
    """most: of the loss at the end, whose target has a variance of at least 1; share: of the loss
    of the first steps; most_of_quarters: of the timesteps, from little noise to much."""
    grids = torch.from_numpy(eight_grids(tmp_path / "data")).float() / 255.0
    base = build_small(CAPTIONS, replace(SmallConfig.micro(), unet_channels=(64, 128)))
    # As for a trained VAE, latents of different grids lie at a distance of about one.
    spread = base.encode(grids).std(dim=0).mean()
    base.vae.register_to_config(scaling_factor=1.0 / float(spread))
    base.save(tmp_path / "base")
    config = Config(
        base_model=str(tmp_path / "base"), iterations=iterations,
        batch_size=16, micro_batch_size=16,
        learning_rate=3e-3, warmup_steps=20, cooldown_steps=cooldown,
        weight_decay=0.0, caption_dropout=0.0, ema_decay=0.95,
        log_every=10, checkpoint_every=1000, preview_prompts=0, heldout_every=0, device="cpu",
    )  # fmt: skip
    recorder = Recorder()
    run(
        config, dataset=[tmp_path / "data"], output=tmp_path / "model", work=tmp_path / "work",
        tracker=recorder,
    )  # fmt: skip
    last = recorder.rows[-1][1]
    assert last["loss"] < min(most, share * recorder.losses[0])
    for quarter, bound in enumerate(most_of_quarters):
        assert last[f"loss_t{quarter}"] < bound
    pipeline = StableDiffusionXLPipeline.from_pretrained(tmp_path / "model")
    pipeline.set_progress_bar_config(disable=True)
    latents = pipeline(
        [prompt_of(*words) for words in zip(CATEGORIES, CAPTIONS, strict=True)],
        guidance_scale=1.0, num_inference_steps=12, output_type="latent",
        generator=torch.Generator().manual_seed(0),
    ).images  # fmt: skip
    expected = load_model(str(tmp_path / "model")).encode(grids)
    distance = torch.cdist(latents.flatten(1), expected.flatten(1)) / expected[0].numel() ** 0.5
    to_others = (distance + 1e3 * torch.eye(8)).min(dim=1).values
    assert bool(torch.all(distance.diag() < 0.5 * to_others)), (distance.diag(), to_others)
