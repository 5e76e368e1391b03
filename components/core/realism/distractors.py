"""Images that show no material: what a photo database also holds, and a search must pass over.

Flat colours, gradients, noise, checkerboards, line drawings, blurred spots and glyph-like marks,
each with the caption that describes it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter

Picture = NDArray[np.uint8]


def draw_distractor(rng: np.random.Generator, size: int) -> tuple[Picture, str]:
    """A random distractor (size, size, 3) and its caption, one of `KINDS`."""
    caption = list(KINDS)[int(rng.integers(len(KINDS)))]
    return KINDS[caption](rng, size), caption


def flat(rng: np.random.Generator, size: int) -> Picture:
    """One colour everywhere."""
    return np.broadcast_to(_colour(rng), (size, size, 3)).astype(np.uint8)


def gradient(rng: np.random.Generator, size: int) -> Picture:
    """Two colours blended along a random direction."""
    angle = rng.uniform(0, 2 * np.pi)
    y, x = np.mgrid[0:size, 0:size] / size - 0.5
    t = np.clip(x * np.cos(angle) + y * np.sin(angle) + 0.5, 0, 1)[..., None]
    return (_colour(rng) * (1 - t) + _colour(rng) * t).astype(np.uint8)


def noise(rng: np.random.Generator, size: int) -> Picture:
    """Independent pixels, grey or coloured."""
    channels = 3 if rng.random() < 0.5 else 1
    values = rng.normal(128, rng.uniform(40, 90), (size, size, channels))
    return np.broadcast_to(values.clip(0, 255), (size, size, 3)).astype(np.uint8)


def checkerboard(rng: np.random.Generator, size: int) -> Picture:
    """Squares of two colours."""
    cells = int(rng.integers(3, 12))
    index = np.arange(size) * cells // size
    board = (index[:, None] + index[None, :]) % 2
    return np.stack([_colour(rng), _colour(rng)])[board].astype(np.uint8)


def line_drawing(rng: np.random.Generator, size: int) -> Picture:
    """Thin dark strokes and outlines on a light ground."""

    def strokes(draw: ImageDraw.ImageDraw, side: int) -> None:
        for _ in range(int(rng.integers(3, 10))):
            box = sorted(rng.uniform(0, side, 2)) + sorted(rng.uniform(0, side, 2))
            corners = [box[0], box[2], box[1], box[3]]
            kind = int(rng.integers(3))
            ink, width = (30, 30, 40), int(rng.integers(2, 6))
            if kind == 0:
                draw.line(corners, fill=ink, width=width)
            elif kind == 1:
                draw.ellipse(corners, outline=ink, width=width)
            else:
                draw.rectangle(corners, outline=ink, width=width)

    return _drawn(strokes, size)


def glyphs(rng: np.random.Generator, size: int) -> Picture:
    """Rows of short marks as in printed text."""

    def rows(draw: ImageDraw.ImageDraw, side: int) -> None:
        line = side / int(rng.integers(6, 12))
        y = line * 0.7
        while y < side - line:
            x = line * 0.6
            while x < side * rng.uniform(0.75, 0.95):
                width = line * rng.uniform(0.2, 0.45)
                for _ in range(int(rng.integers(1, 4))):
                    a, b = rng.uniform(0, width, 2), rng.uniform(0, line * 0.55, 2)
                    ends = [x + a[0], y + b[0], x + a[1], y + b[1]]
                    draw.line(ends, fill=(20, 20, 20), width=max(1, int(line / 8)))
                x += width + line * (0.5 if rng.random() < 0.2 else 0.12)
            y += line

    return _drawn(rows, size)


def blurred_spots(rng: np.random.Generator, size: int) -> Picture:
    """Large out-of-focus discs of several colours."""
    image = Image.new("RGB", (size, size), tuple(int(v) for v in _colour(rng)))
    draw = ImageDraw.Draw(image)
    for _ in range(int(rng.integers(4, 10))):
        x, y = rng.uniform(0, size, 2)
        r = size * rng.uniform(0.05, 0.25)
        draw.ellipse([x - r, y - r, x + r, y + r], fill=tuple(int(v) for v in _colour(rng)))
    return np.asarray(image.filter(ImageFilter.GaussianBlur(size / 12)))


KINDS: Mapping[str, Callable[[np.random.Generator, int], Picture]] = {
    "a flat colour": flat,
    "a colour gradient": gradient,
    "random noise": noise,
    "a checkerboard": checkerboard,
    "a line drawing": line_drawing,
    "printed text": glyphs,
    "blurred spots": blurred_spots,
}
"""What draws each kind, by its caption."""


def _colour(rng: np.random.Generator) -> NDArray[np.float64]:
    return rng.uniform(20, 240, 3)


def _drawn(draw: Callable[[ImageDraw.ImageDraw, int], None], size: int) -> Picture:
    """Draw at four times the size and reduce, for smooth lines."""
    image = Image.new("RGB", (4 * size, 4 * size), (245, 243, 238))
    draw(ImageDraw.Draw(image), 4 * size)
    return np.asarray(image.resize((size, size), Image.Resampling.BOX))
