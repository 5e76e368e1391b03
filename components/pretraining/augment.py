"""Augmentations for CLIP pretraining, on whole batches of float images (B, 3, H, W) in [0, 1].

Geometry and colour change without changing the caption. Degradations (blur, noise, washed-out
contrast, blocks) put their word in front of the caption: captions on the web do so as well, and
a CLIP that knows these words keeps the quality of an image in its features, which is what the
realism reward reads.
"""

from collections.abc import Callable, Mapping

import torch
import torch.nn.functional as F

Images = torch.Tensor


def random_geometry(images_bchw: Images, size: int, generator: torch.Generator) -> Images:
    """A random square crop (70 to 100 % of the side) at size × size, flipped and turned.

    Half of the batches are not cropped: resampling takes away the finest detail, in which an
    image's quality shows.
    """
    batch, _, rows, _ = images_bchw.shape
    side = int(rows * min(1.0, _uniform(0.7, 1.3, generator)))
    top, left = (int(torch.randint(rows - side + 1, (), generator=generator)) for _ in range(2))
    crops = images_bchw[:, :, top : top + side, left : left + side]
    crops = F.interpolate(crops, (size, size), mode="bicubic", antialias=True).clamp(0, 1)
    flip = torch.rand(batch, generator=generator) < 0.5
    crops[flip] = crops[flip].flip(3)
    turns = torch.randint(4, (batch,), generator=generator)
    for quarter in (1, 2, 3):
        crops[turns == quarter] = torch.rot90(crops[turns == quarter], quarter, (2, 3))
    return crops


def random_colour(images_bchw: Images, generator: torch.Generator) -> Images:
    """Mild exposure, contrast, saturation and white-balance changes, different per image."""
    batch = len(images_bchw)

    def factors(spread: float, channels: int = 1) -> torch.Tensor:
        return 1 + spread * (2 * torch.rand(batch, channels, 1, 1, generator=generator) - 1)

    mean = images_bchw.mean((1, 2, 3), keepdim=True)
    images = mean + (images_bchw - mean) * factors(0.2)
    grey = images.mean(1, keepdim=True)
    images = grey + (images - grey) * factors(0.2)
    return (images * factors(0.15) * factors(0.05, 3)).clamp(0, 1)


def blurry(images_bchw: Images, generator: torch.Generator) -> Images:
    """Detail below one third to one sixth of the side's resolution is lost."""
    size = images_bchw.shape[2]
    small = max(4, int(size / _uniform(2.5, 6.0, generator)))
    low = F.interpolate(images_bchw, (small, small), mode="bilinear", antialias=True)
    return F.interpolate(low, (size, size), mode="bicubic").clamp(0, 1)


def noisy(images_bchw: Images, generator: torch.Generator) -> Images:
    """Gaussian pixel noise with a standard deviation of 0.08 to 0.25."""
    noise = torch.randn(images_bchw.shape, generator=generator)
    return (images_bchw + _uniform(0.08, 0.25, generator) * noise).clamp(0, 1)


def washed_out(images_bchw: Images, generator: torch.Generator) -> Images:
    """Contrast reduced to 15 to 40 % around the mean, colours half gone."""
    mean = images_bchw.mean((1, 2, 3), keepdim=True)
    grey = images_bchw.mean(1, keepdim=True)
    pale = 0.5 * (images_bchw + grey)
    return (mean + (pale - mean) * _uniform(0.15, 0.4, generator)).clamp(0, 1)


def blocky(images_bchw: Images, generator: torch.Generator) -> Images:
    """Mosaic of squares, as strong compression leaves it."""
    size = images_bchw.shape[2]
    low = F.interpolate(images_bchw, (size // 8, size // 8), mode="area")
    mosaic = F.interpolate(low, (size, size), mode="nearest")
    return torch.lerp(images_bchw, mosaic, _uniform(0.6, 1.0, generator))


DEGRADATIONS: Mapping[str, Callable[[Images, torch.Generator], Images]] = {
    "blurry": blurry,
    "noisy": noisy,
    "washed out": washed_out,
    "blocky": blocky,
}


def degrade(
    images_bchw: Images, prompts: list[str], share: float, generator: torch.Generator
) -> tuple[Images, list[str]]:
    """Degrade a random `share` of the batch and name each degradation in its prompt."""
    images, words = images_bchw.clone(), list(prompts)
    chosen = torch.randperm(len(prompts), generator=generator)[: int(share * len(prompts))]
    for i, (word, function) in enumerate(DEGRADATIONS.items()):
        part = chosen[i :: len(DEGRADATIONS)]
        images[part] = function(images[part], generator)
        for row in part.tolist():
            words[row] = f"{word} {prompts[row]}"
    return images, words


def _uniform(low: float, high: float, generator: torch.Generator) -> float:
    return low + (high - low) * float(torch.rand((), generator=generator))
