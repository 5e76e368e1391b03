"""Sampling: seeds, batches, trajectories."""

import pytest
import torch

from components.core.diffusion.denoiser import guided_velocity
from components.core.diffusion.model import TextToImage
from components.core.diffusion.sampler import (
    Seed,
    Variation,
    generate_materials,
    noise_source,
    sample,
    sample_trajectory,
)
from components.core.diffusion.step import ddpm_step

PROMPTS = ["brick, old red brick wall", "metal, copper", "brick, red"]


def test_a_sample_does_not_depend_on_its_batch(model: TextToImage) -> None:
    batch = sample(model, PROMPTS, [1, 2, 3], steps=4, guidance=3.0)
    alone = sample(model, PROMPTS[1:2], [2], steps=4, guidance=3.0)
    torch.testing.assert_close(batch[1:2], alone, atol=1e-4, rtol=1e-4)
    assert not torch.allclose(batch[0], batch[2], atol=1e-2)


def test_the_seed_decides_and_repeats(model: TextToImage) -> None:
    first = sample(model, PROMPTS[:1], [7], steps=3, guidance=2.0)
    assert torch.equal(first, sample(model, PROMPTS[:1], [7], steps=3, guidance=2.0))
    assert not torch.allclose(first, sample(model, PROMPTS[:1], [8], steps=3, guidance=2.0))


def test_trajectory_ends_where_plain_sampling_ends(model: TextToImage) -> None:
    trajectory = sample_trajectory(model, PROMPTS, [1, 2, 3], steps=5, guidance=3.0)
    assert trajectory.latents_bschw.shape == (3, 6, *model.latent_shape)
    assert trajectory.latents_bschw.dtype == torch.float32
    assert trajectory.timesteps_s[0] == 999
    plain = sample(model, PROMPTS, [1, 2, 3], steps=5, guidance=3.0)
    assert torch.equal(trajectory.final_bchw, plain)


def test_importance_ratio_is_exactly_one_before_an_update(model: TextToImage) -> None:
    embeds = model.encode_prompts(PROMPTS)
    trajectory = sample_trajectory(model, embeds, [1, 2, 3], steps=5, guidance=3.0)
    model.unet.requires_grad_(True)
    for index, (t, t_prev) in enumerate(trajectory.transitions_s):
        x_t = trajectory.latents_bschw[:, index]
        velocity = guided_velocity(model.unet, x_t, t, embeds, model.image_size, guidance=3.0)
        x_prev = trajectory.latents_bschw[:, index + 1]
        step = ddpm_step(model.schedule, velocity, t, t_prev, x_t, x_prev=x_prev)
        ratio = (step.log_prob - trajectory.log_probs_bs[:, index]).exp()
        assert torch.equal(ratio, torch.ones(3))


def test_progress_counts_every_step(model: TextToImage) -> None:
    seen: list[tuple[int, int]] = []
    materials = generate_materials(
        model, PROMPTS, [1, 2, 3], 2, 2.0, batch_size=2, progress=lambda d, n: seen.append((d, n))
    )
    assert [m.size for m in materials] == [(16, 16)] * 3
    assert seen == [(2, 6), (4, 6), (5, 6), (6, 6)]


def test_prompts_and_seeds_must_match(model: TextToImage) -> None:
    with pytest.raises(ValueError, match="2 seeds"):
        sample(model, PROMPTS, [1, 2], steps=2, guidance=2.0)


def test_a_variation_lies_between_two_seeds(model: TextToImage) -> None:
    def of(seed: Seed) -> torch.Tensor:
        return sample(model, PROMPTS[:1], [seed], steps=4, guidance=2.0)

    old, new = of(1), of(2)
    torch.testing.assert_close(of(Variation(2, of=1, strength=0.0)), old)
    torch.testing.assert_close(of(Variation(2, of=1, strength=1.0)), new, atol=1e-4, rtol=1e-4)
    near, far = (of(Variation(2, of=1, strength=x)) for x in (0.2, 0.7))
    assert (near - old).abs().mean() < (far - old).abs().mean() < (new - old).abs().mean()


def test_a_variation_has_the_noise_of_a_seed() -> None:
    draw = noise_source(Variation(3, of=Variation(2, of=1, strength=0.5), strength=0.4))
    first, second = draw((20_000,)), draw((20_000,))
    for noise in (first, second):
        assert abs(float(noise.mean())) < 0.03
        assert float(noise.std()) == pytest.approx(1.0, abs=0.02)
    assert abs(float((first * second).mean())) < 0.03
