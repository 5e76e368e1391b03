"""Tileable samples from a model of 2×2 grids, without training.

Circular padding would wrap the grid, not its maps: the left border of the albedo would continue
the right border of the height. Instead each quadrant is rolled on itself, by another random offset
at every denoising step, so every place of a map is an inner place most of the time and its two
borders are denoised as neighbours. A model that was never shown shifted maps loses its layouts that
way, unless only the last steps are rolled: they join the borders of a layout that is there already.
The decoder sees the clean latents four times, rolled by half
a map along no axis, one or both, and each place is taken from where it was far from the borders.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn

from components.core.diffusion.model import TextToImage


def roll_quadrants(grid_bchw: Tensor, down: int, right: int) -> Tensor:
    """Each quadrant of (B, C, 2H, 2W) shifted with wrap-around by whole places."""
    rows, columns = grid_bchw.shape[-2] // 2, grid_bchw.shape[-1] // 2
    parts = grid_bchw.unflatten(-1, (2, columns)).unflatten(-3, (2, rows))
    return torch.roll(parts, (down, right), dims=(-3, -1)).flatten(-2).flatten(-3, -2)


class RollingUnet(nn.Module):
    """A UNet that looks at every quadrant shifted by an offset drawn anew at each call.

    The offsets are one sequence, `seed`'s, whatever is sampled: a sample still depends only on its
    own seed and on the number of steps. before: timesteps from here on, which come first when
    sampling, are not rolled.
    """

    def __init__(self, unet: nn.Module, seed: int = 0, before: float = math.inf) -> None:
        super().__init__()
        self.unet = unet
        self.config = unet.config
        self.before = before
        self._generator = torch.Generator().manual_seed(seed)

    def forward(self, sample: Tensor, timestep: Any, *args: Any, **options: Any) -> tuple[Tensor]:
        """Roll, call the UNet with `return_dict=False`, roll back."""
        if float(torch.as_tensor(timestep).max()) >= self.before:
            velocity: Tensor = self.unet(sample, timestep, *args, **options)[0]
            return (velocity,)
        high, wide = sample.shape[-2] // 2, sample.shape[-1] // 2
        down = int(torch.randint(high, (), generator=self._generator))
        right = int(torch.randint(wide, (), generator=self._generator))
        velocity = self.unet(roll_quadrants(sample, down, right), timestep, *args, **options)[0]
        return (roll_quadrants(velocity, -down, -right),)


def tiling(model: TextToImage, share: float = 1.0) -> TextToImage:
    """The same model, sampling maps whose borders meet; make a new one for each batch.

    share: of the schedule, counted from its end, in which quadrants are rolled.
    """
    timesteps = len(model.schedule.alphas_cumprod)
    return model.with_unet(RollingUnet(model.unet, before=share * timesteps))


def decode_tileable(model: TextToImage, latents_bchw: Tensor) -> Tensor:
    """`model.decode` of a grid of tileable maps: images (B, 2H, 2W, 3) without seams."""
    half_high, half_wide = latents_bchw.shape[-2] // 4, latents_bchw.shape[-1] // 4
    total: Tensor | None = None
    for down in (0, 1):
        for right in (0, 1):
            moved = roll_quadrants(latents_bchw, down * half_high, right * half_wide)
            image = model.decode(moved).movedim(-1, 1)
            high, wide = image.shape[-2] // 4, image.shape[-1] // 4
            image = roll_quadrants(image, -down * high, -right * wide)
            rows, columns = _inner(image.shape[-2]), _inner(image.shape[-1])
            weight = (1 - rows if down else rows)[:, None] * (1 - columns if right else columns)
            part = image * weight.to(image.device)
            total = part if total is None else total + part
    assert total is not None
    return total.movedim(1, -1)


def _inner(size: int) -> Tensor:
    """Weights (size,) along two quadrants: 1 in the middle of each, 0 at its ends, smooth."""
    half = size // 2
    position = (torch.arange(size) % half + 0.5) / half
    ramp = (torch.minimum(position, 1 - position) * 8 - 1).clamp(0, 1)
    return ramp * ramp * (3 - 2 * ramp)
