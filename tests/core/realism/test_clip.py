"""The small CLIP and its features."""

from pathlib import Path

import numpy as np
import open_clip
import pytest
import torch
from open_clip.transformer import QuickGELU

from components.core.errors import UserError
from components.core.realism.clip import ClipFeatures
from components.core.realism.small import build_small_clip, save_clip
from pipelines.recipe import load_recipe

CAPTIONS = ["brick, weathered red brick wall", "metal, rusty steel plate", "grass, green lawn"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("clip")
    model, tokenizer = build_small_clip(CAPTIONS)
    save_clip(model, tokenizer, path)
    assert sum(p.numel() for p in model.parameters()) <= 1_600_000
    return path


@pytest.fixture(scope="module")
def clip(folder: Path) -> ClipFeatures:
    return ClipFeatures.load(str(folder))


def images(count: int, size: int = 64) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (count, size, size, 3), dtype=np.uint8)


def test_features_are_unit_vectors_of_one_space(clip: ClipFeatures) -> None:
    image, text = clip.images(images(3)), clip.texts(CAPTIONS)
    assert image.shape == text.shape == (3, clip.dimension)
    for features in (image, text):
        np.testing.assert_allclose(np.linalg.norm(features, axis=1), 1, rtol=1e-5)


def test_a_feature_does_not_depend_on_its_batch(clip: ClipFeatures) -> None:
    batch = images(5)
    np.testing.assert_allclose(clip.images(batch)[3:4], clip.images(batch[3:4]), atol=1e-5)


def test_texts_of_any_kind_have_features_and_different_texts_differ(clip: ClipFeatures) -> None:
    features = clip.texts(["brick", "métal ☃ never seen", "word " * 500, "BRICK"])
    assert np.isfinite(features).all()
    np.testing.assert_allclose(features[0], features[3], atol=1e-6)
    assert np.abs(features[0] - features[1]).max() > 1e-3


def test_sizes_are_reduced_without_aliasing(clip: ClipFeatures) -> None:
    """A flat grey image and a fine checkerboard of the same mean look alike when small."""
    fine = np.indices((256, 256)).sum(0) % 2 * 255
    checker = np.repeat(fine[..., None], 3, axis=2).astype(np.uint8)[None]
    grey = np.full_like(checker, 127)
    both = clip.images(np.concatenate([checker, grey]))
    assert float(both[0] @ both[1]) > 0.999


def test_save_and_load_keep_the_features(folder: Path, clip: ClipFeatures) -> None:
    again = ClipFeatures.load(str(folder))
    np.testing.assert_array_equal(again.images(images(2)), clip.images(images(2)))


def test_zero_shot_takes_the_nearest_category(clip: ClipFeatures) -> None:
    names = ["brick", "metal", "grass"]
    order = [2, 0, 1]
    assert clip.zero_shot(clip.categories(names)[order], names).tolist() == order


def test_wrong_uri_and_pickled_weights_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"open_clip_config\.json"):
        ClipFeatures.load(str(tmp_path / "nowhere"))
    (tmp_path / "open_clip_config.json").write_text("{}")
    (tmp_path / "open_clip_pytorch_model.bin").write_bytes(b"")
    with pytest.raises(UserError, match="safetensors"):
        ClipFeatures.load(str(tmp_path))
    with pytest.raises(UserError, match="NoSuchModel"):
        ClipFeatures.load("NoSuchModel|openai")


def test_wrong_image_arrays_are_refused(clip: ClipFeatures) -> None:
    with pytest.raises(ValueError):
        clip.images(np.zeros((1, 64, 64, 3), np.float32))


PAPER = str(load_recipe("paper").reward_training.clip)


@pytest.mark.parametrize(
    ("uri", "quick"),
    [(PAPER, True), ("ViT-B-32|openai", True), ("ViT-B-32|laion2b_s34b_b79k", False)],
)
def test_a_model_has_the_activation_that_its_weights_were_trained_with(
    uri: str, quick: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The tag says which (`get_pretrained_cfg`); the weights themselves are not fetched."""
    create = open_clip.create_model_and_transforms
    asked: list[tuple[str, str]] = []

    def without_weights(name: str, pretrained: str, **options: bool):  # type: ignore[no-untyped-def]
        asked.append((name, pretrained))
        return create(name, None, device="meta", **options)

    monkeypatch.setattr(open_clip, "create_model_and_transforms", without_weights)
    with torch.device("meta"):
        model = ClipFeatures.load(uri, device="meta").model
    (tag,) = asked
    assert bool(open_clip.get_pretrained_cfg(*tag).get("quick_gelu")) is quick
    for tower in (model.visual, model.transformer):
        activations = [m for m in tower.modules() if isinstance(m, QuickGELU | torch.nn.GELU)]
        assert activations
        assert {isinstance(m, QuickGELU) for m in activations} == {quick}
