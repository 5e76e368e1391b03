"""What well-known fine-tuning scripts get wrong, each as a property of a training step here.

Expected values come from stock diffusers, opened from the saved model.
"""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import DDPMScheduler, StableDiffusionXLPipeline
from numpy.typing import NDArray

from components.core.diffusion.denoiser import PromptEmbeds, time_ids
from components.core.diffusion.model import load_model
from components.core.errors import UserError
from components.core.platform.tracking import NullTracker
from components.sdxl_finetune.config import Config
from components.sdxl_finetune.device import announce_device
from components.sdxl_finetune.draw import Draw
from components.sdxl_finetune.stage import run

PROMPTS = ["brick, old red brick wall", "metal, scratched copper plate"]


@pytest.fixture(scope="module")
def pipeline(base_model: Path) -> StableDiffusionXLPipeline:
    return StableDiffusionXLPipeline.from_pretrained(base_model)


class TwoItems:
    """Training data of two items; the latents are those of `latents`."""

    def __init__(self, embeds: PromptEmbeds, latents: torch.Tensor) -> None:
        self.embeds, self.latents = embeds, latents

    def __len__(self) -> int:
        return 2

    def batch(self, items: NDArray[np.int64]) -> tuple[torch.Tensor, PromptEmbeds, torch.Tensor]:
        chosen = torch.from_numpy(items)
        return self.latents[chosen], self.embeds[chosen], time_ids(len(items), 32)

    def name_of(self, item: int) -> str:
        return str(item)


def test_a_step_feeds_the_unet_what_stock_diffusers_does(
    base_model: Path, pipeline: StableDiffusionXLPipeline, tmp_path: Path
) -> None:
    """Noise level, target, sizes and crop, both text encoders, captions left out: all of them."""
    announce_device("cpu")
    from components.sdxl_finetune.trainer import Trainer

    model = load_model(str(base_model))
    seen: dict[str, Any] = {}

    def look(module: Any, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any) -> None:
        seen.update(kwargs, noisy=args[0], t=args[1], velocity=output[0].detach())

    model.unet.register_forward_hook(look, with_kwargs=True)
    latents = torch.randn(2, *model.latent_shape)
    data: Any = TwoItems(model.encode_prompts(PROMPTS), latents)
    config = Config(
        iterations=1, batch_size=8, micro_batch_size=8, caption_dropout=0.5, device="cpu"
    )
    reports: list[dict[str, float]] = []
    trainer = Trainer(config, model, data, tmp_path, lambda row, step: reports.append(dict(row)))
    trainer.train()

    draw = Draw.of_step(config.seed, 0, (8, *model.latent_shape), 1000, 0.5)
    assert 0 < int(draw.drop_b.sum()) < 8
    assert torch.equal(seen["t"], draw.t_b)
    noisy = seen["noisy"]
    # Which of the two items a row is of, is told by the noise that turns it into what was seen.
    candidates = [
        pipeline.scheduler.add_noise(x.expand(8, -1, -1, -1), draw.noise_bchw, draw.t_b)
        for x in latents
    ]
    errors = torch.stack([(c - noisy).abs().amax(dim=(1, 2, 3)) for c in candidates])
    assert float(errors.amin(dim=0).max()) < 1e-5
    rows = errors.argmin(dim=0)
    assert sorted(rows.tolist()) == [0] * 4 + [1] * 4

    velocity = pipeline.scheduler.get_velocity(latents[rows], draw.noise_bchw, draw.t_b)
    loss = float(((seen["velocity"] - velocity) ** 2).mean())
    assert reports[0]["loss"] == pytest.approx(loss, rel=1e-4)

    tokens, nothing, pooled, nothing_pooled = pipeline.encode_prompt(PROMPTS, device="cpu")
    kept = ~draw.drop_b
    where = kept[:, None, None]
    expected = torch.where(where, tokens[rows], nothing[rows])
    torch.testing.assert_close(seen["encoder_hidden_states"], expected)
    expected = torch.where(kept[:, None], pooled[rows], nothing_pooled[rows])
    torch.testing.assert_close(seen["added_cond_kwargs"]["text_embeds"], expected)
    side = model.image_size
    width = model.text_encoder_2.config.projection_dim
    ids = pipeline._get_add_time_ids(
        (side, side), (0, 0), (side, side), torch.float32, text_encoder_projection_dim=width
    )
    assert torch.equal(seen["added_cond_kwargs"]["time_ids"], ids.repeat(8, 1))


def with_scheduler(base_model: Path, folder: Path, **changes: Any) -> Path:
    """The base model with another scheduler configuration."""
    shutil.copytree(base_model, folder, ignore=shutil.ignore_patterns("manifest.json"))
    file = folder / "scheduler" / "scheduler_config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))
    return folder


SDXL = {
    "_class_name": "EulerDiscreteScheduler", "prediction_type": "epsilon",
    "timestep_spacing": "leading", "steps_offset": 1, "rescale_betas_zero_snr": False,
}  # fmt: skip


def test_an_epsilon_model_like_sdxl_becomes_a_v_model_that_stock_diffusers_opens(
    base_model: Path, dataset: Path, tmp_path: Path
) -> None:
    base = with_scheduler(base_model, tmp_path / "base", **SDXL)
    config = Config(
        base_model=str(base), iterations=1, batch_size=4, micro_batch_size=4, device="cpu",
        preview_prompts=0, heldout_every=0, zero_stage=1, precision="bfloat16",
    )  # fmt: skip
    output = tmp_path / "model"
    run(config, dataset=[dataset], output=output, work=tmp_path / "work", tracker=NullTracker())
    pipeline = StableDiffusionXLPipeline.from_pretrained(output)
    scheduler = pipeline.scheduler
    assert isinstance(scheduler, DDPMScheduler)
    assert scheduler.config.prediction_type == "v_prediction"
    assert scheduler.config.timestep_spacing == "trailing"
    assert float(scheduler.alphas_cumprod[-1]) == 0.0
    scheduler.set_timesteps(30)  # which does not divide 1000
    assert int(scheduler.timesteps[0]) == 999
    assert pipeline.config.force_zeros_for_empty_prompt
    pipeline.set_progress_bar_config(disable=True)
    images = pipeline(PROMPTS, num_inference_steps=3, output_type="np").images
    assert np.isfinite(images).all()
    assert images.std() > 0.0


def test_epsilon_with_zero_snr_is_refused_before_anything_is_computed(
    base_model: Path, dataset: Path, tmp_path: Path
) -> None:
    changes = SDXL | {"rescale_betas_zero_snr": True}
    base = with_scheduler(base_model, tmp_path / "base", **changes)
    config = Config(base_model=str(base), iterations=1, device="cpu")
    with pytest.raises(UserError, match="set prediction_type to 'v_prediction'"):
        run(
            config, dataset=[dataset], output=tmp_path / "model", work=tmp_path / "work",
            tracker=NullTracker(),
        )  # fmt: skip
    assert not (tmp_path / "work").exists()
