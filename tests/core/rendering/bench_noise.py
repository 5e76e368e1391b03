"""The cheapest rendering whose noise does not disturb the score (`make bench`).

The score is the realism reward of the last `make demo`; without one, the shipped CLIP's: nearer to
"photograph of material" than to "soft material". All materials of a comparison are seen under one
light. Noise is the standard deviation over the seeds of the samples; the spread beside it that over
the materials, so no difference of lights is in it. The reference of each size is 64 samples a pixel
at depth 8, whose order of the materials the setting must keep (Spearman). Speed is told by
processor time, which does not depend on what else the machine does.
"""

import itertools
import json
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from numpy.typing import NDArray
from PIL import Image
from scipy.stats import spearmanr

from components.core.materials.library.catalogue import sample
from components.core.materials.material import CATEGORIES, Material
from components.core.realism.clip import ClipFeatures
from components.core.realism.scorer import LinearScorer
from components.core.rendering.batch import draw_lights
from components.core.rendering.environments import load_environments
from components.core.rendering.interleaved import NAME as INTERLEAVED
from components.core.rendering.scene import Renderer
from tests.core.rendering.meshes import RECIPES, mesh_of, rendering_of

MATERIALS = 32
ROUNDS = {64: (3, 3), 128: (2, 3), 256: (1, 3), 512: (1, 2)}
"""(lights, seeds) by size: large images cost more and are less noisy."""
FOLDER = Path("runs/bench")
PICTURE = Path(".github/pictures/render-noise.png")
Score = Callable[[NDArray[np.uint8]], NDArray[np.float32]]


@dataclass(frozen=True)
class Setting:
    """What a rendering costs: size of the image, cells along the side of the mesh, samples a pixel,
    depth of paths, sampler."""

    size: int
    mesh: int
    spp: int
    depth: int
    sampler: str = "multijitter"
    interleave: int = 1

    def __str__(self) -> str:
        square = f" {self.interleave}" if self.sampler == INTERLEAVED else ""
        return (
            f"{self.size}², mesh {self.mesh}, {self.spp} spp, depth {self.depth}, "
            f"{self.sampler}{square}"
        )

    @classmethod
    def of(cls, recipe: str) -> "Setting":
        """That of a recipe."""
        found = rendering_of(recipe)
        return cls(
            found.size, found.mesh_resolution, found.spp, found.max_depth, found.sampler,
            found.interleave,
        )  # fmt: skip


@dataclass(frozen=True)
class Row:
    """What was measured of a setting."""

    setting: Setting
    milliseconds: float
    faster: float
    noise: float
    spearman: float

    def verdict(self) -> str:
        """Which of the three aims it reaches."""
        aims = {
            "noise at most a tenth of the spread": self.noise <= 0.1,
            "four times faster": self.faster >= 4,
            "Spearman 0.99": self.spearman >= 0.99,
        }
        return ", ".join(f"{aim}: {'yes' if met else 'no'}" for aim, met in aims.items())

    def __str__(self) -> str:
        return (
            f"{self.setting!s:50s} {self.milliseconds:9.1f} {self.faster:9.1f} "
            f"{self.noise:13.3f} {self.spearman:9.4f}"
        )


CANDIDATES = {
    64: [(64, 3), (16, 8), (16, 3), (16, 2), (9, 3), (4, 3), (1, 3)],
    128: [(16, 8), (16, 3), (16, 2), (9, 3), (4, 3), (1, 3)],
    256: [(16, 3), (16, 2), (9, 3), (4, 3), (1, 3)],
    512: [(16, 3), (9, 3), (4, 3), (1, 3)],
}
INTERLEAVED_SPP = {64: (16, 8), 128: (16, 8, 4), 256: (16, 8, 4), 512: (16, 8, 4)}
"""Samples that are tried with "interleaved": by squares of what the small CLIP, which sees 64²,
averages, and of 2, as for a CLIP that sees 224² of 512²."""
SAMPLERS = ("independent", "stratified", "ldsampler", "orthogonal")
"""Tried at 128²; "orthogonal" wants the square of a prime."""


