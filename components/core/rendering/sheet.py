"""A contact sheet: materials side by side, each under the same few environments."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from components.core.materials.material import Material
from components.core.rendering.environments import Environment

BACKGROUND, INK = (24, 24, 26), (230, 230, 230)
LABEL = 24
"""Pixels of height for a material's name."""

Wrap = Callable[[Sequence[Material]], Iterable[Material]]


class Preview(Protocol):
    """The one thing asked of `components.core.rendering.sphere.SphereRenderer` here."""

    size: int

    def render_srgb(
        self, material: Material, environment: Environment, *, rotation: float, seed: int
    ) -> NDArray[np.uint8]:
        """8-bit sRGB with alpha (size, size, 4)."""
        ...


def contact_sheet(
    materials: Sequence[Material],
    environments: Sequence[Environment],
    preview: Preview,
    *,
    columns: int = 8,
    progress: Wrap = lambda materials: materials,
) -> NDArray[np.uint8]:
    """One image (h, w, 3): `columns` materials a row, one under the other in each environment.

    A material's category stands above it.
    """
    size = preview.size
    block = LABEL + size * len(environments)
    rows = -(-len(materials) // columns)
    sheet = Image.new("RGB", (size * min(columns, len(materials)), block * rows), BACKGROUND)
    pen = ImageDraw.Draw(sheet)
    font = ImageFont.load_default(LABEL * 0.65)
    for number, material in enumerate(progress(materials)):
        left, top = number % columns * size, number // columns * block
        name = material.category or material.caption
        pen.text((left + size / 2, top + LABEL / 2), name, INK, font, anchor="mm")
        for row, environment in enumerate(environments):
            image = Image.fromarray(
                preview.render_srgb(material, environment, rotation=0.0, seed=number)
            )
            sheet.paste(image, (left, top + LABEL + row * size), image)
    return np.asarray(sheet)
