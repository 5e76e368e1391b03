"""The trainer of the small CLIP learns, resumes, and holds its held-out prompts out."""

from pathlib import Path

import numpy as np
import torch

from components.pretraining.augment import blurry, degrade, washed_out
from components.pretraining.clip import contrastive_loss, train_clip

COLOURS = {"brick": (160, 60, 40), "grass": (40, 140, 50), "marble": (225, 225, 230)}


def toy_set(count: int = 96) -> tuple[np.ndarray, list[str], list[str]]:
    rng = np.random.default_rng(0)
    categories = [list(COLOURS)[i % 3] for i in range(count)]
    base = np.array([COLOURS[c] for c in categories])[:, None, None]
    images = (base + rng.normal(0, 12, (count, 64, 64, 3))).clip(0, 255).astype(np.uint8)
    return images, [f"{c}, {c} number {i % 9}" for i, c in enumerate(categories)], categories


def test_learns_three_colours(tmp_path: Path) -> None:
    images, prompts, categories = toy_set()
    metrics = train_clip(
        images, prompts, categories, steps=25, batch=32, out=tmp_path / "a", work=tmp_path / "w"
    )
    assert metrics["zero_shot_accuracy"] > 0.8
    assert metrics["images"] + metrics["heldout_images"] == len(images)


def test_an_interrupted_run_ends_with_the_same_weights(tmp_path: Path) -> None:
    data = toy_set(24)
    options = {"batch": 8, "checkpoint_every": 2}
    train_clip(*data, steps=4, out=tmp_path / "whole", work=tmp_path / "w1", **options)
    # A run that was killed after step 2 leaves its checkpoint and nothing else; the schedule of
    # learning rates is in its warm-up, the same for both lengths.
    train_clip(*data, steps=2, out=tmp_path / "part", work=tmp_path / "w2", **options)
    train_clip(*data, steps=4, out=tmp_path / "resumed", work=tmp_path / "w2", **options)
    name = "open_clip_model.safetensors"
    assert (tmp_path / "whole" / name).read_bytes() == (tmp_path / "resumed" / name).read_bytes()


def test_equal_captions_are_positives_of_each_other() -> None:
    """Two images with one caption: features that agree have the least loss possible."""
    texts = ["a", "a", "b"]
    agreeing = torch.eye(3)[[0, 0, 1]]
    apart = torch.eye(3)
    scale = torch.tensor(20.0)
    same = contrastive_loss(agreeing, agreeing, scale, texts)
    assert same < contrastive_loss(apart, apart, scale, texts)
    assert abs(float(same) - (2 / 3) * np.log(2)) < 1e-3


def test_degradations_are_named_and_do_what_they_say() -> None:
    generator = torch.Generator().manual_seed(0)
    images = torch.rand(16, 3, 64, 64, generator=generator)
    out, texts = degrade(images, ["wood"] * 16, 0.5, generator)
    changed = (out != images).flatten(1).any(1)
    assert changed.sum() == 8
    assert all((t != "wood") == bool(c) for t, c in zip(texts, changed, strict=True))

    def detail(x: torch.Tensor) -> float:
        return float(x.diff(dim=3).abs().mean())

    assert detail(blurry(images, generator)) < 0.5 * detail(images)
    assert washed_out(images, generator).std() < 0.5 * images.std()
