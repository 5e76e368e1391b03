"""The registered model: prompts in, PNG maps out, as an MLflow pyfunc made from this file.

MLflow runs this file to build the model ("models from code"), so nothing is pickled. The weights
are the artifact folder `generator`, which `components.core.generator` opens.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pandas as pd
from mlflow.pyfunc.model import PythonModel, PythonModelContext

from components.core.generator import ARTIFACT, MaterialGenerator, ModelVersion
from components.core.materials.files import encoded_maps


class RealMat(PythonModel):
    """predict: rows of `prompt` (and `seed`) to rows of `prompt`, `seed` and five PNG maps."""

    def load_context(self, context: PythonModelContext) -> None:
        """Open the generator's folder; the weights are read at the first prediction."""
        folder = Path(context.artifacts[ARTIFACT])
        self.generator = MaterialGenerator(folder, ModelVersion("realmat"))

    def predict(
        self,
        context: PythonModelContext,
        model_input: pd.DataFrame,
        params: dict[str, Any] | None = None,
    ) -> pd.DataFrame:
        """Materials of a table with a `prompt` column; also of a list of prompts, or of one.

        params: `steps` (0: the model's own), `tileable`, `seed` for rows that have none.
        """
        params = params or {}
        rows = as_rows(model_input, int(params.get("seed", 0)))
        materials = self.generator.generate(
            [str(prompt) for prompt in rows["prompt"]],
            [int(seed) for seed in rows["seed"]],
            tileable=bool(params.get("tileable", False)),
            steps=int(params.get("steps", 0)) or None,
        )
        maps = pd.DataFrame([encoded_maps(material) for material in materials])
        maps.columns = [name.removesuffix(".png") for name in maps.columns]
        return pd.concat([rows.reset_index(drop=True), maps], axis=1)


def as_rows(model_input: Any, seed: int) -> pd.DataFrame:
    """The columns prompt and seed of whatever a caller of the model may give."""
    if isinstance(model_input, pd.DataFrame):
        rows = model_input
    else:
        prompts = [model_input] if isinstance(model_input, str) else list(model_input)
        rows = pd.DataFrame({"prompt": prompts})
    seeds = rows["seed"] if "seed" in rows else pd.Series(dtype="float64")
    # Rows without a seed count up from the given one, so that equal prompts differ.
    counted = pd.Series(np.arange(seed, seed + len(rows)), index=rows.index)
    filled = seeds.reindex(rows.index).astype("Int64").fillna(counted.astype("Int64"))
    return pd.DataFrame({"prompt": rows["prompt"], "seed": filled.astype("int64")})


mlflow.models.set_model(RealMat())
