"""A trained generator as one thing: prompts in, materials out.

The command line, the web application and the model in MLflow's registry all open the same folder
with the same loader:

    generator.json   name, sampling settings, the CLIP model of the reward
    base/            the fine-tuned diffusion model, a diffusers folder
    lora/            the adapter that reinforcement learning trained (may be absent)
    reward/          the realism scorer (may be absent)
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from components.core.errors import UserError
from components.core.materials.material import CATEGORIES, Material
from components.core.materials.prompts import prompt_of

SETTINGS = "generator.json"
ARTIFACT = "generator"
"""Name of the folder among the artifacts of a registered model."""
CHAMPION = "models:/realmat@champion"
LICENCE = "CC0-1.0"
MAX_PROMPT = 400
BATCH = 8
DEFAULTS: Mapping[str, Any] = {"name": "realmat", "steps": 20, "guidance": 3.0, "clip": "small"}
FORMS = {"wooden": "wood", "leaf": "leaves", "metallic": "metal", "grassy": "grass"}


@dataclass(frozen=True)
class ModelVersion:
    """Which model this is; version and alias are "" for a model outside a registry."""

    name: str
    version: str = ""
    alias: str = ""

    def __str__(self) -> str:
        version = f" version {self.version}" if self.version else ""
        return f"{self.name}{version}{f' ({self.alias})' if self.alias else ''}"


Find = Callable[[str], tuple[Path, ModelVersion]]
"""From a model's URI to its folder on this machine."""


