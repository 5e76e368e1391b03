"""Artifacts of a micro run: real formats, an untrained model of a few thousand parameters."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from pydantic import BaseModel

from components.core.diffusion.lora import add_lora, save_lora
from components.core.diffusion.small import SmallConfig, build_small
from components.core.materials.material import Material
from components.core.platform.artifacts import new_artifact
from components.core.realism.clip import ClipFeatures
from components.core.realism.scorer import LinearScorer
from components.core.realism.small import build_small_clip, save_clip
from components.core.rendering.environments import Environment
from components.evaluation.summaries import write_lines

TRAIN = ["brick, red brick wall", "wood, dark oak planks"]
ORIGIN = {
    "training": {"clip": "small", "tv_weight": 100.0},
    "labels": {
        "sets": {
            "photographs": {"images": 9, "judged": 4, "realistic": 8, "threshold": 0.2},
            "generated": {"images": 7, "judged": 5, "realistic": 1, "threshold": 0.4},
        },
        "annotators": {"label studio user 1": 9},
        "alpha": 0.61,
        "shared": 3,
    },
}
HELDOUT = ["stone, grey stone", "paper, white paper", "metal, brushed steel"]


class NoConfig(BaseModel, frozen=True):
    """Stands for the configuration of the stages that would have written the artifacts."""


def write_run(root: Path) -> dict[str, Path]:
    """Write model, lora, reward, prompts, photographs and dataset; returns folders by name."""
    root.mkdir(parents=True)
    clip = root / "clip"
    clip_model, tokenizer = build_small_clip([*TRAIN, *HELDOUT])
    save_clip(clip_model, tokenizer, clip)
    kinds = {
        "model": "diffusion-model",
        "lora": "lora",
        "reward": "realism-scorer",
        "prompts": "prompts",
        "photographs": "photographs",
        "dataset": "material-grids",
    }
    writers = {
        "model": _model,
        "lora": _lora,
        "reward": lambda folder: _reward(folder, clip),
        "prompts": _prompts,
        "photographs": _photographs,
        "dataset": _dataset,
    }
    for name, kind in kinds.items():
        with new_artifact(root / name, kind, "test", NoConfig()) as folder:
            writers[name](folder)
    return {name: root / name for name in kinds}


class FlatRenderer:
    """Shows the albedo under a light that only scales it: no Mitsuba, but lights matter."""

    def render_srgb(
        self, material: Material, environment: Environment, *, rotation: float, seed: int
    ) -> npt.NDArray[np.uint8]:
        """The albedo, darker by the environment's mean radiance and the rotation."""
        level = float(environment.radiance.mean()) * (0.7 + 0.3 * np.cos(rotation) ** 2)
        return np.clip(material.albedo * level * 255, 0, 255).astype(np.uint8)

    def render_point_light(
        self, material: Material, angle: float, *, seed: int = 0
    ) -> npt.NDArray[np.float32]:
        """The albedo as if it were radiance, whatever the angle."""
        return material.albedo


def environments() -> list[Environment]:
    """Two flat lights of different strength."""
    return [
        Environment(f"flat {level}", np.full((4, 8, 3), level, np.float32)) for level in (0.6, 1.0)
    ]


def _model(folder: Path) -> None:
    micro_model().save(folder)


def micro_model() -> Any:
    """An untrained model of 32 px grids whose decoder is not flat."""
    model = build_small([*TRAIN, *HELDOUT], SmallConfig.micro(), seed=3)
    with torch.no_grad():
        model.vae.decoder.conv_out.weight.mul_(4.0)
    return model


def _lora(folder: Path) -> None:
    unet = micro_model().unet
    add_lora(unet, 2)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name, value in unet.named_parameters():
            if "lora_B" in name:  # B starts at zero, which would change nothing
                value.copy_(torch.randn(value.shape, generator=generator) * 0.3)
    save_lora(unet, folder)
    rows = [{"epoch": 0, "train_reward": 0.1, "heldout_reward": 0.1}, {"epoch": 1}]
    write_lines(folder / "history.jsonl", rows)


def _reward(folder: Path, clip: Path) -> None:
    rng = np.random.default_rng(0)
    dimension = ClipFeatures.load(str(clip)).dimension
    for name in ("reward", "gold"):
        weight = rng.normal(size=dimension).astype(np.float32)
        LinearScorer(weight, 0.1).save(folder / name)
    (folder / "clip.json").write_text(json.dumps({"uri": str(clip)}))
    metrics = {"real_mean": 0.8, "synthetic_mean": 0.2, "holdout_auc": 0.95}
    (folder / "metrics.json").write_text(json.dumps({**metrics, "tv": {"std_with": 0.03}}))
    (folder / "card.md").write_text("# Realism reward\n")
    (folder / "origin.json").write_text(json.dumps(ORIGIN))
    (folder / "test_photographs.json").write_text("[1, 3, 4]")  # of six


def _prompts(folder: Path) -> None:
    rows = [
        {"prompt": prompt, "category": prompt.split(",")[0], "mean_score": 0.1, "split": split}
        for split, prompts in (("train", TRAIN), ("heldout", HELDOUT))
        for prompt in prompts
    ]
    write_lines(folder / "prompts.jsonl", rows)


def _photographs(folder: Path) -> None:
    images = np.random.default_rng(1).integers(255, size=(6, 16, 16, 3), dtype=np.uint8)
    np.save(folder / "images.npy", images)
    (folder / "counts.json").write_text(json.dumps({"kept": 6, "embedded": 0, "searched": 9}))


def _dataset(folder: Path) -> None:
    write_lines(folder / "index.jsonl", [{"caption": HELDOUT[2], "split": "train"}])
