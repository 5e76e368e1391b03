"""The simulated annotator: a rule that judges images where no people do.

It stands in for people in unattended runs and is named "simulated annotator" in every judgement.
People see at a glance that most generated images are not photographs, by more than a few statistics
tell (on renderings of the small model, those below reach an AUC of 0.83). The share that they
recognise is a setting, `recognition`: such an image is unrealistic to the annotator whatever it
measures. With a recognition of 0 it is not told which set an image belongs to. All else it judges
by what can be measured in the pixels:

- detail: power spectra of natural images fall with about the square of the frequency, so that
  each octave carries about as much as the next. Blurred or painted-over images fall faster,
  noise does not fall at all;
- contrast: neither washed out nor harsh, whatever the material's own contrast is;
- colour: not garish;
- exposure: few pixels that are pure black or white;
- variety: the brightness values of a texture, rather than those of a flat area or of strokes.

Each statistic gives a merit in [0, 1]; the verdict follows from their product, so that one gross
fault suffices. Verdicts near the border are "can't tell" half of the time, and a fixed share of
the others is flipped at random, as people's slips are.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from labeling.annotations import Annotation, Judgements, Label, Task

NAME = "simulated annotator"
BORDER = 0.5
SEEN = 64
"""Pixels along a side at which the annotator looks: its limits are those of such images."""
BINS = 32
BELL = float(np.sqrt(2 * np.pi * np.e))
"""2 to the entropy in bits of a bell curve of deviation 1."""
DOUBT = 0.06
"""Distance from the border within which the annotator may not be able to tell."""


@dataclass(frozen=True)
class Statistics:
    """What the annotator measures on one image."""

    slope: float
    """log2 of the deviation of 1-2 pixel detail over that of 2-4 pixel detail: near 0 in natural
    images, 1 in white noise, clearly negative after a blur."""
    contrast: float
    """Standard deviation of luminance, which is in [0, 1]."""
    saturation: float
    """Mean difference between the strongest and the weakest colour channel."""
    clipped: float
    """Share of pixels that are pure black or white in all channels."""
    monotony: float
    """Bits by which the luminance histogram is poorer than a bell curve of the same contrast."""


class SimulatedAnnotator:
    """An annotation source that answers at once, the same for the same image and seed."""

    waits = False

    def __init__(self, seed: int, label_noise: float, recognition: float = 0.0) -> None:
        self.seed = seed
        self.label_noise = label_noise
        self.recognition = recognition

    def push(self, tasks: Sequence[Task]) -> int:
        """Nothing has to be stored: every task can be judged whenever it is asked for."""
        return len(tasks)

    def order(self, tasks: Sequence[Task], scores: Sequence[float], version: str) -> None:
        """The order makes no difference: everything is judged."""

    def pull(self, tasks: Sequence[Task]) -> Judgements:
        """One judgement for each task."""
        # A date would make two runs of the same recipe differ.
        return Judgements(
            [Annotation(t.set, t.item, self.judge(t), NAME, "", t.random) for t in tasks]
        )

    def judge(self, task: Task) -> Label:
        """The verdict on one image, with slips that depend on the seed and the pixels only."""
        rng = np.random.default_rng([self.seed, zlib.crc32(task.image.tobytes())])
        recognised = (rng.random() < self.recognition) and task.set == "generated"
        quality = 0.0 if recognised else merit(measure(task.image))
        if abs(quality - BORDER) < DOUBT and rng.random() < 0.5:
            return "can't tell"
        realistic = (quality > BORDER) != (rng.random() < self.label_noise)
        return "realistic" if realistic else "unrealistic"


def measure(image_hwc: NDArray[np.uint8]) -> Statistics:
    """The statistics of an 8-bit sRGB image (h, w, 3), larger ones seen from further away."""
    image_hwc = _from_afar(image_hwc)
    pixels = image_hwc.astype(np.float32) / 255
    weights = np.array([0.299, 0.587, 0.114], np.float32)
    luminance = np.asarray(pixels @ weights, dtype=np.float32)
    half = _halved(luminance)
    quarter = _halved(half)
    fine = float((luminance - _doubled(half, luminance.shape)).std())
    middle = float((half - _doubled(quarter, half.shape)).std())
    histogram = np.histogram(luminance, bins=BINS, range=(0, 1))[0] / luminance.size
    present = histogram[histogram > 0]
    pure = (image_hwc <= 2).all(axis=2) | (image_hwc >= 253).all(axis=2)
    contrast = float(luminance.std())
    entropy = float(-(present * np.log2(present)).sum())
    return Statistics(
        slope=float(np.log2((fine + 1e-4) / (middle + 1e-4))),
        contrast=contrast,
        saturation=float((pixels.max(axis=2) - pixels.min(axis=2)).mean()),
        clipped=float(pure.mean()),
        monotony=max(0.0, float(np.log2(max(contrast * BINS * BELL, 1.0))) - entropy),
    )


def _from_afar(image_hwc: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The image with squares of pixels averaged, so that its shorter side has about `SEEN`."""
    times = min(image_hwc.shape[:2]) // SEEN
    if times < 2:
        return image_hwc
    rows, columns = (side // times for side in image_hwc.shape[:2])
    cut = image_hwc[: rows * times, : columns * times].astype(np.float32)
    blocks = cut.reshape(rows, times, columns, times, 3)
    return (blocks.mean(axis=(1, 3)) + 0.5).astype(np.uint8)


def merit(s: Statistics) -> float:
    """Realism in [0, 1]: the product of the merits."""
    merits = (
        _rises(s.slope, -0.60, 0.00),
        1 - _rises(s.slope, 0.70, 1.00),
        _rises(s.contrast, 0.004, 0.016),
        1 - _rises(s.contrast, 0.26, 0.40),
        1 - _rises(s.saturation, 0.45, 0.70),
        1 - _rises(s.clipped, 0.05, 0.30),
        1 - _rises(s.monotony, 0.8, 1.8),
    )
    return float(np.prod(merits))


def _rises(value: float, low: float, high: float) -> float:
    """0 up to `low`, 1 from `high`, smooth in between."""
    t = min(max((value - low) / (high - low), 0.0), 1.0)
    return t * t * (3 - 2 * t)


def _halved(grey: NDArray[np.float32]) -> NDArray[np.float32]:
    """Means of 2 × 2 pixels (an odd last row or column is dropped)."""
    rows, columns = grey.shape[0] // 2 * 2, grey.shape[1] // 2 * 2
    blocks = grey[:rows, :columns].reshape(rows // 2, 2, columns // 2, 2)
    return np.asarray(blocks.mean(axis=(1, 3)), dtype=np.float32)


def _doubled(grey: NDArray[np.float32], shape: tuple[int, ...]) -> NDArray[np.float32]:
    """Every pixel as 2 × 2, with the last repeated where the target is odd."""
    large = grey.repeat(2, axis=0).repeat(2, axis=1)
    extra = [(0, target - have) for target, have in zip(shape, large.shape, strict=True)]
    return np.pad(large, extra, mode="edge")
