"""The simulated annotator judges pixels, not names, and says who it is."""

import numpy as np
from PIL import Image, ImageFilter

from components.core.realism.distractors import KINDS
from labeling.annotations import Task
from labeling.simulated import NAME, SimulatedAnnotator, measure, merit


def natural(seed: int, size: int = 64, contrast: float = 0.08) -> np.ndarray:
    """A texture whose power falls with the square of the frequency, as in nature."""
    rng = np.random.default_rng(seed)
    frequency = np.hypot(np.fft.fftfreq(size)[:, None], np.fft.rfftfreq(size)[None, :])
    frequency[0, 0] = 1
    spectrum = np.fft.rfft2(rng.standard_normal((size, size))) / frequency
    grey = np.fft.irfft2(spectrum, s=(size, size))
    grey = 0.5 + contrast * (grey - grey.mean()) / grey.std()
    return (np.repeat(grey[..., None], 3, axis=2).clip(0, 1) * 255).astype(np.uint8)


def blurred(image: np.ndarray) -> np.ndarray:
    return np.asarray(Image.fromarray(image).filter(ImageFilter.GaussianBlur(1.2)))


def share(images: list[np.ndarray], noise: float = 0.0) -> float:
    annotator = SimulatedAnnotator(0, noise)
    verdicts = [annotator.judge(Task("generated", i, x, "rock")) for i, x in enumerate(images)]
    told = [v for v in verdicts if v != "can't tell"]
    return sum(v == "realistic" for v in told) / len(told)


def test_natural_detail_is_realistic_and_faults_are_not() -> None:
    good = [natural(seed) for seed in range(20)]
    rng = np.random.default_rng(0)
    assert share(good) > 0.9
    assert share([blurred(x) for x in good]) < 0.1
    assert share([(x * 0.02 + 120).astype(np.uint8) for x in good]) < 0.1
    white = [rng.normal(128, 50, (*x.shape[:2], 1)).repeat(3, 2).clip(0, 255) for x in good]
    assert share([x.astype(np.uint8) for x in white]) < 0.1
    garish = [np.stack([x[..., 0], 255 - x[..., 0] // 8, x[..., 0] // 8], 2) for x in good]
    assert share(garish) < 0.1


def test_merit_falls_steadily_with_blur() -> None:
    image = Image.fromarray(natural(1))
    radii = (0.0, 0.5, 0.8, 1.2)
    merits = [
        merit(measure(np.asarray(image.filter(ImageFilter.GaussianBlur(radius)))))
        for radius in radii
    ]
    assert merits == sorted(merits, reverse=True)
    assert merits[0] - merits[-1] > 0.8


def test_a_larger_image_is_judged_as_what_is_seen_of_it_from_further_away() -> None:
    image = natural(2)
    large = image.repeat(2, axis=0).repeat(2, axis=1)
    assert measure(large) == measure(image)
    odd = large[:-1, :-3]
    assert abs(measure(odd).contrast - measure(image).contrast) < 0.02


def test_distractors_are_unrealistic() -> None:
    images = [draw(np.random.default_rng(i), 64) for draw in KINDS.values() for i in range(4)]
    assert share(images) < 0.1


def test_slips_have_the_stated_share_and_nothing_else_is_random() -> None:
    good = [natural(seed) for seed in range(200)]
    flips = share(good) - share(good, noise=0.1)
    assert 0.05 < flips < 0.16
    assert share(good, noise=0.1) == share(good, noise=0.1)


def test_without_recognition_the_set_name_does_not_matter_and_the_annotator_is_named() -> None:
    annotator = SimulatedAnnotator(0, 0.06)
    for seed in range(10):
        tasks = [Task(name, 1, natural(seed), "rock") for name in ("photographs", "generated")]
        first, second = annotator.pull(tasks).annotations
        assert first.label == second.label
        assert first.annotator == NAME == "simulated annotator"


def test_recognised_images_are_generated_ones_and_as_many_as_said() -> None:
    annotator = SimulatedAnnotator(0, 0.0, recognition=0.7)
    images = [natural(seed) for seed in range(200)]
    shares = {
        name: np.mean(
            [annotator.judge(Task(name, i, x, "rock")) == "realistic" for i, x in enumerate(images)]
        )
        for name in ("photographs", "generated")
    }
    assert shares["photographs"] > 0.9
    assert 0.2 < shares["generated"] < 0.4
