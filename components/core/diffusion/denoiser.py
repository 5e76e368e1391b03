"""What the UNet is given: SDXL's conditioning, built in one place.

Fine-tuning, rollout and reinforcement update must feed the UNet the same thing (hidden states,
pooled embedding, six numbers of size and crop, negative before positive), so all of them call
`predict_velocity` or `guided_velocity`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class PromptEmbeds:
    """Text conditioning of B prompts."""

    tokens_bld: Tensor  # (B, L, d1 + d2), penultimate hidden states of both encoders
    pooled_bd: Tensor  # (B, D), projection of the second encoder

    def __len__(self) -> int:
        return len(self.pooled_bd)

    def __getitem__(self, index: slice | Tensor | Sequence[int]) -> PromptEmbeds:
        return PromptEmbeds(self.tokens_bld[index], self.pooled_bd[index])

    def to(self, *args: Any) -> PromptEmbeds:
        """Move or cast both tensors, as `Tensor.to`."""
        return PromptEmbeds(self.tokens_bld.to(*args), self.pooled_bd.to(*args))

    def zeros_like(self) -> PromptEmbeds:
        """SDXL's unconditional embedding (force_zeros_for_empty_prompt)."""
        return PromptEmbeds(torch.zeros_like(self.tokens_bld), torch.zeros_like(self.pooled_bd))

    def dropped(self, drop_b: Tensor) -> PromptEmbeds:
        """Caption dropout: rows where `drop_b` (B,) bool is true become unconditional."""
        keep = (~drop_b).to(self.pooled_bd)
        return PromptEmbeds(self.tokens_bld * keep[:, None, None], self.pooled_bd * keep[:, None])

    @staticmethod
    def cat(parts: Sequence[PromptEmbeds]) -> PromptEmbeds:
        """Join along the batch."""
        return PromptEmbeds(
            torch.cat([part.tokens_bld for part in parts]),
            torch.cat([part.pooled_bd for part in parts]),
        )


def time_ids(batch: int, image_size: int, device: torch.device | str = "cpu") -> Tensor:
    """SDXL's micro-conditioning (B, 6): original size, crop, target size, in pixels.

    Of grids as they are sampled, which no one has cropped: the crop is (0, 0).
    """
    row = [image_size, image_size, 0, 0, image_size, image_size]
    return torch.tensor([row] * batch, dtype=torch.float32, device=device)


def predict_velocity(
    unet: nn.Module,
    x_bchw: Tensor,
    t_b: Tensor,
    embeds: PromptEmbeds,
    image_size: int,
    ids_b6: Tensor | None = None,
) -> Tensor:
    """The UNet's velocity (B, C, H, W) at timesteps `t_b` (B,), in float32.

    ids_b6: size and crop of each picture, if not those of `time_ids`.
    """
    if ids_b6 is None:
        ids_b6 = time_ids(len(x_bchw), image_size, x_bchw.device)
    dtype = next(unet.parameters()).dtype
    velocity = unet(
        x_bchw.to(dtype),
        t_b,
        encoder_hidden_states=embeds.tokens_bld.to(dtype),
        added_cond_kwargs={
            "text_embeds": embeds.pooled_bd.to(dtype),
            "time_ids": ids_b6.to(dtype),
        },
        return_dict=False,
    )[0]
    assert isinstance(velocity, Tensor)
    return velocity.float()


def guided_velocity(
    unet: nn.Module,
    x_bchw: Tensor,
    t: int,
    embeds: PromptEmbeds,
    image_size: int,
    *,
    guidance: float,
    negative: PromptEmbeds | None = None,
    rescale: float = 0.0,
) -> Tensor:
    """Classifier-free guidance in one batch, [negative, positive]; no doubling at guidance 1.

    `rescale` in [0, 1] pulls the result's standard deviation back to the conditional one (Lin et
    al. 2024, section 3.4), against over-exposure with zero terminal SNR.
    """
    t_b = torch.full((len(x_bchw),), t, device=x_bchw.device)
    if guidance == 1.0:
        return predict_velocity(unet, x_bchw, t_b, embeds, image_size)
    both = PromptEmbeds.cat([embeds.zeros_like() if negative is None else negative, embeds])
    doubled = predict_velocity(unet, x_bchw.repeat(2, 1, 1, 1), t_b.repeat(2), both, image_size)
    without, with_prompt = doubled.chunk(2)
    guided = without + guidance * (with_prompt - without)
    if rescale == 0.0:
        return guided
    axes = (1, 2, 3)
    ratio = with_prompt.std(dim=axes, keepdim=True) / guided.std(dim=axes, keepdim=True)
    return guided * (1.0 - rescale + rescale * ratio)
