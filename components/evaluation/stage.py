"""Measures what reinforcement learning changed, on prompts that it never trained on.

The same prompt and seed is sampled without and with the adapter, rendered under the same lights
and scored by the reward, by the gold scorer (trained on other data), by CLIP against the prompt
and by the diversity of the features: a policy that only pleases the reward shows in the others.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from components.core.diffusion.lora import load_lora
from components.core.diffusion.model import TextToImage, load_model
from components.core.diffusion.sampler import sample
from components.core.errors import UserError
from components.core.materials.grid import pack_uint8, to_uint8, unpack_uint8
from components.core.materials.material import Material
from components.core.materials.seam import material_seam
from components.core.platform.artifacts import new_artifact, open_artifact, read_manifest
from components.core.platform.batches import Arrays, batches
from components.core.platform.device import choose_device
from components.core.platform.figures import weights_hash
from components.core.platform.progress import track
from components.core.platform.tracking import Tracker
from components.core.realism.identity import CLIP_FILE, read_clip
from components.core.realism.reward import GOLD, REWARD
from components.core.realism.scorer import LinearScorer
from components.core.rendering.environments import Environment, load_environments
from components.core.rendering.scene import Renderer
from components.evaluation import media
from components.evaluation.comparison import Pair, Side, compare, make_pairs, measure
from components.evaluation.config import Config
from components.evaluation.licences import data_origin, surroundings
from components.evaluation.photographs import Photographs, score_photographs
from components.evaluation.plates import PlateRenderer, Studio, all_plates
from components.evaluation.statistics import auc, histogram
from components.evaluation.summaries import (
    ddpo_summary,
    read_lines,
    reward_summary,
    write_lines,
)

KIND = "evaluation"
WITHOUT_TV = "reward_without_tv"
REPORTED = ("before_after", "gold", "clip_score", "diversity")


def run(
    config: Config,
    *,
    model: Path,
    lora: Path,
    reward: Path,
    prompts: Path,
    photographs: Path,
    dataset: Sequence[Path],
    environments: str,
    output: Path,
    work: Path,
    tracker: Tracker,
) -> None:
    """Write the artifact "evaluation"; see the module."""
    reward, lora = open_artifact(reward, "realism-scorer"), open_artifact(lora, "lora")
    photographs = open_artifact(photographs, "photographs")
    lights = load_environments(environments)
    prompts = open_artifact(prompts, "prompts")
    dataset = [open_artifact(part, "material-grids") for part in dataset]
    pairs = make_pairs(
        unseen_prompts(prompts, dataset),
        count=config.prompts,
        seeds_per_prompt=config.seeds_per_prompt,
        lights=config.lights,
        environments=len(lights),
        seed=config.seed,
    )
    device = choose_device(config.device)
    model = open_artifact(model, "diffusion-model")
    weights = weights_hash(*(read_manifest(part).content_hash for part in (model, lora, reward)))
    generator = load_model(str(model), device=device)
    # The base is sampled first: an adapter, once loaded, changes the UNet it is loaded into.
    before = sample_materials(config, generator, pairs, work, "before")
    after = sample_materials(config, load_lora(generator, lora), pairs, work, "after")
    features = read_clip(reward / CLIP_FILE, device=device)
    scorers = {name: LinearScorer.load(reward / name) for name in (REWARD, GOLD)}
    renderer = Renderer(**config.rendering.model_dump())
    measured = [
        measure(
            pairs,
            materials,
            renderer=renderer,
            environments=lights,
            features=features,
            scorers=scorers,
            progress=lambda indices: track(indices, "rendered pairs"),
        )
        for materials in (before, after)
    ]
    photos = score_photographs(
        photographs, reward, features, scorers[REWARD],
        at_most=config.score_images, seed=config.seed,
    )  # fmt: skip
    tv_scorers = {"with": scorers[REWARD]}
    if (reward / WITHOUT_TV).is_dir():
        tv_scorers["without"] = LinearScorer.load(reward / WITHOUT_TV)
    with new_artifact(output, KIND, "evaluation", config) as folder:
        write(
            config,
            folder,
            pairs,
            *measured,
            photographs=photos,
            tv_scorers=tv_scorers,
            origin={
                **data_origin(dataset),
                **surroundings(photographs, environments, len(lights)),
            },
            renderer=Renderer(**config.shown_rendering.model_dump()),
            environments=lights,
            summaries={"reward": reward_summary(reward), "ddpo": ddpo_summary(lora)},
            weights=weights,
            tracker=tracker,
        )


def unseen_prompts(prompts: Path, dataset: Sequence[Path]) -> list[dict[str, Any]]:
    """The held-out prompts, less any that a training caption or a training prompt equals."""
    rows = read_lines(prompts / "prompts.jsonl")
    seen = {row["prompt"] for row in rows if row["split"] == "train"}
    grids = (row for part in dataset for row in read_lines(part / "index.jsonl"))
    seen |= {row.get("caption", "") for row in grids if row.get("split") == "train"}
    unseen = [row for row in rows if row["split"] == "heldout" and row["prompt"] not in seen]
    if len(unseen) < 2:
        raise UserError(
            f"{prompts / 'prompts.jsonl'} holds {len(unseen)} held-out prompts that no training "
            "used; the evaluation needs at least 2: raise prompt_selection's number of them"
        )
    return unseen


def sample_materials(
    config: Config, model: TextToImage, pairs: Sequence[Pair], work: Path, name: str
) -> list[Material]:
    """One material for each pair, 8-bit as it would be stored; finished batches are kept."""
    size = config.batch_size
    parts = [pairs[i : i + size] for i in range(0, len(pairs), size)]

    def compute(index: int) -> Arrays:
        part = parts[index]
        latents = sample(
            model,
            [pair.prompt for pair in part],
            [pair.seed for pair in part],
            steps=config.steps,
            guidance=config.guidance,
        )
        return {"grids": to_uint8(model.decode(latents).cpu().numpy())}

    grids = [arrays["grids"] for _, arrays in batches(work, f"sampled {name}", len(parts), compute)]
    return [
        unpack_uint8(grid, pair.prompt, pair.category)
        for grid, pair in zip(np.concatenate(grids), pairs, strict=True)
    ]


def write(
    config: Config,
    folder: Path,
    pairs: Sequence[Pair],
    before: Side,
    after: Side,
    *,
    photographs: Photographs,
    tv_scorers: Mapping[str, LinearScorer],
    origin: Mapping[str, Any],
    renderer: PlateRenderer,
    environments: Sequence[Environment],
    summaries: Mapping[str, Any],
    weights: str,
    tracker: Tracker,
) -> None:
    """Fill the artifact: evaluation.json, details.json, pairs.jsonl, the grids and the media."""
    result = compare(pairs, before, after, seed=config.seed, resamples=config.resamples)
    gains = after.scores[REWARD] - before.scores[REWARD]
    indices = media.spread(gains, config.shown)
    shown = media.save_shown(
        folder / "media",
        indices,
        pairs,
        before,
        after,
        renderer=renderer,
        environments=environments,
    )
    studio = Studio(folder / "media", renderer, environments, pairs)
    photo_scores = photographs.scores
    rows = [media.describe(pair, i, before, after) for i, pair in enumerate(pairs)]
    sides = {"before": before, "after": after}
    samples = {name: side.scores[REWARD] for name, side in sides.items()}
    reported = {key: result[key] for key in REPORTED if key in result}
    details = {
        **{key: value for key, value in result.items() if key not in REPORTED},
        "sampling": {
            "steps": config.steps,
            "guidance": config.guidance,
            "tiling": config.tiling,
        },
        "environments": len(environments),
        "seam": {name: median_seam(side.materials) for name, side in sides.items()},
        "separability": {name: auc(photo_scores, values) for name, values in samples.items()},
        "histogram": histogram({"photographs": photo_scores, **samples}),
        "photographs": {"scored": len(photo_scores), "note": photographs.note},
        "shown_rule": media.spread_rule(len(indices), len(pairs)),
        "shown": shown,
        "plates": all_plates(studio, before, after, photographs, tv_scorers, indices),
        "data": origin,
        "seed": config.seed,
        "weights": weights,
        "pairs": rows,
    }
    _write_json(folder / "evaluation.json", {**summaries, **reported})
    _write_json(folder / "details.json", details)
    write_lines(folder / "pairs.jsonl", rows)
    for name, side in sides.items():
        np.save(folder / f"{name}.npy", np.stack([pack_uint8(m) for m in side.materials]))
    tracker.log_metrics(flat(reported))
    tracker.log_image(media.contact_sheet(folder / "media", shown), "before_above_after.png")


def median_seam(materials: Sequence[Material]) -> float:
    """The usual step across a tile's border over its strong steps inside; tileable: 1 or less."""
    return float(np.median([material_seam(material) for material in materials]))


def flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, float]:
    """Nested numbers as `key.sub_key` metrics; an interval becomes `.low` and `.high`."""
    metrics: dict[str, float] = {}
    for key, value in values.items():
        if isinstance(value, Mapping):
            metrics |= flat(value, f"{prefix}{key}.")
        elif isinstance(value, list):
            metrics |= {f"{prefix}{key}.low": value[0], f"{prefix}{key}.high": value[1]}
        else:
            metrics[f"{prefix}{key}"] = float(value)
    return metrics


def _write_json(path: Path, values: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(values, indent=1, allow_nan=False, ensure_ascii=False) + "\n")
