"""Trains the realism reward: a linear layer on CLIP features, MSE and total variation.

Paper, equation 5. Three scorers are trained the same way: the reward on the split "reward", the
gold scorer on the split "gold" (other materials, to detect reward hacking), and the reward without
the TV term, for the ablation of section 6.3.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from components.core.errors import UserError
from components.core.platform.artifacts import new_artifact, open_artifact
from components.core.platform.device import choose_device
from components.core.platform.seeds import derive_seed
from components.core.platform.tracking import Tracker
from components.core.realism.clip import ClipFeatures
from components.core.realism.linear import Score, fit_linear
from components.core.realism.scorer import LinearScorer
from components.reward_training.config import Config
from components.reward_training.figures import histogram, similar_images
from components.reward_training.quality import TestData, ablation, rounded, section_6_1
from components.reward_training.variation import nearest, total_variation
from components.reward_training.views import views

KIND = "realism-scorer"
GROUP = 5
VIEWED, VIEWS = 48, 6


@dataclass(frozen=True)
class Labelled:
    """All labelled items of both sets, in the order of labels.jsonl."""

    features: NDArray[np.float32]
    label: NDArray[np.int64]
    photograph: NDArray[np.bool_]
    item: NDArray[np.int64]
    split: NDArray[np.str_]


def run(
    config: Config,
    *,
    photographs: Path,
    generated: Path,
    labels: Path,
    output: Path,
    work: Path,
    tracker: Tracker,
) -> None:
    """Write the artifact "realism-scorer"; see the module."""
    open_artifact(generated, "generated-materials")
    pictures = np.load(
        open_artifact(photographs, "photographs") / "images.npy", mmap_mode="r", allow_pickle=False
    )
    data = read_labelled(open_artifact(labels, "realism-labels"))
    clip = ClipFeatures.load(config.clip, device=choose_device(config.device))
    write(config, data, pictures, clip, output=output, tracker=tracker)


def write(
    config: Config,
    data: Labelled,
    pictures: NDArray[np.uint8],
    clip: ClipFeatures,
    *,
    output: Path,
    tracker: Tracker,
) -> None:
    """Train the three scorers, measure them on the test split and write everything."""
    scorers = {
        "reward": train(config, data, "reward", config.tv_weight, "reward", tracker),
        "gold": train(config, data, "gold", config.tv_weight, "gold", tracker),
        "reward_without_tv": train(config, data, "reward", 0.0, "reward_without_tv", tracker),
    }
    test, real_items = test_data(config, data, pictures, clip)
    metrics: dict[str, Any] = rounded(section_6_1(scorers["reward"], test))
    metrics["gold"] = rounded(section_6_1(scorers["gold"], test))
    metrics["tv"] = rounded(ablation(scorers["reward"], scorers["reward_without_tv"], test))
    with new_artifact(output, KIND, "reward_training", config) as folder:
        for name, scorer in scorers.items():
            scorer.save(folder / name)
        (folder / "clip.json").write_text(json.dumps({"uri": config.clip}) + "\n")
        (folder / "metrics.json").write_text(json.dumps(metrics, indent=2) + "\n")
    reward = scorers["reward"]
    tracker.log_figure(histogram(reward(test.real), reward(test.synthetic)), "scores.png")
    group = test.similar[0]
    figure = similar_images(
        pictures[real_items[group]], test.real[group], reward, scorers["reward_without_tv"]
    )
    tracker.log_figure(figure, "similar.png")
    tracker.log_dict(metrics, "metrics.json")
    tracker.log_metrics(
        {
            **{name: value for name, value in metrics.items() if not isinstance(value, dict)},
            **{f"tv_{name}": value for name, value in metrics["tv"].items()},
        }
    )


def train(
    config: Config, data: Labelled, split: str, tv_weight: float, name: str, tracker: Tracker
) -> LinearScorer:
    """Equation 5 on one split: lambda 1 times MSE to the labels plus lambda 2 times TV."""
    chosen = data.split == split
    label = data.label[chosen]
    if len(np.unique(label)) < 2:
        raise UserError(
            f"All {len(label)} images of the split '{split}' have the same realism label, so that "
            "there is nothing to learn: judge more images, or change the thresholds of "
            "realism_labels."
        )
    features = data.features[chosen]
    inputs, targets = torch.from_numpy(features), torch.from_numpy(label).float()
    neighbours = torch.from_numpy(nearest(features, config.neighbours))

    def loss(score: Score, rows: torch.Tensor) -> torch.Tensor:
        error = (score(inputs[rows]) - targets[rows]).square().mean()
        if tv_weight == 0:
            return config.mse_weight * error
        variation = total_variation(score, inputs[rows], inputs[neighbours[rows]])
        return config.mse_weight * error + tv_weight * variation

    return fit_linear(
        features,
        loss,
        steps=config.steps,
        batch=config.batch_size,
        learning_rate=config.learning_rate,
        start=float(label.mean()),
        seed=derive_seed(config.seed, "reward_training", split),
        on_progress=lambda step, value: tracker.log_metrics({f"{name}_loss": value}, step),
    )


def test_data(
    config: Config, data: Labelled, pictures: NDArray[np.uint8], clip: ClipFeatures
) -> tuple[TestData, NDArray[np.int64]]:
    """The test split by what it is compared for, and the numbers of its real photographs."""
    test = data.split == "test"
    real = test & data.photograph & (data.label == 1)
    synthetic = test & ~data.photograph
    if real.sum() < 2 or not synthetic.any():
        raise UserError(
            f"The test split holds {real.sum()} realistic photographs and {synthetic.sum()} "
            "generated renderings, too few to measure a reward: use more images or a larger "
            "realism_labels.test_share."
        )
    items = data.item[real]
    rng = np.random.default_rng(derive_seed(config.seed, "reward_training", "views"))
    viewed = np.asarray(pictures[items[:VIEWED]])
    seen = clip.images(views(viewed, VIEWS, rng))
    features = data.features[real]
    similar = nearest(features, GROUP - 1)
    return (
        TestData(
            real=features,
            synthetic=data.features[synthetic],
            positive=data.features[test & (data.label == 1)],
            negative=data.features[test & (data.label == 0)],
            similar=np.concatenate([np.arange(len(features))[:, None], similar], axis=1),
            views=seen.reshape(len(viewed), VIEWS, -1),
        ),
        items,
    )


def read_labelled(folder: Path) -> Labelled:
    """labels.jsonl with the features of each of its lines."""
    text = (folder / "labels.jsonl").read_text(encoding="utf-8")
    rows = [json.loads(line) for line in text.splitlines() if line]
    by_set = {
        name: np.load(folder / f"features-{name}.npy", allow_pickle=False)
        for name in ("photographs", "generated")
    }
    return Labelled(
        features=np.stack([by_set[row["set"]][row["item"]] for row in rows]),
        label=np.array([row["label"] for row in rows], dtype=np.int64),
        photograph=np.array([row["set"] == "photographs" for row in rows]),
        item=np.array([row["item"] for row in rows], dtype=np.int64),
        split=np.array([row["split"] for row in rows]),
    )
