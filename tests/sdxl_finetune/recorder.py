"""A tracker that remembers."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from components.core.platform.tracking import NullTracker


class Recorder(NullTracker):
    def __init__(self) -> None:
        self.rows: list[tuple[int | None, dict[str, float]]] = []
        self.images: dict[str, NDArray[np.uint8]] = {}

    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        self.rows.append((step, dict(metrics)))

    def log_image(self, image: NDArray[np.uint8], name: str) -> None:
        self.images[name] = image

    @property
    def losses(self) -> list[float]:
        return [row["loss"] for _, row in self.rows if "loss" in row]
