"""A shading that can be differentiated, for direct reward back-propagation.

The renderer's conventions (core.rendering): a tile seen from straight above, light of irradiance
pi turned about the up axis, GGX with alpha = roughness squared, sRGB at the end. What it leaves
out is what needs rays: shadows, interreflection, parallax. Relief enters as normals. An
environment becomes the directional lights of its coarse texels, so no lobe may be narrower than
they are: roughness counts as at least `SMOOTHEST`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from components.core.materials.specular import DIELECTRIC
from components.core.rendering.batch import Light
from components.core.rendering.environments import Environment
from components.core.rendering.prefilter import directions

ROWS, COLUMNS = 8, 16
"""Texels that an environment is averaged to; the upper half of them are lights."""
SMOOTHEST = 0.3
EPSILON = 1e-4


@dataclass(frozen=True)
class Lamps:
    """Directional lights: unit vectors (L, 3) towards them, z up, and irradiances (L, 3) of a
    plane that faces each."""

    towards_l3: Tensor
    strength_l3: Tensor


def lamps_of(environment: Environment, rotation: float) -> Lamps:
    """The upper half of an environment, turned as the renderer turns it, with irradiance pi."""
    radiance = torch.from_numpy(environment.radiance).permute(2, 0, 1)[None]
    coarse = F.adaptive_avg_pool2d(radiance, (ROWS, COLUMNS))[0, :, : ROWS // 2]
    vectors, area = (torch.from_numpy(part[: ROWS // 2]) for part in directions(ROWS, COLUMNS))
    # `directions` has +y up and column 0 towards +x; the renderer has +z up and it towards +y.
    north, up, east = vectors.reshape(-1, 3).unbind(-1)
    cosine, sine = math.cos(rotation), math.sin(rotation)
    towards = torch.stack([cosine * east - sine * north, sine * east + cosine * north, up], dim=-1)
    strength = (coarse * area).flatten(1).T
    total = (strength * towards[:, 2:]).sum(dim=0)
    return Lamps(towards, strength * (math.pi / total))


def shade(
    grids_bhwc: Tensor, environments: Sequence[Environment], lights: Sequence[Light],
    displacement: float,
) -> Tensor:  # fmt: skip
    """Grids (B, 2H, 2W, 3) in [0, 1], each under its light, as sRGB images (B, 3, H, W)."""
    images = []
    for grid, light in zip(grids_bhwc, lights, strict=True):
        lamps = lamps_of(environments[light.environment], light.rotation)
        images.append(shade_one(grid, lamps, displacement))
    return torch.stack(images).permute(0, 3, 1, 2)


def shade_one(grid_hwc: Tensor, lamps: Lamps, displacement: float) -> Tensor:
    """One grid (2H, 2W, 3) under directional lights: (H, W, 3)."""
    rows, columns = grid_hwc.shape[0] // 2, grid_hwc.shape[1] // 2
    base = to_linear(grid_hwc[:rows, :columns])
    height = grid_hwc[:rows, columns:].mean(dim=-1)
    roughness = grid_hwc[rows:, :columns].mean(dim=-1)
    metallic = grid_hwc[rows:, columns:].mean(dim=-1)[..., None]
    radiance = torch.zeros_like(base)
    normals = normals_of(height, displacement)
    f0 = DIELECTRIC * (1.0 - metallic) + base * metallic
    diffuse = base * (1.0 - metallic) / math.pi
    squared_alpha = roughness.clamp(min=SMOOTHEST)[..., None] ** 4
    for towards, strength in zip(lamps.towards_l3, lamps.strength_l3, strict=True):
        lit = (normals @ towards.to(normals)).clamp(min=0.0)[..., None]
        lobe = specular(normals, towards.to(normals), squared_alpha, f0)
        radiance = radiance + (diffuse + lobe) * lit * strength.to(normals)
    return to_srgb(radiance)


def specular(normals_hwc: Tensor, towards: Tensor, squared_alpha: Tensor, f0_hwc: Tensor) -> Tensor:
    """Cook and Torrance's D G F / (4 n.l n.v), seen from above: (H, W, 3).

    Smith's height-correlated shadowing and Schlick's Fresnel term, as `core.rendering.prefilter`.
    """
    view = torch.tensor([0.0, 0.0, 1.0]).to(towards)
    half = F.normalize(towards + view, dim=0)
    n_l = (normals_hwc @ towards).clamp(min=EPSILON)[..., None]
    n_v = normals_hwc[..., 2:].clamp(min=EPSILON)
    n_h = (normals_hwc @ half).clamp(min=0.0)[..., None]
    density = squared_alpha / (math.pi * (n_h**2 * (squared_alpha - 1.0) + 1.0) ** 2)
    masked = n_l * torch.sqrt(n_v**2 * (1.0 - squared_alpha) + squared_alpha)
    shadowed = n_v * torch.sqrt(n_l**2 * (1.0 - squared_alpha) + squared_alpha)
    fresnel = f0_hwc + (1.0 - f0_hwc) * (1.0 - towards @ half) ** 5
    return density * fresnel / (2.0 * (masked + shadowed))


def normals_of(height_hw: Tensor, displacement: float) -> Tensor:
    """Unit normals (H, W, 3), x right and y up, as `Material.normal`."""
    rows, columns = height_hw.shape
    right = (height_hw.roll(-1, 1) - height_hw.roll(1, 1)) * (columns / 2 * displacement)
    down = (height_hw.roll(-1, 0) - height_hw.roll(1, 0)) * (rows / 2 * displacement)
    return F.normalize(torch.stack([-right, down, torch.ones_like(right)], dim=-1), dim=-1)


def to_linear(srgb: Tensor) -> Tensor:
    """As `core.rendering.color.srgb_to_linear`."""
    return torch.where(srgb <= 0.04045, srgb / 12.92, ((srgb.clamp(min=0) + 0.055) / 1.055) ** 2.4)


def to_srgb(linear: Tensor) -> Tensor:
    """As `core.rendering.color.to_srgb_uint8`, without its rounding."""
    clamped = linear.clamp(0.0, 1.0)
    curve = 1.055 * clamped.clamp(min=0.0031308) ** (1.0 / 2.4) - 0.055
    return torch.where(clamped <= 0.0031308, clamped * 12.92, curve)
