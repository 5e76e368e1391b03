"""What looks at the materials of a contest."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from components.core.realism.clip import ClipFeatures
from components.core.realism.model import RealismModel
from components.core.rendering.environments import Environment
from components.evaluation.plates import PlateRenderer


@dataclass(frozen=True)
class Judges:
    """What looks at the materials; without a reward there is no realism."""

    renderer: PlateRenderer
    environments: Sequence[Environment]
    features: ClipFeatures
    reward: RealismModel | None = None
    reference: npt.NDArray[np.floating] | None = None
    """Features (M, D) of the photographs that `kid` compares with."""
    preferences: Sequence[Mapping[str, Any]] = ()
    """People's, of a study of these methods (`read_preferences`)."""
    set_aside: Sequence[str] = ()
    """"file: reason" of reference photographs that could not be used."""
    given: Mapping[str, str] = field(default_factory=dict)
    """Where they are from: reward, reference and votes, as URIs and paths."""
