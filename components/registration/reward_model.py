"""The registered reward: image files in, realism scores out, as an MLflow pyfunc made from this
file ("models from code", nothing is pickled). The weights are the artifact folder `reward`, which
`components.core.realism.model` opens.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import mlflow
import pandas as pd
from mlflow.pyfunc.model import PythonModel, PythonModelContext

from components.core.realism.model import ARTIFACT, RealismModel


class RealMatReward(PythonModel):
    """predict: rows with encoded images (`image`, PNG or JPEG bytes) to rows of `score`."""

    def load_context(self, context: PythonModelContext) -> None:
        """Read the scorer and its CLIP model."""
        self.reward = RealismModel.open(Path(context.artifacts[ARTIFACT]))

    def predict(
        self,
        context: PythonModelContext,
        model_input: pd.DataFrame,
        params: dict[str, Any] | None = None,
    ) -> pd.DataFrame:
        """The score of each row's image: about 1 like a photograph, about 0 not at all."""
        return pd.DataFrame({"score": self.reward.files(list(model_input["image"]))})


mlflow.models.set_model(RealMatReward())
