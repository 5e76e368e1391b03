"""The two kinds of models that are registered, as MLflow wants to know them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from mlflow.models import ModelSignature
from mlflow.types import ColSpec, DataType, ParamSchema, ParamSpec, Schema

from components.core.generator import ARTIFACT as GENERATOR
from components.core.materials.pixels import png_8
from components.core.realism.model import ARTIFACT as REWARD

HERE = Path(__file__).parent


@dataclass(frozen=True)
class Form:
    """A kind of model: the file that makes the pyfunc and the name of its artifact folder."""

    file: Path
    artifact: str
    signature: Callable[[], ModelSignature]
    example: Callable[[], Any]
    packages: tuple[str, ...]


def _material_signature() -> ModelSignature:
    """Rows of prompt and seed to rows of five PNG files; parameters apply to all rows."""
    maps = ("albedo", "height", "roughness", "metallic", "normal")
    rows = [ColSpec(DataType.string, "prompt"), ColSpec(DataType.long, "seed")]
    return ModelSignature(
        inputs=Schema([rows[0], ColSpec(DataType.long, "seed", required=False)]),
        outputs=Schema([*rows, *(ColSpec(DataType.binary, name) for name in maps)]),
        params=ParamSchema(
            [
                ParamSpec("seed", DataType.long, np.int64(0)),
                ParamSpec("steps", DataType.long, np.int64(0)),
                ParamSpec("tileable", DataType.boolean, False),
            ]
        ),
    )


def _material_example() -> Mapping[str, Any]:
    return {"prompt": "old red brick wall", "seed": 0}


def _reward_signature() -> ModelSignature:
    """Rows of an image file each to rows of one score."""
    return ModelSignature(
        inputs=Schema([ColSpec(DataType.binary, "image")]),
        outputs=Schema([ColSpec(DataType.float, "score")]),
    )


def _reward_example() -> pd.DataFrame:
    return pd.DataFrame({"image": [png_8(np.full((32, 32, 3), 0.5, np.float32))]})


MATERIAL = Form(
    HERE / "material_model.py", GENERATOR, _material_signature, _material_example,
    ("diffusers", "mlflow", "numpy", "open-clip-torch", "pandas", "peft", "pillow", "safetensors",
     "torch", "transformers"),
)  # fmt: skip
REWARD_MODEL = Form(
    HERE / "reward_model.py", REWARD, _reward_signature, _reward_example,
    ("mlflow", "numpy", "open-clip-torch", "pandas", "pillow", "safetensors", "torch"),
)  # fmt: skip
