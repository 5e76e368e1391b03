"""Pretraining of the small CLIP on renderings and captions of the procedural library.

Contrastive learning as in CLIP, with two changes that a small world of captions asks for:
images that share a caption are all positives of it, and further terms classify each image among
the bare category names, which is how the model is used for zero-shot classification, and among
the qualities ("soft material"), which is what the realism reward has to find in the features.
"""

import json
import logging
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

from components.core.materials.prompts import is_heldout
from components.core.realism.clip import TEMPLATES, ClipFeatures
from components.core.realism.small import (
    CONTEXT_LENGTH,
    ImageTower,
    build_small_clip,
    load_clip,
    save_clip,
    small_config,
)
from components.pretraining.augment import degrade, random_colour, random_geometry
from components.pretraining.checkpoint import restore, store

log = logging.getLogger(__name__)

DEGRADED_SHARE = 0.25
CATEGORY_WEIGHT = 0.5
QUALITY_WEIGHT = 0.3
WARM_UP = 50


@dataclass(frozen=True)
class Choice:
    """A classification term: texts (K), which of them fits each image (N,), or NONE, its weight."""

    texts: Sequence[str]
    labels: NDArray[np.int64]
    weight: float


NONE = -100
"""What torch's cross entropy passes over."""


class ClipTrainer:
    """Model, tokenizer, optimiser and step count; a checkpoint holds exactly these."""

    def __init__(
        self, prompts: Sequence[str], tower: ImageTower, learning_rate: float, steps: int, seed: int
    ) -> None:
        words = [template.format(p) for p in sorted(set(prompts)) for template in TEMPLATES]
        self.model, self.tokenizer = build_small_clip(words, tower, seed)
        preprocess = small_config(tower)["preprocess_cfg"]
        self.mean = torch.tensor(preprocess["mean"]).view(1, 3, 1, 1)
        self.std = torch.tensor(preprocess["std"]).view(1, 3, 1, 1)
        self.size = small_config(tower)["model_cfg"]["vision_cfg"]["image_size"]
        self.tower = tower
        decayed = [p for p in self.model.parameters() if p.ndim > 1]
        plain = [p for p in self.model.parameters() if p.ndim <= 1]
        self.optimizer = torch.optim.AdamW(
            [{"params": decayed, "weight_decay": 0.05}, {"params": plain, "weight_decay": 0.0}],
            lr=learning_rate,
            betas=(0.9, 0.98),
        )
        self.learning_rate, self.steps, self.seed = learning_rate, steps, seed
        self.step = 0

    def tokens(self, texts: Sequence[str]) -> torch.Tensor:
        encoded = self.tokenizer(
            list(texts),
            return_tensors="pt",
            padding="max_length",
            truncation=True,
            max_length=CONTEXT_LENGTH,
        )
        return torch.as_tensor(encoded["input_ids"])

    def train_step(
        self,
        images_nhwc: NDArray[np.uint8],
        prompts: Sequence[str],
        choices: Sequence[Choice],
        rows: NDArray[np.int64],
        dtype: torch.dtype,
    ) -> float:
        """One update on the chosen rows; everything random derives from (seed, step).

        A degraded image fits none of the choices but the first, its category.
        """
        generator = torch.Generator().manual_seed(hash((self.seed, self.step)) & 0x7FFFFFFF)
        images = torch.from_numpy(images_nhwc[rows]).permute(0, 3, 1, 2).float() / 255
        images = random_colour(random_geometry(images, self.size, generator), generator)
        images, texts = degrade(images, [prompts[i] for i in rows], DEGRADED_SHARE, generator)
        template = TEMPLATES[int(torch.randint(len(TEMPLATES), (), generator=generator))]
        for group in self.optimizer.param_groups:
            group["lr"] = self.learning_rate * _schedule(self.step, self.steps)
        self.model.train()
        with torch.autocast("cpu", dtype, enabled=dtype != torch.float32):
            image = self.model.encode_image((images - self.mean) / self.std, normalize=True)
            text = self.model.encode_text(self.tokens(texts), normalize=True)
            among = [
                self.model.encode_text(
                    self.tokens([template.format(text) for text in choice.texts]), normalize=True
                )
                for choice in choices
            ]
        scale = self.model.logit_scale.exp()
        loss = contrastive_loss(image.float(), text.float(), scale, texts)
        degraded = torch.tensor([t != prompts[i] for t, i in zip(texts, rows, strict=True)])
        for number, (choice, text_kd) in enumerate(zip(choices, among, strict=True)):
            labels = torch.from_numpy(choice.labels[rows])
            if number:
                labels = labels.masked_fill(degraded, NONE)
            logits = scale * image.float() @ text_kd.float().T
            loss = loss + choice.weight * F.cross_entropy(logits, labels)
        self.optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimizer.step()
        with torch.no_grad():
            self.model.logit_scale.clamp_(0.0, math.log(100.0))
        self.step += 1
        return float(loss.detach())


