"""The small CLIP's pictures and the denoiser's timesteps: drawn as their docstrings say."""

from pathlib import Path

import numpy as np
import pytest
import torch

from components.core.materials.grid import pack_uint8
from components.core.materials.library.catalogue import sample
from components.core.materials.material import CATEGORIES
from components.core.materials.prompts import is_heldout, prompt_of
from components.pretraining import pictures
from components.pretraining.base import HIGH_NOISE, HIGH_NOISE_SHARE, draw_timesteps
from components.pretraining.principal import PatchBasis


@pytest.mark.parametrize("heldout", [False, True])
def test_a_drawn_material_has_the_kind_of_prompt_asked_for(heldout: bool) -> None:
    rng = np.random.default_rng(0)
    for category in CATEGORIES[:4]:
        material = pictures.draw(rng, category, heldout)
        assert is_heldout(prompt_of(category, material.caption)) == heldout
        assert material.size[0] in pictures.MAP_SIZES


def test_a_coded_material_keeps_its_colour_and_its_character() -> None:
    rng = np.random.default_rng(1)
    materials = [sample(c, rng, 64, 1) for c in ("brick", "metal", "grass", "fabric")]
    basis = PatchBasis.fit(np.stack([pack_uint8(m) for m in materials]), channels=16)
    for material in materials:
        coded = pictures.coded(material, basis, rng)
        difference = coded.albedo.mean((0, 1)) - material.albedo.mean((0, 1))
        assert np.abs(difference).max() < 0.05
        assert abs(float(coded.metallic.mean() - material.metallic.mean())) < 0.05


def test_chunks_hold_every_category_and_named_distractors(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pictures, "CHUNK", 40)
    basis = tmp_path / "basis.safetensors"
    PatchBasis.once(basis, np.random.default_rng(0).integers(0, 256, (4, 128, 128, 3), np.uint8), 4)
    pictures._build_chunk((tmp_path, 0, basis, 0))
    made = pictures.load(tmp_path)
    assert made.images.shape == (40, pictures.SIZE, pictures.SIZE, 3)
    assert set(made.categories) == {*CATEGORIES, ""}
    assert set(made.qualities) == set(pictures.QUALITIES)
    assert len(made.qualities) == len(made.prompts) == 40
    assert made.categories.count("") == int(40 * pictures.DISTRACTOR_SHARE)
    assert made.images.std((1, 2, 3))[:37].min() > 1.0
    assert not list(tmp_path.glob("*.tmp"))


def test_high_noise_is_drawn_more_often_until_the_last_quarter() -> None:
    generator = torch.Generator().manual_seed(0)
    for progress, share in ((0.1, HIGH_NOISE_SHARE), (0.9, HIGH_NOISE_SHARE / 3)):
        t = draw_timesteps(20_000, 1000, progress, generator)
        assert t.min() >= 0
        assert t.max() == 999
        expected = share + (1 - share) * (1 - HIGH_NOISE)
        assert float((t >= 1000 * HIGH_NOISE).float().mean()) == pytest.approx(expected, abs=0.02)
