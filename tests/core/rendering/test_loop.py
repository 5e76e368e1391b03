"""The loop of the moving lamp: once round, endless, in both formats."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from components.core.materials.material import Material
from components.core.rendering.loop import FRAMES, point_light_loop, write_loop
from components.core.rendering.scene import Renderer


@pytest.mark.parametrize("suffix", [".gif", ".webp"])
def test_the_highlight_goes_once_round(tmp_path: Path, suffix: str) -> None:
    full = np.ones((16, 16), np.float32)
    metal = Material(np.full((16, 16, 3), 0.3, np.float32), full * 0.5, full * 0.5, full)
    frames = point_light_loop(Renderer(32, 16, 16), metal)
    write_loop(frames, tmp_path / f"loop{suffix}")
    with Image.open(tmp_path / f"loop{suffix}") as image:
        assert image.n_frames == FRAMES == 60
        assert image.info["loop"] == 0
        angles = []
        for number in range(FRAMES):
            image.seek(number)
            grey = np.asarray(image.convert("L")).astype(float)
            weight = np.maximum(grey - np.percentile(grey, 80), 0)
            y, x = np.mgrid[0:32, 0:32] - 15.5
            angles.append(np.arctan2(-(weight * y).sum(), (weight * x).sum()))
    expected = np.arange(FRAMES) * 2 * np.pi / FRAMES
    difference = np.angle(np.exp(1j * (np.array(angles) - expected)))
    assert np.abs(difference).max() < 0.3