def train_clip(
    images: NDArray[np.uint8],
    prompts: Sequence[str],
    categories: Sequence[str],
    *,
    qualities: Sequence[str] = (),
    steps: int,
    batch: int,
    out: Path,
    work: Path,
    image_tower: ImageTower = "resnet",
    learning_rate: float = 1e-3,
    precision: torch.dtype = torch.float32,
    checkpoint_every: int = 200,
    seed: int = 0,
) -> dict[str, Any]:
    """Train on images (N, H, W, 3) of 64 to 128 px and save to `out`; returns the metrics.

    categories: one name per image, "" for images outside the categories (distractors), which
    take part in the contrastive term only. The zero-shot accuracy is that of images which are
    not trained on: those with prompts held out by `is_heldout`, or 5 % of the images where there
    are none. `work` holds the checkpoint that a killed run goes on from.
    """
    if not len(images) == len(prompts) == len(categories):
        raise ValueError("images, prompts and categories differ in length")
    names = sorted({c for c in categories if c})
    labels = np.array([names.index(c) if c else NONE for c in categories], dtype=np.int64)
    choices = [Choice(names, labels, CATEGORY_WEIGHT)]
    heldout = np.array(
        [bool(c) and is_heldout(p) for p, c in zip(prompts, categories, strict=True)]
    )
    if not heldout.any():
        heldout = (labels >= 0) & (np.random.default_rng(seed).random(len(labels)) < 0.05)
    train_rows = np.flatnonzero(~heldout)
    if qualities:  # not before the split, which is by the bare prompt
        prompts = [f"{q} {p}".strip() for q, p in zip(qualities, prompts, strict=True)]
        choices.append(quality_choice(qualities, labels))
    trainer = ClipTrainer(
        [prompts[i] for i in train_rows] + [text for choice in choices for text in choice.texts],
        image_tower,
        learning_rate,
        steps,
        seed,
    )
    checkpoint = work / "clip.safetensors"
    trainer.step = restore(checkpoint, trainer.model, trainer.optimizer)
    loss = float("nan")
    while trainer.step < steps:
        rng = np.random.default_rng([seed, trainer.step])
        rows = rng.choice(train_rows, size=min(batch, len(train_rows)), replace=False)
        loss = trainer.train_step(images, prompts, choices, rows, precision)
        if trainer.step % checkpoint_every == 0 or trainer.step == steps:
            store(checkpoint, trainer.model, trainer.optimizer, trainer.step)
            accuracy = _accuracy(trainer, images[heldout], labels[heldout], names)
            log.info(
                "clip step %d of %d: loss %.3f, held-out zero-shot accuracy %.3f",
                trainer.step,
                steps,
                loss,
                accuracy,
            )
    save_clip(trainer.model, trainer.tokenizer, out, image_tower)
    metrics = {
        "steps": steps,
        "images": len(train_rows),
        "heldout_images": int(heldout.sum()),
        "zero_shot_accuracy": zero_shot_accuracy(out, images[heldout], labels[heldout], names),
    }
    (out / "training.json").write_text(json.dumps(metrics, indent=2) + "\n")
    return metrics


def quality_choice(qualities: Sequence[str], labels: NDArray[np.int64]) -> Choice:
    """Which quality an image of a material has; distractors, labelled `NONE`, have no say."""
    kinds = sorted(set(qualities))
    found = np.array([kinds.index(q) for q in qualities], dtype=np.int64)
    return Choice(
        [f"{kind} material".strip() for kind in kinds],
        np.where(labels == NONE, NONE, found),
        QUALITY_WEIGHT,
    )


def contrastive_loss(
    image_bd: torch.Tensor, text_bd: torch.Tensor, scale: torch.Tensor, texts: Sequence[str]
) -> torch.Tensor:
    """CLIP's symmetric cross entropy, with equal captions sharing the target mass."""
    ids = torch.tensor([{t: i for i, t in enumerate(texts)}[t] for t in texts])
    targets = (ids[:, None] == ids[None, :]).float()
    targets = targets / targets.sum(1, keepdim=True)
    logits = scale * image_bd @ text_bd.T
    return 0.5 * (F.cross_entropy(logits, targets) + F.cross_entropy(logits.T, targets))


def zero_shot_accuracy(
    folder: Path, images: NDArray[np.uint8], labels: NDArray[np.int64], names: Sequence[str]
) -> float | None:
    """Share of images whose nearest category text is the right one; None without images."""
    if not len(images):
        return None
    clip = ClipFeatures(*load_clip(folder))
    return float((clip.zero_shot(clip.images(images), names) == labels).mean())


def _accuracy(
    trainer: ClipTrainer,
    images: NDArray[np.uint8],
    labels: NDArray[np.int64],
    names: Sequence[str],
) -> float:
    """Zero-shot accuracy of the model as it is now, on at most 512 images."""
    if not len(images):
        return float("nan")
    clip = ClipFeatures(trainer.model, trainer.tokens)
    return float((clip.zero_shot(clip.images(images[:512]), names) == labels[:512]).mean())


def _schedule(step: int, steps: int) -> float:
    """Linear warm-up, then a cosine down to 2 % of the peak."""
    if step < WARM_UP:
        return (step + 1) / WARM_UP
    progress = (step - WARM_UP) / max(1, steps - WARM_UP)
    return 0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * progress))
