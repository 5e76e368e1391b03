"""CLIP features: images and texts as unit vectors in one space.

Everything the pipeline knows about realism and about categories it knows through these
features (paper, sections 4.1 and 4.3): the photo search, the realism classifiers, the reward,
the CLIP score and the diversity of an evaluation.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import open_clip
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

from components.core.errors import UserError
from components.core.realism.small import CONFIG_FILE, WEIGHTS_FILE

Features = NDArray[np.float32]
Images = NDArray[np.uint8]

SMALL_FOLDER = Path(__file__).parents[1] / "weights" / "clip-small"
TEMPLATES = ("{}", "{} texture", "a photo of {} material")
"""Zero-shot class names are averaged over these phrasings."""


class ClipFeatures:
    """A CLIP model in evaluation mode with its tokenizer and its image normalisation."""

    def __init__(
        self,
        model: Any,
        tokenizer: Callable[[list[str]], torch.Tensor],
        *,
        device: str = "cpu",
        batch: int = 64,
    ) -> None:
        self.model = model.eval().to(device)
        self.tokenizer = tokenizer
        self.device = device
        self.batch = batch
        size = model.visual.image_size
        self.image_size = int(size if isinstance(size, int) else size[0])
        config = dict(model.visual.preprocess_cfg)
        self.mean = torch.tensor(config["mean"], device=device).view(1, 3, 1, 1)
        self.std = torch.tensor(config["std"], device=device).view(1, 3, 1, 1)

    @classmethod
    def load(cls, uri: str = "small", *, device: str = "cpu", batch: int = 64) -> ClipFeatures:
        """Load "small" (the shipped model), a folder in open_clip's layout, "hf-hub:OWNER/NAME"
        or "ARCHITECTURE|PRETRAINED" as open_clip names them, for example "ViT-L-14|openai"."""
        name, pretrained = open_clip_name(uri)
        try:
            model, _, _ = open_clip.create_model_and_transforms(
                name, pretrained or None, force_quick_gelu=uses_quick_gelu(name, pretrained)
            )
            tokenizer = open_clip.get_tokenizer(name)
        except (OSError, RuntimeError, ValueError, KeyError) as error:
            raise UserError(
                f"CLIP model {uri!r} could not be loaded ({error}); use 'small', a folder with "
                f"{CONFIG_FILE}, 'hf-hub:OWNER/NAME' or 'ARCHITECTURE|PRETRAINED'"
            ) from error
        return cls(model, tokenizer, device=device, batch=batch)

    @torch.no_grad()
    def images(self, images_nhwc: Images) -> Features:
        """Unit features (N, D) of uint8 sRGB images (N, H, W, 3) of any size."""
        if images_nhwc.dtype != np.uint8 or images_nhwc.ndim != 4 or images_nhwc.shape[3] != 3:
            raise ValueError(
                f"expected uint8 (N, H, W, 3), not {images_nhwc.dtype} {images_nhwc.shape}"
            )
        chunks = [
            self.model.encode_image(self._preprocess(images_nhwc[i : i + self.batch]))
            for i in range(0, len(images_nhwc), self.batch)
        ]
        return self._unit(chunks)

    @torch.no_grad()
    def texts(self, texts: Sequence[str]) -> Features:
        """Unit features (N, D) of texts; long ones are cut at the model's context length."""
        chunks = [
            self.model.encode_text(self.tokenizer(list(texts[i : i + self.batch])).to(self.device))
            for i in range(0, len(texts), self.batch)
        ]
        return self._unit(chunks)

    def categories(self, categories: Sequence[str]) -> Features:
        """One unit feature (C, D) per category: the mean over `TEMPLATES`."""
        means = np.stack(
            [self.texts([template.format(c) for template in TEMPLATES]).mean(0) for c in categories]
        )
        return _normalised(means)

    def zero_shot(self, features: Features, categories: Sequence[str]) -> NDArray[np.int64]:
        """Index (N,) of the category whose text is nearest to each image feature (N, D)."""
        return np.argmax(features @ self.categories(categories).T, axis=1)

    @property
    def dimension(self) -> int:
        """D, the length of a feature vector."""
        return int(self.texts(["a"]).shape[1])

    @property
    def fingerprint(self) -> str:
        """A hash of all weights, with their names and shapes: which model this is."""
        digest = hashlib.sha256()
        for name, weight in sorted(self.model.state_dict().items()):
            digest.update(f"{name} {tuple(weight.shape)} ".encode())
            digest.update(weight.detach().float().cpu().contiguous().numpy().data)
        return digest.hexdigest()

    def _preprocess(self, images_nhwc: Images) -> torch.Tensor:
        pixels = torch.from_numpy(np.ascontiguousarray(images_nhwc)).to(self.device)
        return self._fitted(pixels.permute(0, 3, 1, 2).float() / 255.0)

    def with_gradient(self, images_bchw: torch.Tensor) -> torch.Tensor:
        """Unit features (B, D) of sRGB images (B, 3, H, W) in [0, 1], differentiable in them."""
        return F.normalize(self.model.encode_image(self._fitted(images_bchw)).float(), dim=-1)

    def _fitted(self, pixels: torch.Tensor) -> torch.Tensor:
        """Shortest side to the model's input size, antialiased, centre crop, normalised."""
        rows, columns = pixels.shape[2:]
        size = self.image_size
        if (rows, columns) != (size, size):
            scale = size / min(rows, columns)
            shape = (max(size, round(rows * scale)), max(size, round(columns * scale)))
            pixels = F.interpolate(pixels, shape, mode="bicubic", antialias=True).clamp(0.0, 1.0)
            top, left = (shape[0] - size) // 2, (shape[1] - size) // 2
            pixels = pixels[:, :, top : top + size, left : left + size]
        return (pixels - self.mean) / self.std

    @staticmethod
    def _unit(chunks: list[torch.Tensor]) -> Features:
        if not chunks:
            raise ValueError("no images or texts to encode")
        return _normalised(torch.cat(chunks).float().cpu().numpy())


def _normalised(vectors_nd: Features) -> Features:
    return vectors_nd / np.linalg.norm(vectors_nd, axis=1, keepdims=True).clip(1e-12)


def open_clip_name(uri: str) -> tuple[str, str]:
    """What open_clip calls a model, and which weights of it ("" where the name says that too)."""
    name, _, pretrained = uri.partition("|")
    if "|" not in uri and not uri.startswith("hf-hub:"):
        name = f"local-dir:{_checked_folder(uri)}"
    return name, pretrained


def uses_quick_gelu(architecture: str, pretrained: str) -> bool:
    """Whether these weights were trained with x sigmoid(1.702 x) in place of GELU.

    OpenAI's were, but the architectures' configurations say GELU, and open_clip only warns.
    """
    return bool((open_clip.get_pretrained_cfg(architecture, pretrained) or {}).get("quick_gelu"))


def _checked_folder(uri: str) -> Path:
    """The model folder of `uri`, known to hold safetensors (no pickle is ever loaded)."""
    folder = SMALL_FOLDER if uri == "small" else Path(uri.removeprefix("file://"))
    missing = [name for name in (CONFIG_FILE, WEIGHTS_FILE) if not (folder / name).is_file()]
    if missing:
        raise UserError(
            f"CLIP model folder {folder} lacks {', '.join(missing)}; give a folder in open_clip's "
            "layout with safetensors weights, or 'small' for the shipped model"
        )
    return folder
