"""Tileable samples from a model of 2×2 grids, without training.

Circular padding would wrap the grid, not its maps: the left border of the albedo would continue
the right border of the height. Instead each quadrant is rolled on itself, by another random offset
at every denoising step, so every place of a map is an inner place most of the time and its two
borders are denoised as neighbours. The decoder sees the clean latents twice, once rolled by half a
map, and each map takes its borders from the decoding in which they lay in the middle.
"""

from __future__ import annotations

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
    own seed and on the number of steps.
    """

    def __init__(self, unet: nn.Module, seed: int = 0) -> None:
        super().__init__()
        self.unet = unet
        self.config = unet.config
        self._generator = torch.Generator().manual_seed(seed)

    def forward(self, sample: Tensor, *args: Any, **options: Any) -> tuple[Tensor]:
        """Roll, call the UNet with `return_dict=False`, roll back."""
        high, wide = sample.shape[-2] // 2, sample.shape[-1] // 2
        down = int(torch.randint(high, (), generator=self._generator))
        right = int(torch.randint(wide, (), generator=self._generator))
        velocity = self.unet(roll_quadrants(sample, down, right), *args, **options)[0]
        return (roll_quadrants(velocity, -down, -right),)


def tiling(model: TextToImage) -> TextToImage:
    """The same model, sampling maps whose borders meet; make a new one for each batch."""
    return model.with_unet(RollingUnet(model.unet))  # type: ignore[arg-type]


def decode_tileable(model: TextToImage, latents_bchw: Tensor) -> Tensor:
    """`model.decode` of a grid of tileable maps: images (B, 2H, 2W, 3) without seams."""
    half_high, half_wide = latents_bchw.shape[-2] // 4, latents_bchw.shape[-1] // 4
    plain = model.decode(latents_bchw).movedim(-1, 1)
    rolled = model.decode(roll_quadrants(latents_bchw, half_high, half_wide)).movedim(-1, 1)
    high, wide = plain.shape[-2] // 4, plain.shape[-1] // 4
    inner = _inner(plain)
    return (plain * inner + roll_quadrants(rolled, -high, -wide) * (1 - inner)).movedim(1, -1)


def _inner(image: Tensor) -> Tensor:
    """Weights (2H, 2W): 1 in the middle of each quadrant, 0 at its borders, smooth between."""
    weights = []
    for size in image.shape[-2:]:
        place = torch.arange(size, device=image.device) % (size // 2)
        position = (place + 0.5) / (size // 2)
        ramp = (torch.minimum(position, 1 - position) * 8 - 1).clamp(0, 1)
        weights.append(ramp * ramp * (3 - 2 * ramp))
    return torch.minimum(weights[0][:, None], weights[1][None, :])