class MaterialGenerator:
    """Generates materials from prompts and scores images of materials."""

    def __init__(self, folder: Path, version: ModelVersion, device: str = "cpu") -> None:
        self.folder = folder
        self.version = version
        self.device = device
        self.settings = {**DEFAULTS, **_settings(folder)}

    @classmethod
    def load(
        cls, uri: str = CHAMPION, device: str = "auto", find: Find | None = None
    ) -> MaterialGenerator:
        """Open `models:/NAME@ALIAS`, `models:/NAME/VERSION`, a folder, or "small".

        "small" is the shipped base before any training: it draws pictures of materials, not maps.
        `find` replaces `locate`, for callers that know a faster way.
        """
        from components.core.platform.device import choose_device

        folder, version = (find or locate)(uri)
        generator = cls(folder, version, choose_device(device))
        _ = generator.model
        return generator

    @cached_property
    def model(self) -> Any:
        """The diffusion model with its adapter, loaded at first use."""
        from components.core.diffusion.lora import load_lora
        from components.core.diffusion.model import load_model

        if not (self.folder / SETTINGS).is_file():
            return load_model(str(self.folder), device=self.device)
        model = load_model(str(self.folder / "base"), device=self.device)
        adapter = self.folder / "lora"
        return load_lora(model, adapter) if adapter.is_dir() else model

    @cached_property
    def scorer(self) -> tuple[Any, Any]:
        """(ClipFeatures, LinearScorer) of the reward."""
        return _scorer(self.folder, self.settings["clip"], self.device)

    def generate(
        self,
        prompts: Sequence[str],
        seeds: Sequence[int],
        *,
        tileable: bool = False,
        steps: int | None = None,
    ) -> list[Material]:
        """One material for each prompt and seed; a sample does not depend on its companions."""
        if len(prompts) != len(seeds):
            raise ValueError(f"{len(prompts)} prompts but {len(seeds)} seeds")
        texts = [check_prompt(prompt) for prompt in prompts]
        materials: list[Material] = []
        for start in range(0, len(texts), BATCH):
            part = slice(start, start + BATCH)
            materials += self._batch(texts[part], seeds[part], tileable, steps)
        return materials

    def realism(self, images_nhwc: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        """Realism scores (N,) of uint8 sRGB images (N, H, W, 3)."""
        features, scorer = self.scorer
        return np.asarray(scorer(features.images(images_nhwc)), np.float32)

    def _batch(
        self, prompts: Sequence[str], seeds: Sequence[int], tileable: bool, steps: int | None
    ) -> list[Material]:
        from components.core.diffusion.sampler import sample
        from components.core.diffusion.tiling import decode_tileable, tiling
        from components.core.materials.grid import unpack

        latents = sample(
            tiling(self.model) if tileable else self.model,
            [training_prompt(prompt) for prompt in prompts],
            list(seeds),
            steps=steps or int(self.settings["steps"]),
            guidance=float(self.settings["guidance"]),
        )
        images = decode_tileable(self.model, latents) if tileable else self.model.decode(latents)
        grids = images.cpu().numpy().astype(np.float32)
        return [
            replace(
                unpack(grid, prompt, category_of(prompt)),
                metadata={
                    "prompt": prompt,
                    "seed": int(seed),
                    "tileable": tileable,
                    "model": self.version.name,
                    "version": self.version.version,
                    "licence": LICENCE,
                },
            )
            for grid, prompt, seed in zip(grids, prompts, seeds, strict=True)
        ]


def load_scorer(uri: str = CHAMPION, device: str = "cpu") -> tuple[Any, Any]:
    """(ClipFeatures, LinearScorer) of a model's reward, without its diffusion model."""
    folder, _ = locate(uri)
    return _scorer(folder, {**DEFAULTS, **_settings(folder)}["clip"], device)


def check_prompt(prompt: str) -> str:
    """The prompt with single spaces; UserError if it is empty or too long."""
    text = " ".join(prompt.split())
    if not text:
        raise UserError("the prompt is empty: describe a material, such as 'old red brick wall'")
    if len(text) > MAX_PROMPT:
        raise UserError(
            f"the prompt has {len(text)} characters, at most {MAX_PROMPT} are possible: shorten it"
        )
    return text


def category_of(prompt: str) -> str:
    """The first of the 16 categories that the prompt names, "" if it names none."""
    for word in prompt.lower().replace(",", " ").split():
        for form in (word, word.removesuffix("s"), FORMS.get(word, "")):
            if form in CATEGORIES:
                return form
    return ""


def training_prompt(prompt: str) -> str:
    """The prompt as the model knows prompts from training: "brick, old red brick wall"."""
    category = category_of(prompt)
    text = prompt.lower()
    return text if text.startswith(f"{category},") else prompt_of(category, text)


def locate(uri: str) -> tuple[Path, ModelVersion]:
    """The folder that `uri` stands for, and which model it is; UserError if there is none."""
    if uri.startswith("models:/"):
        return _registered(uri)
    if uri == "small":
        from components.core.diffusion.model import SMALL_MODEL

        return SMALL_MODEL, ModelVersion("small")
    from components.core.platform.storage import local_path

    folder = local_path(uri)
    for candidate in (folder, folder / "artifacts" / ARTIFACT):
        if (candidate / SETTINGS).is_file() or (candidate / "model_index.json").is_file():
            return candidate, ModelVersion(_settings(candidate).get("name", folder.name))
    raise UserError(
        f"{uri} holds no model (no {SETTINGS} and no model_index.json): give models:/NAME@ALIAS, "
        "a folder that `realmat run` registered, or a diffusers SDXL folder"
    )


def _registered(uri: str) -> tuple[Path, ModelVersion]:
    import mlflow
    from mlflow.exceptions import MlflowException

    name, _, alias = uri.removeprefix("models:/").partition("@")
    client = mlflow.MlflowClient()
    try:
        if alias:
            found = client.get_model_version_by_alias(name, alias)
        else:
            name, _, number = name.partition("/")
            found = client.get_model_version(name, number)
        root = mlflow.artifacts.download_artifacts(f"models:/{name}/{found.version}")
    except (MlflowException, OSError) as error:
        reason = str(error).splitlines()[0]
        raise UserError(
            f"{uri} is not in the model registry at {mlflow.get_tracking_uri()} ({reason}): run "
            "`realmat run laptop` first, set MLFLOW_TRACKING_URI, or give --model a folder"
        ) from error
    alias = alias or next(iter(found.aliases), "")
    return Path(root) / "artifacts" / ARTIFACT, ModelVersion(name, str(found.version), alias)


def _scorer(folder: Path, clip: str, device: str) -> tuple[Any, Any]:
    from components.core.realism.clip import ClipFeatures
    from components.core.realism.scorer import LinearScorer

    if not (folder / "reward").is_dir():
        raise UserError(
            f"the model in {folder} has no realism scorer: give one that `realmat run` registered"
        )
    return ClipFeatures.load(clip, device=device), LinearScorer.load(folder / "reward")


def _settings(folder: Path) -> dict[str, Any]:
    file = folder / SETTINGS
    if not file.is_file():
        return {}
    try:
        settings: dict[str, Any] = json.loads(file.read_text("utf-8"))
    except ValueError as error:
        raise UserError(f"{file} is not valid JSON ({error}): register the model again") from error
    return settings
