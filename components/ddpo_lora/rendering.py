"""Rendering in the training process, where a material that cannot be rendered costs one sample.

As in `RenderPool`, but for what ends a whole process.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from components.core.errors import UserError
from components.core.realism.reward import RealismReward
from components.core.rendering.batch import Light

Image = npt.NDArray[np.uint8]


class OwnRenderer:
    """Renders grids one by one by the renderer of `reward`.

    failures: the reasons of all that failed so far.
    """

    def __init__(self, reward: RealismReward) -> None:
        self._reward = reward
        self.failures: list[str] = []

    def __call__(
        self, grids_nhwc: npt.NDArray[np.float32], lights: Sequence[Light]
    ) -> list[Image | None]:
        """The grids (N, 2H, 2W, 3) each under its light, in that order; None where it failed.

        What is the user's to mend (`UserError`) ends the run.
        """
        images: list[Image | None] = [None] * len(lights)
        # Environments one after the other, as changing them costs most (`render_batch`).
        for index in sorted(range(len(lights)), key=lambda i: lights[i].environment):
            try:
                images[index] = self._reward.render(grids_nhwc[[index]], [lights[index]])[0]
            except UserError:
                raise
            except Exception as error:
                self.failures.append(f"{type(error).__name__}: {error}")
        return images
