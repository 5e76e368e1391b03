"""The cheapest rendering whose noise does not disturb the score (`make bench`).

The score is the shipped CLIP's: nearer to "photograph of material" than to "soft material". Its
noise is the standard deviation over seeds, its signal the standard deviation over materials; the
reference is 64 samples a pixel at depth 8.
"""

import time
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray
from scipy.stats import spearmanr

from components.core.materials.library.catalogue import sample
from components.core.materials.material import CATEGORIES, Material
from components.core.realism.clip import ClipFeatures
from components.core.rendering.batch import draw_lights
from components.core.rendering.environments import load_environments
from components.core.rendering.scene import Renderer

MATERIALS, SEEDS = 48, 4
REFERENCE = (128, 64, 8)
SETTINGS = [
    REFERENCE, (128, 16, 8), (128, 16, 3), (128, 9, 3), (128, 4, 3), (128, 4, 2), (128, 1, 2),
    (64, 64, 8), (64, 16, 3), (64, 16, 2), (64, 4, 3), (64, 4, 2),
]  # fmt: skip


def scores(
    setting: tuple[int, int, int], materials: list[Material], clip: ClipFeatures
) -> tuple[NDArray[np.float32], float]:
    """Scores (SEEDS, MATERIALS) at (size, spp, depth), and the seconds an image takes."""
    size, spp, depth = setting
    renderer = Renderer(size, spp, mesh_resolution=48, displacement=0.06, max_depth=depth)
    environments = load_environments("")
    lights = draw_lights(len(materials), len(environments), np.random.default_rng(1))
    photograph, soft = clip.texts(["photograph of material", "soft material"])
    images = []
    for seed in range(SEEDS + 1):  # the first round warms up
        if seed == 1:
            started = time.perf_counter()
        images += [
            renderer.render_srgb(
                material, environments[light.environment], rotation=light.rotation, seed=seed
            )
            for material, light in zip(materials, lights, strict=True)
        ]
    duration = (time.perf_counter() - started) / (SEEDS * len(materials))
    features = clip.images(np.stack(images[len(materials) :]))
    return (features @ (photograph - soft)).reshape(SEEDS, -1), duration


def test_noise_of_the_score_by_setting() -> None:
    rng = np.random.default_rng(0)
    materials = [sample(CATEGORIES[i % 16], rng, 128) for i in range(MATERIALS)]
    clip = ClipFeatures.load("small")
    reference, reference_time = scores(REFERENCE, materials, clip)
    spread = float(reference.mean(0).std())
    print(f"\nspread of the score over materials: {spread:.4f}")
    print("size  spp depth   ms/image  speed-up  noise/spread  Spearman, one seed")
    rows = []
    for setting in SETTINGS:
        found, duration = scores(setting, materials, clip)
        noise = float(found.std(0, ddof=1).mean()) / spread
        agreement = float(spearmanr(found[0], reference.mean(0)).statistic)
        rows.append((setting, reference_time / duration, noise))
        size, spp, depth = setting
        print(
            f"{size:4d} {spp:4d} {depth:5d} {1000 * duration:10.1f} "
            f"{reference_time / duration:9.1f} {noise:13.3f} {agreement:10.4f}"
        )
    save_plot(rows)


def save_plot(rows: list[tuple[tuple[int, int, int], float, float]]) -> None:
    """Noise over speed, one point a setting."""
    figure = Figure(figsize=(6, 4), layout="constrained")
    axes = figure.add_subplot()
    for (size, spp, depth), speed, noise in rows:
        axes.loglog(speed, noise, "o", color="tab:blue" if size == 128 else "tab:orange")
        axes.annotate(f"{size}², {spp} spp, depth {depth}", (speed, noise), fontsize=7)
    axes.axhline(0.1, color="grey", linestyle="--")
    axes.set(xlabel="speed-up over 128², 64 spp, depth 8", ylabel="noise / spread of the score")
    folder = Path("runs/bench")
    folder.mkdir(parents=True, exist_ok=True)
    figure.savefig(folder / "score-noise.png", dpi=120)
    print(f"plot: {folder / 'score-noise.png'}")
