"""The cheapest rendering whose noise does not disturb the score (`make bench`).

The score is the realism reward of the last `make demo`; without one, the shipped CLIP's: nearer to
"photograph of material" than to "soft material". Its noise is the standard deviation over seeds,
its signal the standard deviation over materials; the reference is 64 samples a pixel at depth 8.
Speed is told by processor time, which does not depend on what else the machine does.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure
from numpy.typing import NDArray
from scipy.stats import spearmanr

from components.core.materials.library.catalogue import sample
from components.core.materials.material import CATEGORIES, Material
from components.core.realism.clip import ClipFeatures
from components.core.realism.scorer import LinearScorer
from components.core.rendering.batch import draw_lights
from components.core.rendering.environments import load_environments
from components.core.rendering.scene import Renderer

MATERIALS, SEEDS = 48, 4
Score = Callable[[NDArray[np.uint8]], NDArray[np.float32]]


@dataclass(frozen=True)
class Setting:
    """What a rendering costs: size of the image, samples a pixel, depth of paths, sampler."""

    size: int
    spp: int
    depth: int
    sampler: str = "multijitter"

    def __str__(self) -> str:
        return f"{self.size}², {self.spp} spp, depth {self.depth}, {self.sampler}"


REFERENCE = Setting(128, 64, 8)
SETTINGS = [
    REFERENCE,
    *(
        Setting(128, spp, depth)
        for spp, depth in ((16, 8), (16, 3), (16, 2), (9, 3), (4, 3), (1, 3))
    ),
    *(
        Setting(64, spp, depth)
        for spp, depth in ((64, 8), (64, 3), (16, 3), (16, 2), (9, 3), (4, 3), (1, 3))
    ),
    *(Setting(128, 16, 3, name) for name in ("independent", "stratified", "ldsampler")),
]


@pytest.fixture(scope="module")
def score() -> Score:
    clip = ClipFeatures.load("small")
    rewards = sorted(Path("runs/laptop/store/reward_training").glob("*/reward"))
    if rewards:
        print("\nscore: the realism reward of runs/laptop")
        scorer = LinearScorer.load(rewards[-1])
        return lambda images: scorer(clip.images(images))
    print("\nscore: the small CLIP's direction from soft to photograph (no reward in runs/laptop)")
    photograph, soft = clip.texts(["photograph of material", "soft material"])
    return lambda images: np.asarray(clip.images(images) @ (photograph - soft))


def scores(
    setting: Setting, materials: list[Material], score: Score
) -> tuple[NDArray[np.float32], float]:
    """Scores (SEEDS, MATERIALS), and the seconds of processor time an image takes."""
    renderer = Renderer(
        setting.size, setting.spp, 48, 0.06, max_depth=setting.depth, sampler=setting.sampler
    )
    environments = load_environments("")
    lights = draw_lights(len(materials), len(environments), np.random.default_rng(1))
    images = []
    for seed in range(SEEDS + 1):  # the first round warms up
        if seed == 1:
            started = time.process_time()
        images += [
            renderer.render_srgb(
                material, environments[light.environment], rotation=light.rotation, seed=seed
            )
            for material, light in zip(materials, lights, strict=True)
        ]
    duration = (time.process_time() - started) / (SEEDS * len(materials))
    return score(np.stack(images[len(materials) :])).reshape(SEEDS, -1), duration


def test_noise_of_the_score_by_setting(score: Score) -> None:
    rng = np.random.default_rng(0)
    materials = [sample(CATEGORIES[i % 16], rng, 128) for i in range(MATERIALS)]
    truth: dict[int, NDArray[np.float32]] = {}  # by size: CLIP sees another picture at another
    slow: dict[int, float] = {}
    print(f"{'setting':38s} CPU ms  speed-up: own size, reference  noise/spread  Spearman: same")
    rows = []
    for setting in sorted(SETTINGS, key=lambda s: (-s.size, -s.spp * s.depth)):
        found, duration = scores(setting, materials, score)
        if setting.size not in truth:
            truth[setting.size], slow[setting.size] = found.mean(0), duration
        spread = float(truth[setting.size].std())
        noise = float(found.std(0, ddof=1).mean()) / spread
        own, reference = (
            float(spearmanr(found[0], truth[size]).statistic)
            for size in (setting.size, REFERENCE.size)
        )
        speed, faster = slow[setting.size] / duration, slow[REFERENCE.size] / duration
        rows.append((setting, faster, noise))
        print(
            f"{setting!s:38s} {1000 * duration:6.1f} {speed:9.1f} {faster:9.1f} "
            f"{noise:13.3f} {own:10.4f} {reference:10.4f}"
        )
    save_plot(rows)


def save_plot(rows: list[tuple[Setting, float, float]]) -> None:
    """Noise over speed, one point a setting."""
    figure = Figure(figsize=(7, 4.5), layout="constrained")
    axes = figure.add_subplot()
    for setting, speed, noise in rows:
        color = "tab:blue" if setting.size == REFERENCE.size else "tab:orange"
        axes.loglog(speed, noise, "o", color=color)
        axes.annotate(str(setting), (speed, noise), fontsize=6)
    axes.axhline(0.1, color="grey", linestyle="--")
    axes.axvline(4.0, color="grey", linestyle="--")
    axes.set(xlabel=f"speed-up over {REFERENCE}", ylabel="noise / spread of the score")
    folder = Path("runs/bench")
    folder.mkdir(parents=True, exist_ok=True)
    figure.savefig(folder / "score-noise.png", dpi=120)
    print(f"plot: {folder / 'score-noise.png'}")
