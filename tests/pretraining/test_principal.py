"""The latents that the small autoencoder is taught: optimal, invertible, reproducible."""

from pathlib import Path

import numpy as np
import torch

from components.pretraining.principal import PatchBasis


def images(count: int = 12, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, size=(count, 4, 4, 3), dtype=np.uint8)
    fine = rng.integers(-20, 21, size=(count, 32, 32, 3))
    grown = coarse.repeat(8, axis=1).repeat(8, axis=2).astype(np.int64)
    return np.clip(grown + fine, 0, 255).astype(np.uint8)


def test_all_components_give_the_image_back() -> None:
    basis = PatchBasis.fit(images(), channels=192)
    pixels = torch.from_numpy(images(3, seed=1)).float() / 255.0
    assert torch.allclose((basis.decode(basis.encode(pixels)) + 1) / 2, pixels, atol=2e-3)


def test_three_components_keep_flat_patches() -> None:
    basis = PatchBasis.fit(images(), channels=3)
    flat = torch.tensor([[[[0.2, 0.5, 0.9]]]]).expand(1, 8, 8, 3)
    restored = (basis.decode(basis.encode(flat)) + 1) / 2
    assert (restored - flat).abs().max() < 0.05


def test_latents_have_unit_variance_and_falling_spread() -> None:
    basis = PatchBasis.fit(images(64), channels=8)
    latents = basis.encode(torch.from_numpy(images(64)).float() / 255.0)
    deviations = latents.transpose(0, 1).flatten(1).std(dim=1)
    assert latents.shape == (64, 8, 4, 4)
    assert abs(float(deviations.square().mean()) - 1.0) < 0.02
    assert bool((deviations[:-1] >= deviations[1:] - 1e-3).all())


def test_a_refit_gives_the_same_basis() -> None:
    first, second = (PatchBasis.fit(images(), channels=4) for _ in range(2))
    assert torch.equal(first.vectors, second.vectors)


def test_all_parts_share_the_basis_that_was_fitted_first(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    images, others = rng.integers(0, 256, (2, 12, 16, 16, 3), dtype=np.uint8)
    path = tmp_path / "basis.safetensors"
    first = PatchBasis.once(path, images, 4)
    again = PatchBasis.once(path, others, 4)
    assert torch.equal(first.vectors, again.vectors)
    assert torch.equal(first.scale, again.scale)
    assert not torch.allclose(first.vectors, PatchBasis.fit(others, 4).vectors)
    assert [file.name for file in tmp_path.iterdir()] == [path.name]
