"""Samples materials from text and renders each one under several random environments.

Section 4.1 of the paper: 2,000 materials with varying degrees of realism under 10 environments
each, to learn from what the first stage of fine-tuning still gets wrong.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from numpy.lib.format import open_memmap

from components.core.diffusion.model import TextToImage, load_model
from components.core.diffusion.sampler import sample
from components.core.materials.grid import to_uint8, unpack_uint8
from components.core.materials.material import CATEGORIES
from components.core.materials.prompt_pool import draw_prompts
from components.core.platform.artifacts import new_artifact, open_artifact
from components.core.platform.batches import Arrays, batches
from components.core.platform.device import choose_device
from components.core.platform.seeds import derive_seed
from components.core.platform.tracking import Tracker
from components.core.rendering.batch import Light, SrgbRenderer, draw_lights, render_batch
from components.core.rendering.environments import Environment, load_environments
from components.core.rendering.scene import Renderer
from components.material_sampling.config import Config

KIND = "generated-materials"
CONTACT_SHEET = 8


@dataclass(frozen=True)
class Order:
    """One material to make: its prompt, the seed of its noise and the lights to see it under."""

    prompt: str
    category: str
    seed: int
    lights: tuple[Light, ...]


def run(
    config: Config, *, model: Path, environments: str, output: Path, work: Path, tracker: Tracker
) -> None:
    """Write the artifact "generated-materials"; see the module."""
    generator = load_model(
        str(open_artifact(model, "diffusion-model")), device=choose_device(config.device)
    )
    light = load_environments(environments)
    renderer = Renderer(**config.rendering.model_dump())
    write(config, generator, renderer, light, output=output, work=work, tracker=tracker)


def write(
    config: Config,
    model: TextToImage,
    renderer: SrgbRenderer,
    environments: Sequence[Environment],
    *,
    output: Path,
    work: Path,
    tracker: Tracker,
) -> None:
    """The stage with its collaborators given."""
    orders = draw_orders(config, len(environments))
    parts = [orders[i : i + config.batch_size] for i in range(0, len(orders), config.batch_size)]

    def compute(index: int) -> Arrays:
        return make_batch(config, model, renderer, environments, parts[index])

    with new_artifact(output, KIND, "material_sampling", config) as folder:
        grids = _array_writer(folder / "grids.npy", len(orders))
        renderings = _array_writer(
            folder / "renderings.npy", len(orders) * config.environments_per_material
        )
        for _, arrays in batches(work, "sampled materials", len(parts), compute):
            grids(arrays["grids"])
            renderings(arrays["renderings"])
        _write_index(folder / "index.jsonl", orders, environments)
        tracker.log_image(_contact_sheet(folder / "renderings.npy"), "generated_materials.png")
    tracker.log_metrics(
        {
            "materials": len(orders),
            "renderings": len(orders) * config.environments_per_material,
        }
    )


def draw_orders(config: Config, environments: int) -> list[Order]:
    """Which materials to make: prompts spread evenly over the categories, none of them held out."""
    rng = np.random.default_rng(derive_seed(config.seed, "material_sampling"))
    per_category = -(-config.materials // len(CATEGORIES))
    drawn = {
        category: draw_prompts(category, per_category, rng, heldout=False)
        for category in CATEGORIES
    }
    # A category with too few descriptions begins again, with other seeds.
    pairs = [
        (drawn[category][i % len(drawn[category])], category)
        for i in range(per_category)
        for category in CATEGORIES
    ]
    return [
        Order(
            prompt,
            category,
            int(rng.integers(2**62)),
            tuple(draw_lights(config.environments_per_material, environments, rng)),
        )
        for prompt, category in pairs[: config.materials]
    ]


def make_batch(
    config: Config,
    model: TextToImage,
    renderer: SrgbRenderer,
    environments: Sequence[Environment],
    orders: Sequence[Order],
) -> Arrays:
    """Grids (B, 2H, 2W, 3) and renderings (B * lights, h, w, 3), both uint8, of one batch."""
    latents = sample(
        model,
        [order.prompt for order in orders],
        [order.seed for order in orders],
        steps=config.steps,
        guidance=config.guidance,
    )
    grids = to_uint8(model.decode(latents).cpu().numpy())
    materials = [
        unpack_uint8(grid) for grid, order in zip(grids, orders, strict=True) for _ in order.lights
    ]
    lights = [light for order in orders for light in order.lights]
    return {
        "grids": grids,
        "renderings": render_batch(renderer, materials, environments, lights),
    }


def _array_writer(path: Path, count: int) -> Callable[[npt.NDArray[np.uint8]], None]:
    """A function that appends blocks to a .npy file of `count` items, never all in memory."""
    target: npt.NDArray[np.uint8] | None = None
    filled = 0

    def append(block: npt.NDArray[np.uint8]) -> None:
        nonlocal target, filled
        if target is None:
            target = open_memmap(path, "w+", np.uint8, (count, *block.shape[1:]))
        target[filled : filled + len(block)] = block
        filled += len(block)

    return append


def _write_index(path: Path, orders: Sequence[Order], environments: Sequence[Environment]) -> None:
    """One line a rendering, in the order of renderings.npy."""
    lines = [
        json.dumps(
            {
                "material": index,
                "prompt": order.prompt,
                "category": order.category,
                "seed": order.seed,
                "environment": environments[light.environment].name,
            }
        )
        for index, order in enumerate(orders)
        for light in order.lights
    ]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def _contact_sheet(path: Path) -> npt.NDArray[np.uint8]:
    """Up to 8 x 8 renderings spread over the whole set, as one image."""
    renderings = np.load(path, mmap_mode="r")
    side = min(CONTACT_SHEET, int(np.sqrt(len(renderings))))
    chosen = renderings[np.linspace(0, len(renderings) - 1, side * side).astype(int)]
    rows = [np.concatenate(list(chosen[i * side : (i + 1) * side]), axis=1) for i in range(side)]
    return np.concatenate(rows, axis=0)
