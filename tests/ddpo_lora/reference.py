"""An epoch as public trainers do it, to compare with: everything in series, nothing kept.

As in ddpo-pytorch prompts are encoded anew for each sampled batch and the embeddings kept with it,
rewards are computed after all sampling; each rendering builds its scene and is scored by itself,
advantages and clipping are written out. It makes the draws that
`Trainer` makes, so that both see the same samples and take the same steps.
"""

import numpy as np
import torch

from components.core.diffusion.denoiser import guided_velocity
from components.core.diffusion.model import TextToImage
from components.core.diffusion.sampler import sample_trajectory
from components.core.diffusion.step import ddpm_step
from components.core.materials.grid import unpack
from components.core.platform.config_types import Rendering
from components.core.platform.seeds import derive_seed
from components.core.realism.reward import RealismReward
from components.core.rendering.environments import Environment
from components.core.rendering.scene import Renderer
from components.ddpo_lora.config import Config
from components.ddpo_lora.plan import plan_update
from components.ddpo_lora.rollout import draw_prompts, parts, trainable_steps


def reference_epoch(
    model: TextToImage,
    reward: RealismReward,
    rendering: Rendering,
    environments: list[Environment],
    prompts: list[str],
    config: Config,
) -> list[float]:
    """Epoch 0 of a new adapter that `model.unet` carries; returns the rewards."""
    trained = [p for p in model.unet.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(
        trained, lr=config.learning_rate, weight_decay=config.weight_decay
    )
    rng = np.random.default_rng(derive_seed(config.seed, "epoch", "0"))
    drawn = draw_prompts(prompts, config.samples_per_epoch, config.samples_per_prompt, rng)
    seeds = [int(seed) for seed in rng.integers(2**62, size=len(drawn))]
    lights = reward.draw(len(drawn), rng)
    batches = []
    for part in parts(len(drawn), config.forward_batch):
        embeds = model.encode_prompts(drawn[part])
        trajectory = sample_trajectory(
            model, embeds, seeds[part], steps=config.steps, guidance=config.guidance
        )
        images = model.decode(trajectory.final_bchw).cpu().numpy()
        batches.append((embeds, trajectory, images))
    rewards = []
    for image, light in zip([i for *_, images in batches for i in images], lights, strict=True):
        renderer = Renderer(**rendering.model_dump())
        environment = environments[light.environment]
        picture = renderer.render_srgb(
            unpack(image), environment, rotation=light.rotation, seed=light.seed
        )
        rewards.append(float(reward.score(picture[None])["reward"][0]))
    values = np.array(rewards)
    advantages = (values - values.mean()) / (values.std() + 1e-6)
    weights = torch.from_numpy(advantages.clip(-5, 5)).split(config.forward_batch)
    deviations = trainable_steps(model, config.steps, config.smallest_deviation)
    for tasks in plan_update(len(batches), deviations, config, rng):
        optimizer.zero_grad()
        for task in tasks:
            embeds, trajectory, _ = batches[task.batch]
            for index, share in task.transitions:
                t, t_prev = trajectory.transitions_s[index]
                x_t = trajectory.latents_bschw[:, index]
                v = guided_velocity(
                    model.unet, x_t, t, embeds, model.image_size, guidance=config.guidance
                )
                following = trajectory.latents_bschw[:, index + 1]
                step = ddpm_step(model.schedule, v, t, t_prev, x_t, x_prev=following)
                ratio = torch.exp(step.log_prob - trajectory.log_probs_bs[:, index])
                weight = weights[task.batch].float()
                clipped = ratio.clamp(1 - config.clip_range, 1 + config.clip_range)
                loss = torch.maximum(-weight * ratio, -weight * clipped).mean()
                (loss * share / len(tasks)).backward()
        torch.nn.utils.clip_grad_norm_(trained, config.max_gradient_norm)
        optimizer.step()
    return rewards
