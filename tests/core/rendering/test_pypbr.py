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
from scipy.ndimage import convolve1d

from components.core.materials.library.catalogue import sample
from components.core.materials.material import Material
from components.core.materials.pbr_set import load_pbr_set
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


def as_ours(theirs: NDArray[np.float32], material: Material, angle: float) -> NDArray[np.float32]:
    """PyPBR's radiance by two conventions of ours, in closed form.

    PyPBR takes from the diffuse light what is reflected specularly, a factor 1 - F; Disney's BRDF
    does not. PyPBR looks up the maps at pixel centres; ours averages their bilinear interpolation
    over a pixel, which is the filter (1/8, 3/4, 1/8).
    """
    along = (np.arange(SIZE) + 0.5) / SIZE - 0.5
    x, y = np.meshgrid(along, -along)
    points = np.stack([x, y, np.zeros_like(x)], axis=-1)
    to_lamp = np.array([RADIUS * np.cos(angle), RADIUS * np.sin(angle), ELEVATION]) - points
    to_eye = np.array([0, 0, 0.5 / np.tan(np.deg2rad(FIELD_OF_VIEW / 2))]) - points
    square = (to_lamp**2).sum(axis=-1, keepdims=True)
    to_lamp = to_lamp / np.sqrt(square)
    half = to_lamp + to_eye / np.linalg.norm(to_eye, axis=-1, keepdims=True)
    half /= np.linalg.norm(half, axis=-1, keepdims=True)
    albedo, metallic = srgb_to_linear(material.albedo), material.metallic[..., None]
    f0 = 0.04 + (albedo - 0.04) * metallic
    fresnel = f0 + (1 - f0) * (1 - (half * to_lamp).sum(axis=-1, keepdims=True)) ** 5
    intensity = np.pi * np.hypot(RADIUS, ELEVATION) ** 3 / ELEVATION
    taken = (1 - metallic) * albedo / np.pi * fresnel * intensity * to_lamp[..., 2:] / square
    image = theirs + taken
    for axis in (0, 1):
        image = convolve1d(image, [0.125, 0.75, 0.125], axis=axis, mode="nearest")
    return image.astype(np.float32)


def compare(
    renderer: Renderer, material: Material, angle: float, median: float, most: float
) -> None:
    """The material, flattened, as both see it: how far the median and 98 % of the values may be
    apart, as shares of PyPBR's."""
    flat = replace(material, height=np.full((SIZE, SIZE), 0.5, np.float32))
    ours = renderer.render_point_light(flat, angle, radius=RADIUS, elevation=ELEVATION)
    theirs = as_ours(by_pypbr(flat, angle), flat, angle)
    apart = (ours - theirs) / theirs
    assert abs(float(np.median(apart))) < median
    assert np.abs(np.quantile(apart, [0.01, 0.99])).max() < most
    # Were its roughness ours, not ours squared, it would be another picture.
    wrong = as_ours(by_pypbr(replace(flat, roughness=np.sqrt(flat.roughness)), angle), flat, angle)
    assert np.abs(wrong - ours).mean() > 2 * np.abs(theirs - ours).mean()


@pytest.mark.parametrize(
    ("category", "median", "most"),
    [
        ("brick", 0.004, 0.01),
        ("leather", 0.004, 0.01),
        ("marble", 0.004, 0.05),
        ("wood", 0.006, 0.04),
        # What is not metal has no masking to speak of, for which PyPBR has an approximation.
        ("metal", 0.012, 0.07),
    ],
)
@pytest.mark.parametrize("angle", [0.0, 2.0])
def test_textured_planes_look_as_in_pypbr(
    renderer: Renderer, category: str, angle: float, median: float, most: float
) -> None:
    """Of maps that change slowly, because a highlight is no linear function of them."""
    made = sample(category, np.random.default_rng(3), SIZE).resized(SIZE // 4).resized(SIZE)
    compare(renderer, made, angle, median, most)


@pytest.mark.parametrize("name", ["bricks", "rock"])
def test_real_sets_look_as_in_pypbr(renderer: Renderer, name: str) -> None:
    folder = REAL / name
    if not folder.is_dir():
        pytest.skip(f"no real PBR set in {folder}, beside the repository")
    compare(renderer, load_pbr_set(folder, SIZE), 2.0, median=0.008, most=0.025)
