"""Variations are other pieces of the same material, and normals turn with their heights."""

import colorsys
from dataclasses import replace

import numpy as np
import pytest

from components.core.materials.augment import augment_grid
from components.core.materials.grid import pack_uint8, unpack_uint8
from components.core.materials.library.catalogue import sample
from components.core.materials.library.variation import turn_of_hue, variation
from components.core.materials.material import Material
from components.core.materials.seam import seam


def test_a_variation_differs_but_stays_the_same_seamless_material() -> None:
    for category in ("brick", "metal", "fabric"):
        material = sample(category, np.random.default_rng(0), 64)
        varied = variation(material, np.random.default_rng(1))
        assert (varied.caption, varied.category) == (material.caption, category)
        assert not np.array_equal(varied.albedo, material.albedo)
        assert np.abs(varied.albedo.mean((0, 1)) - material.albedo.mean((0, 1))).max() < 0.2
        assert seam(varied.height) <= max(seam(material.height), 1.0) + 0.1


def test_a_variation_of_a_large_map_may_halve_the_scale() -> None:
    material = sample("granite", np.random.default_rng(0), 256)
    for seed in range(12):
        varied = variation(material, np.random.default_rng(seed))
        assert varied.size == (256, 256)
        if np.array_equal(varied.height[:128], varied.height[128:]):
            return
    raise AssertionError("no variation repeated the tile")


def hue(rgb: np.ndarray) -> float:
    return colorsys.rgb_to_hsv(*rgb.tolist())[0] * 360


def test_a_turn_of_hue_turns_hues_and_leaves_greys() -> None:
    for angle in (-30.0, 10.0, 120.0):
        turn = turn_of_hue(np.deg2rad(angle))
        np.testing.assert_allclose(turn @ np.full(3, 0.4), np.full(3, 0.4), atol=1e-9)
        np.testing.assert_allclose(turn @ turn.T, np.eye(3), atol=1e-9)
    # By a third of the circle red becomes green, which is a turn to greater hues.
    np.testing.assert_allclose(turn_of_hue(2 * np.pi / 3) @ [1, 0, 0], [0, 1, 0], atol=1e-9)


def test_variations_differ_in_hue_roughness_wear_and_relief() -> None:
    brick = sample("brick", np.random.default_rng(4), 64)
    made = [variation(brick, np.random.default_rng(seed)) for seed in range(24)]
    hues = np.array([hue(one.albedo.mean((0, 1))) for one in made]) - hue(brick.albedo.mean((0, 1)))
    hues = (hues + 180) % 360 - 180
    assert 2.0 < hues.std() < 10.0
    assert np.abs(hues).max() < 25.0  # the words stay true
    assert np.std([one.roughness.mean() for one in made]) > 0.03
    assert np.std([one.height.std() for one in made]) > 0.03 * brick.height.std()
    assert len({one.albedo.tobytes() for one in made}) == 24


def test_what_stands_out_bleaches_and_hollows_grow_dark() -> None:
    """On average over many variations; a single one may have neither."""
    grey = np.full((64, 64), 0.5, np.float32)
    height = grey.copy()
    height[:, 8:16], height[:, 40:48] = 0.9, 0.1
    flat = Material(np.full((64, 64, 3), 0.5, np.float32), height, grey, grey * 0)
    seen = []
    for seed in range(40):
        one = variation(flat, np.random.default_rng(seed))
        high, low = one.height > one.height.mean() + 0.1, one.height < one.height.mean() - 0.1
        seen.append([one.albedo[high].mean() - one.albedo[low].mean(),
                     one.roughness[high].mean() - one.roughness[low].mean()])  # fmt: skip
    bleaching, polish = np.mean(seen, axis=0)
    assert bleaching > 0.03
    assert polish < -0.01


def test_what_does_not_tile_is_cut_and_never_shifted_over_its_border() -> None:
    across = np.tile(np.linspace(0, 1, 48, dtype=np.float32), (48, 1))
    ramp = Material(np.repeat(across[..., None], 3, -1), across, across * 0 + 0.5, across * 0)
    for seed in range(12):
        steps = np.diff(variation(ramp, np.random.default_rng(seed)).height, axis=1)
        assert (steps >= -1e-6).all() or (steps <= 1e-6).all()  # a shifted ramp has a cliff


@pytest.mark.parametrize("turns", [1, 2, 3])
def test_turned_heights_have_turned_normals(turns: int) -> None:
    """np.rot90 turns anticlockwise, so a normal (x, y) becomes (-y, x) at the turned place."""
    rock = sample("rock", np.random.default_rng(2), 32)
    turned = replace(rock, height=np.rot90(rock.height, turns).copy())
    expected = np.rot90(rock.normal(), turns)
    for _ in range(turns):
        expected = np.stack([-expected[..., 1], expected[..., 0], expected[..., 2]], axis=-1)
    np.testing.assert_allclose(turned.normal(), expected, atol=1e-6)


def test_augmented_grids_have_one_operation_for_all_maps() -> None:
    """Each map is the height again, so whatever was done to one was done to all."""
    height = sample("rock", np.random.default_rng(2), 32).height
    same = Material(np.repeat(height[..., None], 3, -1), height, height, height)
    for seed in range(8):
        grid = unpack_uint8(augment_grid(pack_uint8(same), np.random.default_rng(seed)))
        for values in (grid.roughness, grid.metallic, grid.albedo[..., 0]):
            np.testing.assert_allclose(values, grid.height, atol=1 / 255)
