"""Tileable maps have no seam; cut ones do."""

import numpy as np
import pytest

from components.core.materials.library.catalogue import sample
from components.core.materials.material import CATEGORIES
from components.core.materials.seam import material_seam, seam


@pytest.mark.parametrize("category", CATEGORIES)
def test_library_materials_tile(category: str) -> None:
    rng = np.random.default_rng(5)
    assert max(material_seam(sample(category, rng, 128)) for _ in range(4)) < 1.6


def test_a_wave_that_does_not_close_has_a_seam() -> None:
    t = np.linspace(0, 2 * np.pi, 64, endpoint=False, dtype=np.float32)
    closed = np.broadcast_to(np.sin(3 * t)[:, None], (64, 64))
    open_ = np.broadcast_to(np.sin(2.5 * t + 1.2)[:, None], (64, 64))
    assert seam(closed) < 1.1
    assert seam(open_) > 3
    assert seam(open_.T) == pytest.approx(seam(open_))


def test_a_ramp_has_a_seam_and_a_flat_map_has_none() -> None:
    ramp = np.linspace(0, 1, 32, dtype=np.float32)[None].repeat(32, 0)
    assert seam(ramp) > 10
    assert seam(np.full((32, 32, 3), 0.4, np.float32)) == 0.0


def test_a_crop_of_bricks_has_a_seam() -> None:
    material = sample("brick", np.random.default_rng(0), 128)
    assert seam(material.height[:101, :]) > seam(material.height)
