"""The data engine as the pipeline runs it, stage by stage, from photographs to the reward.

Stage 1's model is the shipped small one, so that nothing has to be trained before.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from components.annotation_sync import stage as annotation_sync
from components.core.diffusion.model import SMALL_MODEL
from components.core.platform.artifacts import new_artifact
from components.core.platform.tracking import NullTracker
from components.material_sampling import stage as material_sampling
from components.photo_embedding import stage as photo_embedding
from components.photo_retrieval import stage as photo_retrieval
from components.prompt_selection import stage as prompt_selection
from components.realism_labels import stage as realism_labels
from components.reward_training import stage as reward_training
from pipelines.recipe import Recipe


class Engine:
    """Artifacts below `root`, a folder a stage. photos: "" is the procedural set."""

    def __init__(self, recipe: Recipe, root: Path, photos: str = "") -> None:
        self.recipe, self.root, self.photos = recipe, root, photos

    def artifact(self, stage: str) -> Path:
        """Where a stage's output lies."""
        return self.root / stage

    def until_labels(self) -> None:
        """Everything that the reward learns from."""
        recipe = self.recipe
        with new_artifact(
            self.artifact("model"), "diffusion-model", "tests", recipe.sdxl_finetune
        ) as folder:
            shutil.copytree(SMALL_MODEL, folder, dirs_exist_ok=True)
        photo_embedding.run(
            recipe.photo_embedding.model_copy(update={"parts": 1}),
            photos=self.photos, environments="", **self._places("photo_embedding"),
        )  # fmt: skip
        photo_retrieval.run(
            recipe.photo_retrieval, features=[self.artifact("photo_embedding")], examples="",
            **self._places("photo_retrieval"),
        )  # fmt: skip
        material_sampling.run(
            recipe.material_sampling, model=self.artifact("model"), environments="",
            **self._places("material_sampling"),
        )  # fmt: skip
        sets = {
            "photographs": self.artifact("photo_retrieval"),
            "generated": self.artifact("material_sampling"),
        }
        annotation_sync.run(
            recipe.annotation_sync, **sets, labels="", **self._places("annotation_sync")
        )
        realism_labels.run(
            recipe.realism_labels, **sets, annotations=self.artifact("annotation_sync"),
            **self._places("realism_labels"),
        )  # fmt: skip

    def reward(self) -> None:
        """Trains the reward on the labels."""
        reward_training.run(
            self.recipe.reward_training, photographs=self.artifact("photo_retrieval"),
            generated=self.artifact("material_sampling"), labels=self.artifact("realism_labels"),
            preferences="", **self._places("reward_training"),
        )  # fmt: skip

    def prompts(self) -> None:
        """Chooses prompts by the reward."""
        prompt_selection.run(
            self.recipe.prompt_selection, model=self.artifact("model"),
            reward=self.artifact("reward_training"), environments="",
            **self._places("prompt_selection"),
        )  # fmt: skip

    def _places(self, stage: str) -> dict[str, Any]:
        return {
            "output": self.artifact(stage),
            "work": self.root / f"{stage}.work",
            "tracker": NullTracker(),
        }
