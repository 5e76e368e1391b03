"""One epoch's time: over its floor, and against the public way of doing it (`make bench`).

The floor is the epoch's own work done back to back without anything else: the UNet's forward
passes of sampling, the forward and backward passes of the update, decoding, rendering, scoring.
"""

import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from components.core.diffusion.denoiser import guided_velocity
from components.core.diffusion.lora import add_lora
from components.core.diffusion.model import TextToImage, load_model
from components.core.platform.config_types import Rendering
from components.core.platform.tracking import NullTracker
from components.core.realism.reward import RealismReward
from components.core.rendering.environments import load_environments
from components.core.rendering.scene import Renderer
from components.ddpo_lora.config import Config
from components.ddpo_lora.trainer import Trainer
from tests.ddpo_lora.micro import HELDOUT, PROMPTS
from tests.ddpo_lora.real import features, scorers
from tests.ddpo_lora.reference import reference_epoch

RENDERING = Rendering(size=64, spp=16, mesh_resolution=64)
ROUNDS = 2


def settings(**changes: object) -> Config:
    """The laptop recipe at a quarter of its samples."""
    values: dict[str, object] = {
        "epochs": 1, "samples_per_epoch": 8, "batch_size": 8, "forward_batch": 4,
        "accumulation": 1, "steps": 10, "guidance": 1.0, "learning_rate": 3e-3, "clip_range": 1e-2,
        "heldout_samples": 0, "device": "cpu", "rendering": RENDERING,
    }  # fmt: skip
    return Config.model_validate(values | changes)


def adapted() -> TextToImage:
    model = load_model("small")
    add_lora(model.unet, 4)
    return model


def timed(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def floor(model: TextToImage, reward: RealismReward, config: Config, trained: int) -> float:
    """Seconds of the bare work, `trained` transitions being passed backwards."""
    count, size = config.samples_per_epoch, config.forward_batch
    x = torch.randn(size, *model.latent_shape)
    embeds = model.encode_prompts([PROMPTS[i % 3] for i in range(size)])
    lights = reward.draw(count, np.random.default_rng(0))

    def bare() -> None:
        grids = []
        for _ in range(count // size):
            with torch.no_grad():
                for _ in range(config.steps):
                    guided_velocity(model.unet, x, 500, embeds, model.image_size, guidance=1.0)
            grids.append(model.decode(x).numpy())
        reward.score(reward.render(np.concatenate(grids), lights))
        for _ in range(count // size * trained):
            v = guided_velocity(model.unet, x, 500, embeds, model.image_size, guidance=1.0)
            v.square().mean().backward()

    return timed(bare)


@pytest.mark.parametrize("window", [0, 2])
def test_an_epoch_over_its_floor_and_against_the_public_way(window: int) -> None:
    environments = load_environments("")
    reward = RealismReward(Renderer(**RENDERING.model_dump()), environments, features(), scorers())
    bare, public, found = [], [], dict[str, list[float]](serial=[], overlap=[])
    public_config, config = settings(), settings(window=window)
    reference_model, rewards = adapted(), list[float]()
    reward.render(
        np.full((1, 128, 128, 3), 0.5, np.float32), reward.draw(1, np.random.default_rng())
    )
    for _ in range(ROUNDS):
        reference_model = adapted()
        started = time.perf_counter()
        rewards = reference_epoch(
            reference_model, reward, RENDERING, list(environments), PROMPTS, public_config
        )
        public.append(time.perf_counter() - started)
        bare.append(floor(adapted(), reward, config, window or config.steps - 1))
        for name, seconds in found.items():
            model = adapted()
            changed = config.model_copy(update={"overlap": name == "overlap"})
            with tempfile.TemporaryDirectory() as work:
                trainer = Trainer(
                    model, reward, PROMPTS, HELDOUT, changed, Path(work), NullTracker()
                )
                started = time.perf_counter()
                row = trainer.run()[0]
                seconds.append(time.perf_counter() - started)
            assert row["train_reward"] == pytest.approx(np.mean(rewards), abs=1e-4)
            if not window:
                for ours, theirs in zip(
                    model.unet.parameters(), reference_model.unet.parameters(), strict=True
                ):
                    torch.testing.assert_close(ours, theirs, rtol=1e-2, atol=1e-4)
            print(f"\n{name}: " + ", ".join(f"{k} {v:.2f}" for k, v in row["seconds"].items()))
    for name, seconds in found.items():
        print(
            f"window {window or 'off'}, {name}: {min(seconds):.2f} s an epoch, "
            f"{min(seconds) / min(bare):.2f} of its floor (aim 1.15), "
            f"{min(public) / min(seconds):.2f} times the public way "
            f"(aim {3.0 if window else 1.3})"
        )
