"""The transfer curve agrees with the values of the standard and inverts itself."""

import numpy as np

from components.core.rendering.color import linear_to_srgb, srgb_to_linear, to_srgb_uint8


def test_known_values() -> None:
    linear = srgb_to_linear(np.array([0.0, 0.04045, 0.5, 1.0], np.float32))
    np.testing.assert_allclose(linear, [0.0, 0.0031308, 0.2140411, 1.0], atol=1e-6)


def test_all_bytes_survive_the_round_trip() -> None:
    codes = np.arange(256, dtype=np.uint8)
    assert (to_srgb_uint8(srgb_to_linear((codes / 255).astype(np.float32))) == codes).all()


def test_bright_values_are_clamped_only_in_bytes() -> None:
    bright = np.array([4.0], np.float32)
    assert linear_to_srgb(bright)[0] > 1.5
    assert to_srgb_uint8(bright)[0] == 255
