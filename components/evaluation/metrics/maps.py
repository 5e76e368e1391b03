"""What the maps of a material say by themselves, before any rendering.

Section 5 of the paper trains with zero terminal SNR so that one grid can hold "colorful albedo and
solid black metallicity": a model without it keeps a mean grey in all four maps. Here that is a
number for each material, beside whether there is metal where the prompt asks for it.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass

import numpy as np
import numpy.typing as npt

from components.core.materials.material import Material

METAL = 0.5
"""Metalness from which a pixel is metal."""
BLACK = 0.05
"""Mean metalness, and 95th percentile, up to which the map is solid black."""
COLOURFUL = 0.06
"""Colourfulness from which an albedo is colourful; a photographed brick wall has 0.12."""


@dataclass(frozen=True)
class MapStatistics:
    """Numbers of one material's maps."""

    metal_share: float
    """Share of the pixels that are metal."""
    metalness_95: float
    """95th percentile of the metallic map."""
    contrast: float
    """5th to 95th percentile of the albedo's luma, sRGB-encoded."""
    grid_contrast: float
    """The same over all four maps together: what the grid's one picture spans."""
    colourfulness: float
    """Of the albedo, see `colourfulness`."""

    @property
    def black_metal_beside_colour(self) -> bool:
        """Section 5's example: a solid black metallicity beside a colourful albedo."""
        return self.metalness_95 <= BLACK and self.colourfulness >= COLOURFUL

    def as_dict(self) -> dict[str, float]:
        """All numbers by name; the yes or no is 1 or 0, so that its mean is a share."""
        return {**asdict(self), "black_metal_beside_colour": float(self.black_metal_beside_colour)}


def map_statistics(material: Material) -> MapStatistics:
    """The numbers of a material."""
    luma = material.albedo @ np.array([0.299, 0.587, 0.114], np.float32)
    others = [material.height, material.roughness, material.metallic]
    return MapStatistics(
        metal_share=float((material.metallic >= METAL).mean()),
        metalness_95=float(np.percentile(material.metallic, 95)),
        contrast=_span(luma),
        grid_contrast=_span(np.concatenate([luma.ravel(), *(m.ravel() for m in others)])),
        colourfulness=colourfulness(material.albedo),
    )


def metal_as_asked(material: Material) -> bool:
    """Whether there is metal if and only if the material's category is metal.

    Metal may be painted or rusty, so a tenth of the pixels is enough; elsewhere, nails and veins
    may be metal, so up to a tenth is none.
    """
    share = float((material.metallic >= METAL).mean())
    return (share >= 0.1) == (material.category == "metal")


def colourfulness(albedo_hwc: npt.NDArray[np.floating]) -> float:
    """Hasler and Süsstrunk's measure (2003, M3) of sRGB values in [0, 1]; grey is 0."""
    red, green, blue = np.moveaxis(np.asarray(albedo_hwc, np.float64), -1, 0)
    red_green, yellow_blue = red - green, 0.5 * (red + green) - blue
    spread = np.hypot(red_green.std(), yellow_blue.std())
    return float(spread + 0.3 * np.hypot(red_green.mean(), yellow_blue.mean()))


def _span(values: npt.NDArray[np.floating]) -> float:
    low, high = np.percentile(values, [5, 95])
    return float(high - low)
