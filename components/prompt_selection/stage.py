"""Scores candidate prompts by the realism of their samples and keeps the worst for training.

Section 4.3 of the paper: 1,000 prompts over 16 categories, ten samples of each, the 100 lowest.
Prompts to measure generalisation are drawn from those that no stage trains on.
"""

import csv
import io
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from components.core.diffusion.model import TextToImage, load_model
from components.core.diffusion.sampler import sample
from components.core.platform.artifacts import new_artifact, open_artifact
from components.core.platform.batches import Arrays, batches
from components.core.platform.device import choose_device
from components.core.platform.seeds import derive_seed
from components.core.platform.tracking import Tracker
from components.core.realism.reward import REWARD, RewardFunction, load_reward
from components.prompt_selection.config import Config
from components.prompt_selection.selection import (
    Candidate,
    draw_pool,
    lowest_per_category,
    rank,
)

KIND = "prompts"
RANKING = "ranking.csv"


def run(
    config: Config,
    *,
    model: Path,
    reward: Path,
    environments: str,
    output: Path,
    work: Path,
    tracker: Tracker,
) -> None:
    """Write the artifact "prompts"; see the module."""
    device = choose_device(config.device)
    generator = load_model(str(open_artifact(model, "diffusion-model")), device=device)
    scorer = load_reward(
        open_artifact(reward, "realism-scorer"), environments, config.rendering, device
    )
    write(config, generator, scorer, output=output, work=work, tracker=tracker)


def write(
    config: Config,
    model: TextToImage,
    reward: RewardFunction,
    *,
    output: Path,
    work: Path,
    tracker: Tracker,
) -> None:
    """The stage with its collaborators given."""
    rng = np.random.default_rng(derive_seed(config.seed, "prompt_selection"))
    pool = draw_pool(config.candidates, rng, heldout=False)
    heldout = draw_pool(config.heldout_prompts, rng, heldout=True)
    candidates = score_candidates(config, model, reward, pool, work)
    chosen = lowest_per_category(candidates, config.train_prompts)
    lines = [vars(candidate) | {"split": "train"} for candidate in chosen]
    lines += [{"prompt": p, "category": c, "split": "heldout"} for p, c in heldout]
    with new_artifact(output, KIND, "prompt_selection", config) as folder:
        text = "".join(json.dumps(line) + "\n" for line in lines)
        (folder / "prompts.jsonl").write_text(text, encoding="utf-8")
        (folder / RANKING).write_text(ranking_table(candidates, chosen), encoding="utf-8")
        tracker.log_artifact(folder / RANKING)
    tracker.log_metrics(
        {
            "candidates": len(candidates),
            "train_prompts": len(chosen),
            "heldout_prompts": len(heldout),
            "mean_score_of_candidates": float(np.mean([c.mean_score for c in candidates])),
            "mean_score_of_train_prompts": float(np.mean([c.mean_score for c in chosen])),
        }
    )


def ranking_table(candidates: Sequence[Candidate], chosen: Sequence[Candidate]) -> str:
    """All candidates as CSV, by category and from the lowest mean score up; ranks start at 1."""
    taken = {candidate.prompt for candidate in chosen}
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(["category", "rank", "mean_score", "chosen", "prompt"])
    for category, ranked in rank(candidates).items():
        for place, c in enumerate(ranked, 1):
            writer.writerow([category, place, f"{c.mean_score:.6f}", c.prompt in taken, c.prompt])
    return out.getvalue()


def score_candidates(
    config: Config,
    model: TextToImage,
    reward: RewardFunction,
    pool: Sequence[tuple[str, str]],
    work: Path,
) -> list[Candidate]:
    """Sample every prompt `samples_per_prompt` times and average the rewards."""
    prompts = [prompt for prompt, _ in pool for _ in range(config.samples_per_prompt)]
    seed = derive_seed(config.seed, "prompt_selection", "samples")
    seeds = np.random.default_rng(seed).integers(2**62, size=len(prompts))

    def compute(index: int) -> Arrays:
        part = slice(index * config.batch_size, (index + 1) * config.batch_size)
        latents = sample(
            model,
            prompts[part],
            [int(value) for value in seeds[part]],
            steps=config.steps,
            guidance=config.guidance,
        )
        grids = model.decode(latents).cpu().numpy()
        lights = derive_seed(config.seed, "prompt_selection", "lights", str(index))
        return {"scores": np.asarray(reward(grids, np.random.default_rng(lights))[REWARD])}

    count = -(-len(prompts) // config.batch_size)
    parts = [arrays["scores"] for _, arrays in batches(work, "scored prompts", count, compute)]
    means = np.concatenate(parts).reshape(len(pool), config.samples_per_prompt).mean(axis=1)
    return [
        Candidate(prompt, category, float(mean))
        for (prompt, category), mean in zip(pool, means, strict=True)
    ]
