"""Light for real-time shading: energy, symmetry, and the renderer as the oracle."""

from __future__ import annotations

import numpy as np
import pytest

from components.core.materials.material import Material
from components.core.rendering.embedded import embedded_environments
from components.core.rendering.environments import Environment
from components.core.rendering.prefilter import (
    ROUGHNESSES,
    directional_albedo,
    directions,
    prefiltered,
)
from components.core.rendering.scene import Renderer


def test_uniform_light_stays_uniform_whatever_the_lobe() -> None:
    grey = Environment("grey", np.full((64, 128, 3), 0.7, np.float32))
    mirror, lobes, irradiance = prefiltered(grey)
    assert len(lobes) == len(ROUGHNESSES) - 1
    for light in (mirror, lobes, irradiance):
        np.testing.assert_allclose(light, 0.7, rtol=1e-4)


def test_rough_lobes_are_smoother_and_keep_their_direction() -> None:
    radiance = np.full((128, 256, 3), 0.01, np.float32)
    radiance[30:38, 60:70] = 50.0  # one lamp
    _, lobes, _ = prefiltered(Environment("lamp", radiance))
    peaks = [float(lobe.max()) for lobe in lobes]
    assert peaks == sorted(peaks, reverse=True)
    for lobe in lobes[:4]:
        row, column = np.unravel_index(int(lobe[..., 0].argmax()), lobe.shape[:2])
        assert (row, column) == pytest.approx((34 / 4, 65 / 4), abs=1.5)


def test_irradiance_upwards_is_what_environments_are_normalised_to() -> None:
    _, _, irradiance = prefiltered(embedded_environments(1)[0])
    # pi over pi; the first row looks up, but for half a texel.
    np.testing.assert_allclose(irradiance[0].mean(axis=0), 1.0, rtol=0.03)


def test_directions_cover_the_sphere() -> None:
    vectors, area = directions(32, 64)
    assert area.sum() == pytest.approx(4 * np.pi, rel=1e-3)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=-1), 1.0, rtol=1e-6)
    assert vectors[0, 0, 1] > 0.99


def test_no_lobe_gives_more_light_than_it_gets() -> None:
    table = directional_albedo()
    total = table.sum(axis=-1)  # F0 = 1
    assert total.max() <= 1.001
    assert total[0, 8:].min() > 0.99  # a mirror loses nothing
    assert total[-1].max() < 0.95  # a rough one does, for want of a second bounce
    assert np.all(table >= 0)


@pytest.mark.parametrize(("roughness", "metallic"), [(0.5, 1.0), (0.9, 0.0), (0.3, 0.0)])
def test_a_flat_tile_from_above_is_as_bright_as_rendered(roughness: float, metallic: float) -> None:
    environment = embedded_environments(3)[2]
    flat = np.full((8, 8), 0.5, np.float32)
    material = Material(
        np.full((8, 8, 3), 0.6, np.float32), flat, np.full_like(flat, roughness),
        np.full_like(flat, metallic),
    )  # fmt: skip
    rendered = Renderer(size=16, spp=256, mesh_resolution=4, displacement=0.0).render(
        material, environment
    )
    # The middle of the tile: seen from above, so the reflection points up.
    seen = rendered[7:9, 7:9].mean(axis=(0, 1))
    base = ((0.6 + 0.055) / 1.055) ** 2.4
    _, lobes, irradiance = prefiltered(environment)
    f0 = 0.04 * (1 - metallic) + base * metallic
    level = np.interp(roughness, ROUGHNESSES[1:], range(len(lobes)))
    below, share = int(level), level - int(level)
    above = min(below + 1, len(lobes) - 1)
    up = ((1 - share) * lobes[below] + share * lobes[above])[0].mean(axis=0)
    scale, offset = directional_albedo()[int(roughness * 32), -1]
    expected = base * (1 - metallic) * irradiance[0].mean(axis=0) + up * (f0 * scale + offset)
    np.testing.assert_allclose(seen, expected, rtol=0.12)
