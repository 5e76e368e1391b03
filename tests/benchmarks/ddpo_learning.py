"""What a held-out reward gains from as many samples, and how long that takes:

    python -m tests.benchmarks.ddpo_learning                            # windows against all steps
    python -m tests.benchmarks.ddpo_learning --ways all direct --seeds 1
    python -m tests.benchmarks.ddpo_learning --set learning_rate=1e-3
    python -m tests.benchmarks.ddpo_learning --run runs/laptop --ways mixed --epochs 15 \\
        --samples 256                                       # the laptop recipe with three seeds

The laptop recipe's settings, the real renderer and the shipped CLIP. Model, reward and prompts are
a run's artifacts if it is given, or they are. Without, the model is the shipped one, and the reward
tells stand-ins for photographs from renderings of the model's own samples, as reward_training's
does, from fewer of them; the gold scorer is fitted to others. Every way and seed begins with the
same model, prompts and reward. Reported are the changes of the held-out reward and of the gold
score with their paired 95 % intervals, what is left of the samples' diversity, and the seconds of
training alone.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from components.core.diffusion.model import TextToImage, load_model
from components.core.diffusion.sampler import generate_materials
from components.core.materials.library.catalogue import sample as paint
from components.core.materials.material import CATEGORIES
from components.core.materials.prompt_pool import draw_prompts
from components.core.platform.artifacts import open_artifact
from components.core.platform.config_types import Rendering
from components.core.platform.tracking import NullTracker
from components.core.realism.clip import ClipFeatures
from components.core.realism.linear import fit_linear
from components.core.realism.reward import GOLD, REWARD, RealismReward, load_reward
from components.core.realism.scorer import LinearScorer
from components.core.realism.stand_in import MAP_SCALE, detailed_renderer, stand_in
from components.core.rendering.batch import draw_lights, render_batch
from components.core.rendering.environments import load_environments
from components.core.rendering.scene import Renderer
from components.ddpo_lora.config import Config
from components.ddpo_lora.prompts import Prompts, read_prompts
from components.ddpo_lora.training import train_adapter
from pipelines.recipe import load_recipe

EVERY: dict[str, Any] = {"window": 0, "window_stride": 1, "branch": False}
WAYS: dict[str, dict[str, Any]] = {
    "all": EVERY,
    "window": EVERY | {"window": 2},
    "mixed": {"window": 2, "window_stride": 2, "branch": True},
    "joined": {"window": 2, "window_stride": 3, "branch": True},
    "direct": EVERY | {"method": "direct", "learning_rate": 1e-3, "one_pass": False},
}
MAP_SIZE = 64


@dataclass(frozen=True)
class Outcome:
    """Of one training; the changes' intervals are over the held-out samples. diversity: the share
    that is left of their mean distance."""

    way: str
    seed: int
    samples: int
    seconds: float
    change: float
    low: float
    high: float
    gold_change: float
    gold_low: float
    gold_high: float
    diversity: float


def reinforce(
    way: str, seed: int, config: Config, model: str, reward: RealismReward, prompts: Prompts
) -> Outcome:
    """Train a new adapter of the model that `load_model` opens."""
    given = Config.model_validate(config.model_dump() | WAYS[way] | {"seed": seed})
    with tempfile.TemporaryDirectory() as work:
        generator, started = load_model(model), time.perf_counter()
        history = train_adapter(given, generator, reward, prompts, Path(work), NullTracker())
        seconds = time.perf_counter() - started
    last = history[-1]
    spent = sum(row["seconds"].get("heldout", 0.0) for row in history)
    changes = [
        last[f"heldout_{scorer}change{bound}"]
        for scorer in ("", "gold_")
        for bound in ("", "_low", "_high")
    ]
    samples = given.epochs * given.samples_per_epoch
    kept = last["heldout_diversity"] / history[0]["heldout_diversity"]
    return Outcome(way, seed, samples, seconds - spent, *changes, kept)


def draw(count: int, rng: np.random.Generator, *, heldout: bool) -> list[str]:
    """As many prompts of every category."""
    each = -(-count // len(CATEGORIES))
    found = [draw_prompts(category, each, rng, heldout=heldout) for category in CATEGORIES]
    return [prompt for prompts in zip(*found, strict=False) for prompt in prompts][:count]


def build_reward(
    model: TextToImage, config: Config, rendering: Rendering, pictures: int
) -> RealismReward:
    """Reward and gold scorer, each of `pictures` stand-ins and as many generated materials."""
    rng, environments = np.random.default_rng(0), load_environments("")
    features = ClipFeatures.load("small")
    renderer = Renderer(**rendering.model_dump())
    scorers = {}
    for name in (REWARD, GOLD):
        prompts = draw(pictures, rng, heldout=False)
        seeds = [int(seed) for seed in rng.integers(2**31, size=pictures)]
        materials = generate_materials(model, prompts, seeds, config.steps, config.guidance)
        lights = draw_lights(pictures, len(environments), rng)
        generated = render_batch(renderer, materials, environments, lights)
        scorers[name] = _fit(features, _photographs(pictures, rendering, rng), generated)
    return RealismReward(renderer, environments, features, scorers)


def _photographs(count: int, rendering: Rendering, rng: np.random.Generator) -> NDArray[np.uint8]:
    environments, camera = load_environments(""), detailed_renderer(rendering)
    pictures = []
    for number in range(count):
        category = CATEGORIES[number % len(CATEGORIES)]
        environment = environments[int(rng.integers(len(environments)))]
        material = paint(category, rng, MAP_SCALE * MAP_SIZE)
        pictures.append(stand_in(material, camera, environment, rng))
    return np.stack(pictures)


def _fit(
    features: ClipFeatures, real: NDArray[np.uint8], generated: NDArray[np.uint8]
) -> LinearScorer:
    """Least squares towards 1 for the real and 0 for the generated, the reward's first term."""
    rows = features.images(np.concatenate([real, generated]))
    x = torch.from_numpy(rows)
    y = torch.tensor([1.0] * len(real) + [0.0] * len(generated))
    return fit_linear(
        rows, lambda score, batch: (score(x[batch]) - y[batch]).square().mean(),
        steps=1000, batch=64, start=0.5, learning_rate=1e-3, weight_decay=1e-2,
    )  # fmt: skip


