"""A trained generator as one thing: prompts in, materials out.

The command line, the web application and the model in MLflow's registry all open the same folder
with the same loader:

    generator.json   name, sampling settings, the CLIP model of the reward
    base/            the fine-tuned diffusion model, a diffusers folder
    lora/            the adapter that reinforcement learning trained (may be absent)
    reward/          the realism scorer (may be absent)
    clip/            the CLIP model that it reads, unless it is the shipped small one
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from components.core.errors import Unreachable, UserError
from components.core.materials.material import CATEGORIES, Material
from components.core.materials.prompts import prompt_of

if TYPE_CHECKING:
    from components.core.diffusion.sampler import Progress, Seed
    from components.core.realism.model import RealismModel

SETTINGS = "generator.json"
ARTIFACT = "generator"
"""Name of the folder among the artifacts of a registered model."""
CHAMPION = "models:/realmat@champion"
LICENCE = "CC0-1.0"
MAX_PROMPT = 400
BATCH = 8
DEFAULTS: Mapping[str, Any] = {
    "name": "realmat",
    "steps": 20,
    "guidance": 3.0,
    "clip": "small",
    "tiling": 1.0,
}
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
    def reward(self) -> RealismModel:
        """The reward that it was trained with."""
        from components.core.realism.model import RealismModel

        return RealismModel.open(self.folder, self.device)

    @property
    def has_adapter(self) -> bool:
        """Whether reinforcement learning changed this model."""
        return (self.folder / "lora").is_dir()

    def generate(
        self,
        prompts: Sequence[str],
        seeds: Sequence[Seed],
        *,
        tileable: bool = False,
        steps: int | None = None,
        adapted: bool = True,
        progress: Progress | None = None,
    ) -> list[Material]:
        """One material for each prompt and seed; a sample does not depend on its companions.

        adapted: with the adapter of reinforcement learning; without it is the model before.
        progress: called with the denoising steps done and those of all batches; what it raises
        ends the sampling.
        """
        if len(prompts) != len(seeds):
            raise ValueError(f"{len(prompts)} prompts but {len(seeds)} seeds")
        texts = [check_prompt(prompt) for prompt in prompts]
        steps = steps or int(self.settings["steps"])
        materials: list[Material] = []
        for start in range(0, len(texts), BATCH):
            part = slice(start, start + BATCH)
            before, total = start // BATCH * steps, -(-len(texts) // BATCH) * steps
            report = None if progress is None else _shifted(progress, before, total)
            materials += self._batch(texts[part], seeds[part], tileable, steps, adapted, report)
        return materials

    def realism(self, images_nhwc: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        """Realism scores (N,) of uint8 sRGB images (N, H, W, 3)."""
        return self.reward(images_nhwc)

    def _batch(
        self,
        prompts: Sequence[str],
        seeds: Sequence[Seed],
        tileable: bool,
        steps: int,
        adapted: bool,
        progress: Progress | None,
    ) -> list[Material]:
        from components.core.diffusion.lora import lora_disabled
        from components.core.diffusion.sampler import sample
        from components.core.diffusion.tiling import decode_tileable, tiling
        from components.core.materials.grid import unpack

        before = not adapted and self.has_adapter
        share = float(self.settings["tiling"])
        with lora_disabled(self.model.unet) if before else nullcontext():
            latents = sample(
                tiling(self.model, share) if tileable else self.model,
                [training_prompt(prompt) for prompt in prompts],
                list(seeds),
                steps=steps,
                guidance=float(self.settings["guidance"]),
                progress=progress,
            )
        images = decode_tileable(self.model, latents) if tileable else self.model.decode(latents)
        grids = images.cpu().numpy().astype(np.float32)
        known = {
            "tileable": tileable,
            "steps": steps,
            "guidance": float(self.settings["guidance"]),
            "model": self.version.name,
            "version": self.version.version,
            "reinforced": self.has_adapter and adapted,
            "licence": LICENCE,
        }
        return [
            replace(
                unpack(grid, prompt, category_of(prompt)),
                metadata={"prompt": prompt, **seed_words(seed), **known},
            )
            for grid, prompt, seed in zip(grids, prompts, seeds, strict=True)
        ]


def seed_words(seed: Seed) -> dict[str, Any]:
    """The seed as JSON; `seed_of` reads it."""
    if isinstance(seed, int | np.integer):
        return {"seed": int(seed)}
    words = {"strength": seed.strength, **seed_words(seed.of)}
    return {"seed": int(seed.seed), "variation_of": words}


def seed_of(words: Mapping[str, Any]) -> Seed:
    """What `seed_words` wrote, among other things."""
    from components.core.diffusion.sampler import Variation

    near = words.get("variation_of")
    if near is None:
        return int(words["seed"])
    return Variation(int(words["seed"]), seed_of(near), float(near["strength"]))


def _shifted(progress: Progress, before: int, total: int) -> Progress:
    return lambda done, _: progress(before + done, total)


def load_reward(uri: str = CHAMPION, device: str = "cpu") -> RealismModel:
    """The reward that `uri` stands for, without any diffusion model.

    A registered reward or a registered material model (then the reward that it was trained with),
    a folder of either, or the artifact of `reward_training`.
    """
    from components.core.platform.storage import local_path
    from components.core.realism.model import ARTIFACT as REWARD
    from components.core.realism.model import RealismModel

    root = _downloaded(uri)[0] if uri.startswith("models:/") else local_path(uri)
    places = (root, *(root / "artifacts" / name for name in (REWARD, ARTIFACT)))
    folder = next((place for place in places if (place / REWARD).is_dir()), root)
    return RealismModel.open(folder, device)


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
        root, version = _downloaded(uri)
        if not (root / "artifacts" / ARTIFACT).is_dir():
            raise UserError(f"{uri} is no material model: give one such as {CHAMPION}")
        return root / "artifacts" / ARTIFACT, version
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


def registered_version(uri: str) -> ModelVersion:
    """Which version `models:/NAME@ALIAS` or `models:/NAME/VERSION` stands for now; downloads
    nothing. UserError if the registry does not answer or does not know it."""
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
    except (MlflowException, OSError) as error:
        raise _unknown(uri, error) from error
    return ModelVersion(name, str(found.version), alias or next(iter(found.aliases), ""))


def download(version: ModelVersion, into: Path | None = None) -> Path:
    """A registered model with what MLflow lays around it, on this machine, below `into` if given.

    UserError if the registry does not answer or does not know it.
    """
    import mlflow
    from mlflow.exceptions import MlflowException

    uri = f"models:/{version.name}/{version.version}"
    target = None if into is None else str(into / "model")
    try:
        return Path(mlflow.artifacts.download_artifacts(uri, dst_path=target))
    except (MlflowException, OSError) as error:
        raise _unknown(uri, error) from error


def _downloaded(uri: str) -> tuple[Path, ModelVersion]:
    version = registered_version(uri)
    return download(version), version


def _unknown(uri: str, error: Exception) -> UserError:
    """What to say of a model that cannot be had; `Unreachable` unless the registry says no."""
    import mlflow

    registry, reason = mlflow.get_tracking_uri(), str(error).splitlines()[0]
    code = getattr(error, "error_code", "")
    if registry.startswith("http") and code in ("", "INTERNAL_ERROR", "TEMPORARILY_UNAVAILABLE"):
        return Unreachable(
            f"the model registry at {registry} does not answer about {uri} ({reason}): start it, "
            "or set MLFLOW_TRACKING_URI"
        )
    return UserError(
        f"{uri} is not in the model registry at {registry} ({reason}): run "
        "`realmat run laptop` first, set MLFLOW_TRACKING_URI, or give --model a folder"
    )


def _settings(folder: Path) -> dict[str, Any]:
    file = folder / SETTINGS
    if not file.is_file():
        return {}
    try:
        settings: dict[str, Any] = json.loads(file.read_text("utf-8"))
    except ValueError as error:
        raise UserError(f"{file} is not valid JSON ({error}): register the model again") from error
    return settings
