"""Quadrants are rolled on themselves, and borders come from where they were not borders."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from components.core.diffusion.tiling import RollingUnet, decode_tileable, roll_quadrants


def test_each_quadrant_wraps_on_itself() -> None:
    grid = torch.arange(16.0).view(1, 1, 4, 4)
    rolled = roll_quadrants(grid, 1, 0)[0, 0]
    assert rolled.tolist() == [
        [4, 5, 6, 7],
        [0, 1, 2, 3],
        [12, 13, 14, 15],
        [8, 9, 10, 11],
    ]
    assert roll_quadrants(grid, 0, 1)[0, 0, 0].tolist() == [1, 0, 3, 2]


@pytest.mark.parametrize("offset", [(1, 2), (3, 0), (-1, 5)])
def test_rolling_back_restores(offset: tuple[int, int]) -> None:
    grid = torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    down, right = offset
    assert torch.equal(roll_quadrants(roll_quadrants(grid, down, right), -down, -right), grid)


class Recorder(nn.Module):
    """A pointwise UNet that keeps what it was shown."""

    def __init__(self) -> None:
        super().__init__()
        self.config: dict[str, Any] = {}
        self.seen: list[Tensor] = []

    def forward(self, sample: Tensor, scale: float, **_: Any) -> tuple[Tensor]:
        """Scale the sample."""
        self.seen.append(sample)
        return (sample * scale,)


def test_a_pointwise_model_is_not_changed_but_sees_other_offsets_each_time() -> None:
    recorder = Recorder()
    unet = RollingUnet(recorder)
    sample = torch.randn(1, 2, 16, 16, generator=torch.Generator().manual_seed(0))
    for _ in range(6):
        assert torch.equal(unet(sample, 2.0, return_dict=False)[0], sample * 2)
    assert len({tuple(seen.flatten().tolist()) for seen in recorder.seen}) > 3


def test_early_steps_may_be_left_alone() -> None:
    recorder = Recorder()
    unet = RollingUnet(recorder, before=150)
    sample = torch.randn(1, 2, 16, 16, generator=torch.Generator().manual_seed(0))
    for timestep in (999, 500, 150):
        unet(sample, torch.tensor([timestep]), return_dict=False)
    assert all(torch.equal(seen, sample) for seen in recorder.seen)
    for timestep in (149, 80, 1):
        unet(sample, timestep, return_dict=False)
    assert not all(torch.equal(seen, sample) for seen in recorder.seen[3:])


def test_a_decoder_that_darkens_borders_leaves_no_seam() -> None:
    def decode(latents: Tensor) -> Tensor:
        image = latents.clone()
        for start in (0, 8):
            for edge in (start, start + 7):
                image[..., edge, :] = 0
                image[..., :, edge] = 0
        return image.movedim(1, -1)

    latents = torch.ones(1, 3, 16, 16)
    model: Any = SimpleNamespace(decode=decode)
    assert torch.equal(decode_tileable(model, latents).movedim(-1, 1), latents)
