"""The differentiable shading against the renderer and against what is known of light."""

import math

import numpy as np
import pytest
import torch

from components.core.materials.grid import pack
from components.core.materials.material import Material
from components.core.rendering.environments import Environment, load_environments, normalised
from components.core.rendering.scene import Renderer
from components.ddpo_lora.shading import lamps_of, normals_of, shade_one, to_linear, to_srgb

SIZE, DISPLACEMENT = 48, 0.06


def bumpy(roughness: float = 0.6, metallic: float = 0.0, albedo: float = 0.5) -> Material:
    y, x = (np.mgrid[0:SIZE, 0:SIZE] + 0.5) / SIZE * 2 * np.pi
    height = (0.5 + 0.2 * np.sin(2 * x + 1) * np.cos(y) + 0.1 * np.sin(3 * y)).astype(np.float32)
    flat = np.ones((SIZE, SIZE), np.float32)
    return Material(
        albedo=np.full((SIZE, SIZE, 3), albedo, np.float32),
        height=height,
        roughness=roughness * flat,
        metallic=metallic * flat,
    )


def shaded(material: Material, environment: Environment, rotation: float) -> np.ndarray:
    grid = torch.from_numpy(pack(material))
    return shade_one(grid, lamps_of(environment, rotation), DISPLACEMENT).numpy()


def one_sided() -> Environment:
    """A soft light at 45 degrees in one direction, a little from everywhere else."""
    radiance = np.full((128, 256, 3), 0.2, np.float32)
    radiance[20:45, 30:70] = 8.0
    return normalised(Environment("side", radiance))


@pytest.mark.parametrize("metallic", [0.0, 1.0])
@pytest.mark.parametrize("rotation", [0.0, 2.0])
def test_light_comes_from_where_the_renderer_has_it(rotation: float, metallic: float) -> None:
    material, environment = bumpy(metallic=metallic), one_sided()
    renderer = Renderer(size=SIZE, spp=36, mesh_resolution=SIZE, displacement=DISPLACEMENT)
    truth = renderer.render_srgb(material, environment, rotation=rotation).astype(float) / 255.0
    likeness = {}
    for turn in (0.0, math.pi / 2, math.pi, -math.pi / 2):
        ours = shaded(material, environment, rotation + turn)
        likeness[turn] = float(np.corrcoef(ours.mean(2).ravel(), truth.mean(2).ravel())[0, 1])
    assert likeness[0.0] > 0.7, likeness
    assert likeness[0.0] > max(v for turn, v in likeness.items() if turn) + 0.5, likeness


def test_brightness_is_the_renderers() -> None:
    """Over materials and environments, in linear light: shadows are all that is missing."""
    renderer = Renderer(size=SIZE, spp=36, mesh_resolution=SIZE, displacement=DISPLACEMENT)
    ratios = []
    for environment in load_environments("")[:4]:
        for metallic in (0.0, 1.0):
            material = bumpy(metallic=metallic)
            ours = to_linear(torch.from_numpy(shaded(material, environment, 1.0))).mean()
            theirs = renderer.render(material, environment, rotation=1.0).mean()
            ratios.append(float(ours) / float(theirs))
    assert np.mean(ratios) == pytest.approx(1.0, abs=0.15), ratios
    assert np.ptp(ratios) < 0.5, ratios


def test_irradiance_on_the_plane_is_pi() -> None:
    for environment in load_environments("")[:3]:
        lamps = lamps_of(environment, 0.7)
        total = (lamps.strength_l3 * lamps.towards_l3[:, 2:]).sum(dim=0)
        torch.testing.assert_close(total, torch.full((3,), math.pi))


def test_normals_and_curves_are_the_projects_own() -> None:
    from components.core.rendering.color import linear_to_srgb, srgb_to_linear

    material = bumpy()
    ours = normals_of(torch.from_numpy(material.height), DISPLACEMENT).numpy()
    np.testing.assert_allclose(ours, material.normal(DISPLACEMENT), atol=1e-6)
    values = np.linspace(0, 1, 101).astype(np.float32)
    np.testing.assert_allclose(
        to_linear(torch.from_numpy(values)), srgb_to_linear(values), atol=1e-6
    )
    np.testing.assert_allclose(to_srgb(torch.from_numpy(values)), linear_to_srgb(values), atol=1e-6)
