"""Fine-tunes the generator for realism by DDPO and writes the adapter with its training history.

The paper's second stage (sections 4.3 and 5).
"""

import json
import shutil
from collections.abc import Sequence
from pathlib import Path

from PIL import Image

from components.core.diffusion.model import TextToImage
from components.core.platform.artifacts import new_artifact, open_artifact
from components.core.platform.preemption import Preempted
from components.core.platform.tracking import Tracker
from components.core.realism.reward import RewardFunction
from components.ddpo_lora.config import Config
from components.ddpo_lora.history import Row, figure
from components.ddpo_lora.launch import train_in_processes
from components.ddpo_lora.prompts import Prompts
from components.ddpo_lora.strips import sheet
from components.ddpo_lora.training import RESULT, Inputs, train, train_adapter

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
    given = Inputs(
        model=str(open_artifact(model, "diffusion-model")),
        reward=str(open_artifact(reward, "realism-scorer")),
        prompts=str(open_artifact(prompts, "prompts")),
        environments=environments,
    )
    if config.world_size == 1:
        history = _train_here(config, given, work, tracker)
    else:
        history = train_in_processes(config, given, work, tracker)
    finish(config, history, output=output, work=work, tracker=tracker)


def _train_here(config: Config, given: Inputs, work: Path, tracker: Tracker) -> list[Row]:
    try:
        return train(config, given, work, tracker)
    except Preempted as end:
        print(f"ddpo_lora: {end}", flush=True)
        raise


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
    prompts = Prompts(list(train_prompts), list(heldout_prompts), {})
    history = train_adapter(config, model, reward, prompts, work, tracker)
    finish(config, history, output=output, work=work, tracker=tracker)
    return history


def finish(
    config: Config, history: Sequence[Row], *, output: Path, work: Path, tracker: Tracker
) -> None:
    """Write the artifact from what training has left in `work`."""
    strips = sheet(work)
    with new_artifact(output, KIND, "ddpo_lora", config) as folder:
        for file in (work / RESULT).iterdir():
            shutil.copy(file, folder)
        # Without durations, so that the same work has the same content.
        rows = ({key: row[key] for key in row if key != "seconds"} for row in history)
        text = "".join(json.dumps(row) + "\n" for row in rows)
        (folder / "history.jsonl").write_text(text, encoding="utf-8")
        if strips is not None:
            Image.fromarray(strips).save(folder / "strips.png", optimize=True)
    tracker.log_figure(figure(history), "reward.png")
    if strips is not None:
        tracker.log_image(strips, "strips.png")
