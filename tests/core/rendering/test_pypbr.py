"""The renderer against PyPBR, an independent Cook-Torrance implementation, on textured materials.

PyPBR squares nothing: what it calls roughness is GGX's alpha, which for us is roughness².
"""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from pypbr.models.cooktorrance import CookTorranceBRDF

from components.core.materials.library.catalogue import sample
from components.core.materials.material import Material
from components.core.materials.sources import load_pbr_set
from components.core.rendering.color import srgb_to_linear
from components.core.rendering.scene import FIELD_OF_VIEW, Renderer

SIZE, TILE = 128, 4
RADIUS, ELEVATION = 0.6, 1.3
REAL = Path(__file__).parents[4] / "shared" / "real" / "pbr"
"""Real sets are not part of the repository; they may lie beside it."""


@pytest.fixture(scope="module")
def renderer() -> Renderer:
    return Renderer(SIZE, 64, 16, displacement=0.0, wrap="mirror")


def by_pypbr(material: Material, angle: float) -> NDArray[np.float32]:
    """Linear radiance (SIZE, SIZE, 3) from our camera, under our lamp.

    PyPBR looks at a whole image from one direction, so it is asked tile by tile.
    """
    lamp = np.array([RADIUS * np.cos(angle), RADIUS * np.sin(angle), ELEVATION])
    camera = np.array([0, 0, 0.5 / np.tan(np.deg2rad(FIELD_OF_VIEW / 2))])
    intensity = float(np.pi * np.hypot(RADIUS, ELEVATION) ** 3 / ELEVATION)
    found = np.empty((SIZE, SIZE, 3), np.float32)
    for row in range(0, SIZE, TILE):
        for column in range(0, SIZE, TILE):
            window = np.s_[row : row + TILE, column : column + TILE]
            middle = np.array([column + TILE / 2 - SIZE / 2, SIZE / 2 - row - TILE / 2, 0]) / SIZE
            # PyPBR cuts off at 1, so a thousandth of the light and a thousand times the result.
            lit = CookTorranceBRDF("point")(
                SimpleNamespace(
                    device="cpu",
                    normal=None,
                    roughness=tensor(material.roughness[window] ** 2),
                    metallic=tensor(material.metallic[window]),
                    linear_albedo=tensor(srgb_to_linear(material.albedo[window])),
                ),
                torch.from_numpy(camera - middle).float(),
                torch.from_numpy(lamp - middle).float(),
                torch.full((3,), intensity / 1000),
                (TILE - 1) / SIZE,  # from the first pixel's centre to the last's
                return_srgb=False,
            )
            found[window] = lit.permute(1, 2, 0).numpy() * 1000
    return found


def tensor(values: NDArray[np.float32]) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(np.atleast_3d(values))).permute(2, 0, 1)


@pytest.mark.parametrize("category", ["brick", "metal", "leather", "wood", "marble"])
@pytest.mark.parametrize("angle", [0.0, 2.0])
def test_textured_planes_look_as_in_pypbr(renderer: Renderer, category: str, angle: float) -> None:
    compare(renderer, sample(category, np.random.default_rng(3), SIZE), angle)


def compare(renderer: Renderer, material: Material, angle: float, median: float = 0.015) -> None:
    """The material, flattened, as both see it; median: how far that of the difference may be."""
    flat = replace(material, height=np.full((SIZE, SIZE), 0.5, np.float32))
    ours = renderer.render_point_light(flat, angle, radius=RADIUS, elevation=ELEVATION)
    theirs = by_pypbr(flat, angle)
    # PyPBR's diffuse light loses what is reflected specularly, 4 % from above; Disney's does not.
    assert 0.97 < ours.mean() / theirs.mean() < 1.06
    assert abs(float(np.median((ours - theirs) / theirs)) - 0.04) < median
    assert np.corrcoef(ours.ravel(), theirs.ravel())[0, 1] > 0.98
    # Were its roughness ours, not ours squared, it would be another picture.
    wrong = by_pypbr(replace(flat, roughness=np.sqrt(flat.roughness)), angle)
    assert np.abs(wrong - ours).mean() > 1.2 * np.abs(theirs - ours).mean()


@pytest.mark.parametrize("name", ["bricks", "rock"])
def test_real_sets_look_as_in_pypbr(renderer: Renderer, name: str) -> None:
    folder = REAL / name
    if not folder.is_dir():
        pytest.skip(f"no real PBR set in {folder}, beside the repository")
    # Dark bricks lose more of their light to the specular part than pale library materials.
    compare(renderer, load_pbr_set(folder, SIZE), 2.0, median=0.03)
