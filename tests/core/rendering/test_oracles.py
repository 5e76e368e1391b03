"""The renderer against closed forms: energy, the microfacet model, shadows, the light's circle."""

import numpy as np
import pytest

from components.core.materials.material import Material
from components.core.rendering.color import srgb_to_linear
from components.core.rendering.environments import Environment, irradiance
from components.core.rendering.scene import FIELD_OF_VIEW, Renderer

SIZE = 32
GOLD = np.array([1.0, 0.8, 0.3], np.float32)


def flat(
    albedo: np.ndarray | float, roughness: float, metallic: float, size: int = SIZE
) -> Material:
    full = np.ones((size, size), np.float32)
    return Material(
        np.broadcast_to(np.asarray(albedo, np.float32), (size, size, 3)).copy(),
        full * 0.5,
        full * roughness,
        full * metallic,
    )


def cook_torrance(f0: np.ndarray, roughness: float, angle: float) -> np.ndarray:
    """Radiance (SIZE, SIZE, 3) of a flat metal under `render_point_light`'s lamp.

    GGX with alpha = roughness^2 (Walter et al. 2007), Smith's masking for light and camera apart,
    Schlick's Fresnel term; written from the formulas, with the camera and lamp that the renderer's
    docstrings promise.
    """
    along = (np.arange(SIZE) + 0.5) / SIZE
    x, y = np.meshgrid(along, 1 - along)
    points = np.stack([x, y, np.zeros_like(x)], -1)
    camera = np.array([0.5, 0.5, 0.5 / np.tan(np.deg2rad(FIELD_OF_VIEW / 2))])
    radius, elevation = 0.6, 1.3
    lamp = np.array([0.5 + radius * np.cos(angle), 0.5 + radius * np.sin(angle), elevation])
    to_lamp, to_eye = lamp - points, camera - points
    square = (to_lamp**2).sum(-1)
    to_lamp = to_lamp / np.sqrt(square)[..., None]
    to_eye = to_eye / np.linalg.norm(to_eye, axis=-1, keepdims=True)
    half = to_lamp + to_eye
    half /= np.linalg.norm(half, axis=-1, keepdims=True)
    alpha = roughness**2
    ndf = alpha**2 / (np.pi * (half[..., 2] ** 2 * (alpha**2 - 1) + 1) ** 2)

    def masking(cosine: np.ndarray) -> np.ndarray:
        return 2 / (1 + np.sqrt(1 + alpha**2 * (1 / cosine**2 - 1)))

    cos_i, cos_o = to_lamp[..., 2], to_eye[..., 2]
    fresnel = f0 + (1 - f0) * ((1 - (to_lamp * half).sum(-1)) ** 5)[..., None]
    brdf = fresnel * (ndf * masking(cos_i) * masking(cos_o) / (4 * cos_i * cos_o))[..., None]
    distance = np.hypot(radius, elevation)
    intensity = np.pi * distance**3 / elevation
    return brdf * (intensity * cos_i / square)[..., None]


@pytest.fixture(scope="module", params=["multijitter", "interleaved"])
def principled(request: pytest.FixtureRequest) -> Renderer:
    """Interleaved over the whole image, whose mean is then exact; a square of 1 errs as a whole."""
    return Renderer(SIZE, 64, 16, sampler=request.param, interleave=SIZE)


@pytest.mark.parametrize("roughness", [0.25, 0.35, 0.6, 0.9])
@pytest.mark.parametrize("angle", [0.0, 2.0])
def test_a_flat_metal_has_the_analytic_ggx_highlight(
    principled: Renderer, roughness: float, angle: float
) -> None:
    image = principled.render_point_light(flat(GOLD, roughness, 1.0), angle)
    expected = cook_torrance(srgb_to_linear(GOLD), roughness, angle)
    assert expected.max() > 1.5 * expected.min()
    # The closed form is taken at pixel centres, the image over pixels.
    np.testing.assert_allclose(image, expected, rtol=0.04, atol=0.01 * expected.max())


def sent_back(roughness: float, metallic: float, cosine: float) -> float:
    """The share of a constant light that a white surface sends towards one direction.

    By quadrature of the formulas: Burley 2012 (diffuse light with its return at grazing angles),
    GGX with alpha = roughness^2 and Smith's masking, Fresnel's equations for an index of 1.5 or a
    metal that reflects all. The sum over half vectors lies as densely as GGX itself.
    """
    eye = np.array([np.sqrt(1 - cosine**2), 0.0, cosine])
    alpha, steps = roughness**2, (np.arange(400) + 0.5) / 400
    share, turn = np.meshgrid(steps, 2 * np.pi * steps, indexing="ij")

    def directions(z: np.ndarray) -> np.ndarray:
        flat = np.sqrt(1 - z**2)
        return np.stack([flat * np.cos(turn), flat * np.sin(turn), z], axis=-1)

    def masking(cosines: np.ndarray | float) -> np.ndarray:
        return 2 / (1 + np.sqrt(1 + alpha**2 * (1 / np.square(cosines) - 1)))

    half = directions(np.sqrt((1 - share) / (1 + (alpha**2 - 1) * share)))
    along = half @ eye
    light = 2 * along[..., None] * half - eye
    above = (light[..., 2] > 0) & (along > 0)
    lifted, along = np.where(above, light[..., 2], 1.0), np.where(above, along, 1.0)
    inside = np.sqrt(1 - (1 - along**2) / 1.5**2)
    across = ((along - 1.5 * inside) / (along + 1.5 * inside)) ** 2
    parallel = ((inside - 1.5 * along) / (inside + 1.5 * along)) ** 2
    fresnel = metallic + (1 - metallic) * (across + parallel) / 2
    shadowed = masking(lifted) * masking(cosine)
    glossy = np.where(above, fresnel * shadowed * along / (cosine * half[..., 2]), 0.0).mean()

    light = directions(np.sqrt(share))  # as densely as the cosine
    between = light + eye
    along = (between * eye).sum(-1) / np.linalg.norm(between, axis=-1)
    grazing = 0.5 + 2 * roughness * along**2 - 1
    diffuse = (1 + grazing * (1 - light[..., 2]) ** 5) * (1 + grazing * (1 - cosine) ** 5)
    return float(glossy + (1 - metallic) * diffuse.mean())


