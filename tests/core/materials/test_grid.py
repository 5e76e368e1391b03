"""The 2×2 grid: exact round trips and the paper's order of maps."""

import numpy as np
import pytest

from components.core.materials.augment import augment_grid
from components.core.materials.grid import pack, pack_uint8, unpack, unpack_uint8
from components.core.materials.material import Material


def material(size: int = 8, seed: int = 0) -> Material:
    rng = np.random.default_rng(seed)

    def field(*shape: int) -> np.ndarray:
        return rng.random(shape, dtype=np.float32)

    return Material(field(size, size, 3), field(size, size), field(size, size), field(size, size))


def test_pack_then_unpack_is_exact() -> None:
    original = material()
    restored = unpack(pack(original))
    for name, values in original.maps().items():
        assert np.array_equal(restored.maps()[name], values), name


def test_eight_bits_round_trip_exactly_the_second_time() -> None:
    once = unpack_uint8(pack_uint8(material()))
    assert np.array_equal(pack_uint8(unpack_uint8(pack_uint8(once))), pack_uint8(once))


def test_the_order_is_albedo_height_roughness_metallic() -> None:
    flat = np.ones((2, 2), np.float32)
    grid = pack(Material(np.zeros((2, 2, 3), np.float32), 0.25 * flat, 0.5 * flat, flat))
    corners = [grid[0, 0, 0], grid[0, 3, 0], grid[3, 0, 0], grid[3, 3, 0]]
    assert corners == [0.0, 0.25, 0.5, 1.0]


def test_augmentation_moves_all_maps_alike() -> None:
    tile = np.arange(64, dtype=np.uint8).reshape(8, 8)
    one = np.repeat(tile[..., None], 3, axis=-1)
    grid = np.block([[[one], [one]], [[one], [one]]])
    moved = augment_grid(grid, np.random.default_rng(3))
    assert not np.array_equal(moved, grid)
    assert np.array_equal(moved[:8, :8], moved[8:, 8:])
    assert np.array_equal(moved[:8, :8], moved[:8, 8:])
    assert sorted(moved[:8, :8, 0].ravel()) == sorted(tile.ravel())


@pytest.mark.parametrize("shape", [(7, 8, 3), (8, 8), (8, 8, 4)])
def test_a_grid_of_another_shape_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="a grid must be"):
        unpack(np.zeros(shape, np.float32))


def test_invalid_maps_are_refused() -> None:
    good = material()
    broken = good.height.copy()
    broken[0, 0] = np.nan
    with pytest.raises(ValueError, match="height holds NaN"):
        Material(good.albedo, broken, good.roughness, good.metallic)
    with pytest.raises(ValueError, match="roughness must lie in"):
        Material(good.albedo, good.height, good.roughness + 1, good.metallic)


def test_normals_of_a_ramp_lean_against_the_slope() -> None:
    height = np.tile(np.linspace(0, 1, 16, dtype=np.float32), (16, 1))
    flat = np.zeros((16, 16), np.float32)
    normal = Material(np.zeros((16, 16, 3), np.float32), height, flat, flat).normal(1.0)
    assert normal[8, 8, 0] < -0.5, "height rises to the right, so the normal leans left"
    assert abs(normal[8, 8, 1]) < 1e-6
    upwards = Material(np.zeros((16, 16, 3), np.float32), height.T.copy(), flat, flat).normal(1.0)
    assert upwards[8, 8, 1] > 0.5, "rows run down: height rises downwards, the normal leans up"