def settings(size: int) -> list[Setting]:
    """The reference first, then candidates and what the recipes have."""
    mesh = mesh_of(size)
    found = [Setting(size, mesh, *each) for each in ((64, 8), *CANDIDATES[size])]
    if size == 128:
        found += [
            Setting(size, mesh, 25 if name == "orthogonal" else 16, 3, name) for name in SAMPLERS
        ]
    squares = dict.fromkeys((size // 64, min(2, size // 64)))
    found += [
        Setting(size, mesh, spp, 3, INTERLEAVED, square)
        for square, spp in itertools.product(squares, INTERLEAVED_SPP[size])
    ]
    found += [setting for setting in map(Setting.of, RECIPES) if setting.size == size]
    return list(dict.fromkeys(found))


@pytest.fixture(scope="module")
def score() -> Score:
    clip = ClipFeatures.load("small")
    found = Path("runs/laptop/store/reward_training").glob("*/reward")
    rewards = sorted(found, key=lambda folder: folder.stat().st_mtime)
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
    """Scores (lights, seeds, materials), and the seconds of processor time an image takes."""
    renderer = Renderer(
        setting.size, setting.spp, setting.mesh, 0.06, max_depth=setting.depth,
        sampler=setting.sampler, interleave=setting.interleave,
    )  # fmt: skip
    environments = load_environments("")
    lights, seeds = ROUNDS[setting.size]
    drawn = draw_lights(lights, len(environments), np.random.default_rng(1))
    work = list(itertools.product(drawn, range(seeds), materials))
    images = []
    for number, (light, seed, material) in enumerate([work[0], work[0], *work]):
        if number == 2:  # the first ones record the kernels
            started = time.process_time()
        environment = environments[light.environment]
        images.append(
            renderer.render_srgb(material, environment, rotation=light.rotation, seed=seed)
        )
    duration = (time.process_time() - started) / len(work)
    return score(np.stack(images[2:])).reshape(lights, seeds, -1), duration


def compared(
    found: NDArray[np.float32], truth: NDArray[np.float32], *, itself: bool
) -> tuple[float, float]:
    """Noise over spread, and Spearman's correlation with the truth, both light by light.

    found, truth: (lights, seeds, materials). The reference is compared with its own other seeds.
    """
    noise = found.std(axis=1, ddof=1).mean()
    spread = truth.mean(axis=1).std(axis=1).mean()
    best = truth[:, 1:] if itself else truth
    pairs = zip(found[:, 0], best.mean(axis=1), strict=True)
    order = [spearmanr(ours, theirs).statistic for ours, theirs in pairs]
    return float(noise / spread), float(np.mean(order))


@pytest.mark.parametrize("size", ROUNDS)
def test_noise_of_the_score_by_setting(score: Score, size: int) -> None:
    rng = np.random.default_rng(size)
    materials = [sample(CATEGORIES[i % 16], rng, size) for i in range(MATERIALS)]
    rows = []
    print(f"{'setting':50s} {'CPU ms':>9s} {'speed-up':>9s} {'noise/spread':>13s} {'Spearman':>9s}")
    for number, setting in enumerate(settings(size)):
        found, duration = scores(setting, materials, score)
        if number == 0:
            truth, slow = found, duration
        measured = compared(found, truth, itself=number == 0)
        rows.append(Row(setting, 1000 * duration, slow / duration, *measured))
        print(rows[-1], flush=True)
    keep(size, rows)
    save_plot([row for each in ROUNDS for row in kept(each)])
    for recipe in RECIPES:
        for row in rows:
            if row.setting == Setting.of(recipe):
                print(f"{recipe}: {row.verdict()}")


def keep(size: int, rows: list[Row]) -> None:
    """For the picture of all sizes, which may be measured one by one."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    (FOLDER / f"noise-{size}.json").write_text(json.dumps([asdict(row) for row in rows]))


def kept(size: int) -> list[Row]:
    """What `keep` has of a size."""
    file = FOLDER / f"noise-{size}.json"
    found = json.loads(file.read_text()) if file.exists() else []
    rows = []
    for row in found:
        setting = {"mesh": min(size, 128), **row["setting"]}  # what earlier ones had, unsaid
        rows.append(Row(**{**row, "setting": Setting(**setting)}))
    return rows


MARKERS = {"multijitter": "o", INTERLEAVED: "^"}
OTHERS = "x"


def save_plot(rows: list[Row]) -> None:
    """Noise and loss of order over speed: a colour a size, a marker a sampler, samples beside the
    point, a ring around what a recipe takes."""
    figure = Figure(figsize=(13, 6), layout="constrained")
    left, right = figure.subplots(1, 2)
    chosen = {Setting.of(recipe): recipe for recipe in RECIPES}
    colours = {size: f"C{number}" for number, size in enumerate(ROUNDS)}
    for row in rows:
        setting = row.setting
        marker = MARKERS.get(setting.sampler, OTHERS)
        for axes, value in ((left, row.noise), (right, max(1 - row.spearman, 1e-4))):
            place = (row.faster, value)
            axes.loglog(*place, marker, color=colours[setting.size], markersize=5)
            axes.annotate(
                str(setting.spp), place, (4, 3), textcoords="offset points", fontsize=7
            )  # fmt: skip
            if setting in chosen:
                axes.loglog(*place, "o", color="black", markersize=13, fillstyle="none")
                axes.annotate(
                    chosen[setting], place, (9, -12), textcoords="offset points", weight="bold"
                )  # fmt: skip
    for axes, limit in ((left, 0.1), (right, 0.01)):
        axes.axhline(limit, color="grey", linestyle="--")
        axes.axvline(4.0, color="grey", linestyle="--")
        axes.set_xlabel("times faster than 64 samples at depth 8 of the same size")
    left.set_ylabel("noise / spread of the score between materials")
    right.set_ylabel("1 - Spearman's correlation with them")
    handles = [
        Line2D([], [], ls="", marker="o", color=c, label=f"{s}²") for s, c in colours.items()
    ]
    handles += [
        Line2D([], [], ls="", marker=marker, color="grey", label=name)
        for name, marker in (*MARKERS.items(), ("other samplers", OTHERS))
    ]
    figure.legend(handles=handles, loc="outside upper center", ncols=len(handles))
    figure.savefig(PICTURE, dpi=80)
    Image.open(PICTURE).convert("P", palette=Image.Palette.ADAPTIVE, colors=64).save(PICTURE)
    print(f"plot: {PICTURE}")
