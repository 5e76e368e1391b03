"""Trains the realism reward: a linear layer on CLIP features, MSE and total variation.

Paper, equation 5. Three scorers are trained the same way: the reward on the split "reward", the
gold scorer on the split "gold" (other materials, to detect reward hacking), and the reward without
the TV term, for the ablation of section 6.3.
"""

import json
from collections.abc import Callable, Mapping
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
from components.core.realism.identity import write_clip
from components.core.realism.linear import Score, fit_linear
from components.core.realism.model import CARD
from components.core.realism.reward import TEST_PHOTOGRAPHS
from components.core.realism.scorer import LinearScorer
from components.reward_training.card import label_origin, model_card
from components.reward_training.config import Config
from components.reward_training.figures import histogram, similar_images
from components.reward_training.preferences import (
    Preferences,
    accuracy,
    bradley_terry,
    read_preferences,
)
from components.reward_training.quality import (
    TestData,
    ablation,
    agreement,
    rounded,
    section_6_1,
)
from components.reward_training.variation import nearest, nearest_within, total_variation
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
    preferences: str,
    output: Path,
    work: Path,
    tracker: Tracker,
) -> None:
    """Write the artifact "realism-scorer"; see the module.

    preferences: URI of a table of preferences (see `preferences`), "" for none.
    """
    open_artifact(generated, "generated-materials")
    pictures = np.load(
        open_artifact(photographs, "photographs") / "images.npy", mmap_mode="r", allow_pickle=False
    )
    labelled = open_artifact(labels, "realism-labels")
    data = read_labelled(labelled)
    clip = ClipFeatures.load(config.clip, device=choose_device(config.device))
    rows = read_rows(labelled)
    origin = json.loads((labelled / "origin.json").read_text(encoding="utf-8"))
    labels_origin = label_origin(rows, origin)
    pairs = read_preferences(preferences, clip, config.seed) if preferences else None
    write(config, data, pictures, clip, labels_origin, pairs, output=output, tracker=tracker)


def write(
    config: Config,
    data: Labelled,
    pictures: NDArray[np.uint8],
    clip: ClipFeatures,
    origin: Mapping[str, Any],
    pairs: Preferences | None = None,
    *,
    output: Path,
    tracker: Tracker,
) -> None:
    """Train the three scorers, measure them on the test split and write everything.

    origin: see `label_origin`.
    """
    scorers = {
        "reward": train(config, data, pairs, "reward", config.tv_weight, "reward", tracker),
        "gold": train(config, data, pairs, "gold", config.tv_weight, "gold", tracker),
        "reward_without_tv": train(
            config, data, pairs, "reward", 0.0, "reward_without_tv", tracker
        ),
    }
    test, real_items = test_data(config, data, pictures, clip)
    metrics: dict[str, Any] = rounded(section_6_1(scorers["reward"], test))
    metrics["gold"] = rounded(section_6_1(scorers["gold"], test))
    alike = agreement(scorers["reward"], scorers["gold"], test.synthetic)
    metrics |= rounded({"agreement": alike})
    metrics["tv"] = rounded(ablation(scorers["reward"], scorers["reward_without_tv"], test))
    if pairs is not None and len(pairs.of("test")):
        test_pairs, reward = pairs.of("test"), scorers["reward"]
        right = accuracy(reward(test_pairs.preferred), reward(test_pairs.other))
        metrics["preferences"] = {"pairs": len(pairs), "accuracy": round(right, 5)}
    with new_artifact(output, KIND, "reward_training", config) as folder:
        for name, scorer in scorers.items():
            scorer.save(folder / name)
        write_clip(folder, config.clip, clip)
        (folder / "metrics.json").write_text(json.dumps(metrics, indent=2) + "\n")
        unseen = data.item[(data.split == "test") & data.photograph].tolist()
        (folder / TEST_PHOTOGRAPHS).write_text(json.dumps(unseen) + "\n")
        about = {"training": config.model_dump(mode="json"), "labels": origin}
        (folder / "origin.json").write_text(json.dumps(about, indent=2) + "\n")
        (folder / CARD).write_text(model_card(config, origin, metrics), encoding="utf-8")
        tracker.log_artifact(folder / CARD)
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
            **{f"preference_{n}": value for n, value in metrics.get("preferences", {}).items()},
        }
    )


def train(
    config: Config,
    data: Labelled,
    pairs: Preferences | None,
    split: str,
    tv_weight: float,
    name: str,
    tracker: Tracker,
) -> LinearScorer:
    """Equation 5 on one split: lambda 1 times MSE to the labels plus lambda 2 times TV.

    Preferences of the same split, where there are any, add their negative log-likelihood.
    """
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
    sets = data.photograph[chosen]
    if not config.within_sets:
        sets = np.zeros_like(sets)
    neighbours = torch.from_numpy(nearest_within(features, sets, config.neighbours))
    prefer = preference_loss(config, pairs.of(split)) if pairs is not None else None

    def loss(score: Score, rows: torch.Tensor) -> torch.Tensor:
        total = config.mse_weight * (score(inputs[rows]) - targets[rows]).square().mean()
        if tv_weight != 0:
            total += tv_weight * total_variation(score, inputs[rows], inputs[neighbours[rows]])
        if prefer is not None:
            total += config.preference_weight * prefer(score)
        return total

    return fit_linear(
        features,
        loss,
        steps=config.steps,
        batch=config.batch_size,
        learning_rate=config.learning_rate,
        weight_decay=config.weight_decay,
        start=float(label.mean()),
        seed=derive_seed(config.seed, "reward_training", split),
        on_progress=lambda step, value: tracker.log_metrics({f"{name}_loss": value}, step),
    )


def preference_loss(config: Config, pairs: Preferences) -> Callable[[Score], torch.Tensor] | None:
    """The Bradley-Terry loss of a random batch of pairs; None without pairs."""
    if not len(pairs):
        return None
    preferred, other = torch.from_numpy(pairs.preferred), torch.from_numpy(pairs.other)
    rng = np.random.default_rng(derive_seed(config.seed, "reward_training", "preferences"))

    def loss(score: Score) -> torch.Tensor:
        rows = torch.from_numpy(rng.integers(len(pairs), size=config.batch_size))
        return bradley_terry(score, preferred[rows], other[rows], config.preference_scale)

    return loss


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
    rows = read_rows(folder)
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


def read_rows(folder: Path) -> list[dict[str, Any]]:
    """The lines of labels.jsonl."""
    text = (folder / "labels.jsonl").read_text(encoding="utf-8")
    return [json.loads(line) for line in text.splitlines() if line]