@pytest.mark.parametrize("metallic", [0.0, 1.0])
@pytest.mark.parametrize("roughness", [0.1, 0.3, 0.5, 0.7, 1.0])
def test_a_white_furnace_gives_back_what_the_formulas_say(
    principled: Renderer, roughness: float, metallic: float
) -> None:
    white = Environment("white", np.ones((128, 256, 3), np.float32))
    image = principled.render(flat(1.0, roughness, metallic), white)
    # Seen at cosines from 1 in the middle to 0.954 in the corners, which hardly matters.
    expected = np.mean([sent_back(roughness, metallic, cosine) for cosine in (0.9999, 0.96)])
    assert float(image.mean()) == pytest.approx(expected, rel=0.003)


def test_a_lambert_plane_has_the_radiance_albedo_e_over_pi() -> None:
    """Whatever the irradiance E: of skies as they come, and of a lamp, pixel by pixel."""
    renderer = Renderer(SIZE, 64, 16, bsdf="lambert")
    plane, albedo = flat(GOLD, 0.5, 0.0), srgb_to_linear(GOLD)
    for strength in (0.05, 20.0):
        sky = np.random.default_rng(4).gamma(1.0, strength, (128, 256, 3)) * [0.3, 1.0, 4.0]
        light = Environment("as it comes", sky.astype(np.float32))
        expected = albedo * irradiance(light.radiance) / np.pi
        found = renderer.render(plane, light).mean(axis=(0, 1))
        np.testing.assert_allclose(found, expected, rtol=0.01)
    angle, radius, elevation = 1.0, 0.9, 0.7
    along = (np.arange(SIZE) + 0.5) / SIZE
    x, y = np.meshgrid(along, 1 - along)
    lamp = np.array([0.5 + radius * np.cos(angle), 0.5 + radius * np.sin(angle)])
    distance = np.sqrt((x - lamp[0]) ** 2 + (y - lamp[1]) ** 2 + elevation**2)
    falling = np.pi * np.hypot(radius, elevation) ** 3 / distance**3  # pi in the middle
    assert falling.max() > 5 * falling.min()
    image = renderer.render_point_light(plane, angle, radius=radius, elevation=elevation)
    np.testing.assert_allclose(image, albedo * falling[..., None] / np.pi, rtol=0.01)


@pytest.mark.parametrize("metallic", [0.0, 1.0])
def test_a_white_surface_never_gives_back_more_than_it_gets(
    principled: Renderer, metallic: float
) -> None:
    white = Environment("white", np.ones((128, 256, 3), np.float32))
    reflected = [
        float(principled.render(flat(1.0, roughness, metallic), white).mean())
        for roughness in (0.1, 0.3, 0.5, 0.7, 1.0)
    ]
    # Disney's diffuse lobe gains up to 5 % at grazing angles; its specular lobe loses what would
    # be scattered more than once.
    assert max(reflected) < 1.06
    if not metallic:
        assert min(reflected) > 0.93
    else:
        assert reflected == sorted(reflected, reverse=True)
        assert reflected[0] > 0.95


def test_a_wall_throws_its_shadow_away_from_the_lamp() -> None:
    renderer = Renderer(64, 36, 64, displacement=0.3, bsdf="lambert", wrap="mirror")
    wall = flat(1.0, 0.5, 0.0, size=64)
    height = np.zeros((64, 64), np.float32)
    height[:, 28:36] = 1.0
    wall = Material(wall.albedo, height, wall.roughness, wall.metallic)
    plain = flat(1.0, 0.5, 0.0, size=64)
    low = {"radius": 2.0, "elevation": 1.0}
    from_right = renderer.render_point_light(wall, 0.0, **low)[..., 0]
    from_left = renderer.render_point_light(wall, np.pi, **low)[..., 0]
    lit = renderer.render_point_light(plain, 0.0, **low)[..., 0]
    # The wall is 0.3 high and the light comes in at 1:2, so the shadow is 0.6 wide: all the left.
    assert from_right[16:48, 8:24].max() < 0.1 * lit[16:48, 8:24].min()
    assert from_right[16:48, 44:56].min() > 0.5 * lit[16:48, 44:56].min()
    assert np.abs(from_left - from_right[:, ::-1]).mean() < 0.03


def test_the_lamp_goes_round_once_in_a_turn_and_mirrors_with_the_material() -> None:
    renderer = Renderer(SIZE, 64, 16)
    bump = flat(0.6, 0.4, 0.0)
    x = np.linspace(-1, 1, SIZE)
    bump.height[:] = np.exp(-4 * (x[:, None] ** 2 + x[None, :] ** 2))
    frames = [renderer.render_point_light(bump, angle) for angle in (0, np.pi / 2, np.pi)]
    np.testing.assert_allclose(np.rot90(frames[0]), frames[1], atol=0.08)
    np.testing.assert_allclose(frames[0][:, ::-1], frames[2], atol=0.08)
