"""Fine-tunes the generator for realism by DDPO and writes the adapter with its training history.

The paper's second stage (sections 4.3 and 5).
"""

import json
from collections.abc import Sequence
from pathlib import Path

from components.core.diffusion.lora import add_lora, save_lora
from components.core.diffusion.model import TextToImage, load_model
from components.core.errors import UserError
from components.core.platform.artifacts import new_artifact, open_artifact
from components.core.platform.device import choose_device
from components.core.platform.seeds import derive_seed
from components.core.platform.tracking import Tracker
from components.core.realism.reward import RewardFunction, load_reward
from components.ddpo_lora.config import Config
from components.ddpo_lora.history import Row, figure
from components.ddpo_lora.trainer import Trainer

KIND = "lora"


def run(
    config: Config,
    *,
    model: Path,
    reward: Path,
    prompts: Path,
    environments: str,
    output: Path,
    work: Path,
    tracker: Tracker,
) -> None:
    """Write the artifact "lora"; see the module."""
    device = choose_device(config.device)
    generator = load_model(str(open_artifact(model, "diffusion-model")), device=device)
    scorer = load_reward(
        open_artifact(reward, "realism-scorer"), environments, config.rendering, device
    )
    train_prompts, heldout_prompts = read_prompts(open_artifact(prompts, "prompts"))
    write(
        config,
        generator,
        scorer,
        train_prompts,
        heldout_prompts,
        output=output,
        work=work,
        tracker=tracker,
    )


def write(
    config: Config,
    model: TextToImage,
    reward: RewardFunction,
    train_prompts: Sequence[str],
    heldout_prompts: Sequence[str],
    *,
    output: Path,
    work: Path,
    tracker: Tracker,
) -> list[Row]:
    """The stage with its collaborators given; returns the history."""
    add_lora(model.unet, config.rank, seed=derive_seed(config.seed, "ddpo_lora", "adapter"))
    trainer = Trainer(
        model, reward, train_prompts, heldout_prompts, config=config, work=work, tracker=tracker
    )
    history = trainer.run()
    with new_artifact(output, KIND, "ddpo_lora", config) as folder:
        save_lora(model.unet, folder)
        # Without durations, so that the same work has the same content.
        rows = ({key: row[key] for key in row if key != "seconds"} for row in history)
        text = "".join(json.dumps(row) + "\n" for row in rows)
        (folder / "history.jsonl").write_text(text, encoding="utf-8")
    tracker.log_figure(figure(history), "reward.png")
    return history


def read_prompts(folder: Path) -> tuple[list[str], list[str]]:
    """Training and held-out prompts of a "prompts" artifact."""
    text = (folder / "prompts.jsonl").read_text(encoding="utf-8")
    rows = [json.loads(line) for line in text.splitlines()]
    train = [row["prompt"] for row in rows if row["split"] == "train"]
    heldout = [row["prompt"] for row in rows if row["split"] == "heldout"]
    if not train:
        raise UserError(f"{folder / 'prompts.jsonl'} holds no prompt with split 'train'")
    return train, heldout