def parse(arguments: list[str] | None) -> argparse.Namespace:
    """The options; those of artifacts are folders in a run's store."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--ways", nargs="+", choices=sorted(WAYS), default=["all", "window", "mixed"]
    )
    parser.add_argument("--seeds", type=int, default=3, help="trainings of each way")
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--samples", type=int, default=48, help="of a held-out measurement")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", dest="changes")
    parser.add_argument("--json", action="store_true")
    add_artifacts(parser)
    return parser.parse_args(arguments)


def add_artifacts(parser: argparse.ArgumentParser) -> None:
    """The options that `collaborators` reads."""
    parser.add_argument("--run", type=Path, help="folder of a run: its newest artifacts")
    parser.add_argument("--model", type=Path, help='artifact "diffusion-model"')
    parser.add_argument("--reward", type=Path, help='artifact "realism-scorer"')
    parser.add_argument("--prompts", type=Path, help='artifact "prompts"')
    parser.add_argument(
        "--pictures", type=int, default=128, help="of each kind, for a scorer that is made"
    )


def newest(stage: Path) -> Path:
    """The artifact of a stage's folder that was made last.

    Raises:
        FileNotFoundError: there is none.
    """
    found = sorted(stage.glob("*/manifest.json"), key=lambda file: file.stat().st_mtime)
    if not found:
        raise FileNotFoundError(f"{stage} holds no artifact; run the recipe first")
    return found[-1].parent


def collaborators(given: argparse.Namespace, config: Config) -> tuple[str, RealismReward, Prompts]:
    """The model's name or folder, the reward and the prompts: artifacts, or made here."""

    def artifact(named: Path | None, stage: str) -> Path | None:
        return named or (newest(given.run / "store" / stage) if given.run else None)

    rng = np.random.default_rng(1)
    trained = artifact(given.model, "sdxl_finetune")
    model = str(open_artifact(trained, "diffusion-model")) if trained else "small"
    if selected := artifact(given.prompts, "prompt_selection"):
        prompts = read_prompts(open_artifact(selected, "prompts"))
    else:
        prompts = Prompts(draw(32, rng, heldout=False), draw(64, rng, heldout=True), {})
    if scorers := artifact(given.reward, "reward_training"):
        folder = open_artifact(scorers, "realism-scorer")
        reward = load_reward(folder, "", config.rendering, scorer=config.scorer)
    else:
        reward = build_reward(load_model(model), config, config.rendering, given.pictures)
    return model, reward, prompts


def main(arguments: list[str] | None = None) -> list[Outcome]:
    """Print a line for each training, and the means of every way."""
    given = parse(arguments)
    changes = {
        "epochs": given.epochs, "heldout_every": given.epochs, "heldout_samples": given.samples,
        "strips_every": 0,
    }  # fmt: skip
    recipe = load_recipe("laptop", [f"ddpo_lora.{change}" for change in given.changes])
    config = recipe.ddpo_lora.model_copy(update=changes)
    model, reward, prompts = collaborators(given, config)
    outcomes = []
    for seed in range(given.seeds):
        for way in given.ways:
            one = reinforce(way, seed, config, model, reward, prompts)
            outcomes.append(one)
            if not given.json:
                print(line(one), flush=True)
    if given.json:
        print(json.dumps([asdict(one) for one in outcomes]))
        return outcomes
    for way in given.ways:
        own = [one for one in outcomes if one.way == way]
        change, gold, kept, seconds = (
            np.mean([getattr(one, key) for one in own])
            for key in ("change", "gold_change", "diversity", "seconds")
        )
        print(
            f"{way:7} mean: held-out {change:+.4f}, gold {gold:+.4f}, diversity {kept:.1%} kept, "
            f"{seconds:.1f} s"
        )
    return outcomes


def line(one: Outcome) -> str:
    """An outcome in words."""
    return (
        f"{one.way:7} seed {one.seed}: held-out {one.change:+.4f} ({one.low:+.4f} to "
        f"{one.high:+.4f}), gold {one.gold_change:+.4f} ({one.gold_low:+.4f} to "
        f"{one.gold_high:+.4f}), diversity {one.diversity:.1%} kept, {one.seconds:.1f} s for "
        f"{one.samples} samples"
    )


if __name__ == "__main__":
    main()
