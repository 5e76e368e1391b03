"""Spreads the hand labels to all images: one linear classifier per set on CLIP features.

Section 4.1 of the paper: a linear classifier for the photographs and one for the generated
materials estimate the probability of realism of the images nobody judged; thresholds of 0.2 and
0.4 make binary labels of it. Hand labels are kept as they are. labels.parquet is labels.jsonl as a
table, for those who analyse it.
"""

import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

from components.core.errors import UserError
from components.core.platform.artifacts import new_artifact, open_artifact
from components.core.platform.device import choose_device
from components.core.platform.seeds import derive_seed
from components.core.platform.tracking import Tracker
from components.core.realism.clip import ClipFeatures
from components.core.realism.linear import Score, fit_linear
from components.core.realism.scorer import LinearScorer
from components.realism_labels import validation
from components.realism_labels.config import Config
from components.realism_labels.splits import Split, group_of, split_of
from components.realism_labels.votes import hand_labels

KIND = "realism-labels"
Rows = list[dict[str, Any]]


@dataclass(frozen=True)
class ImageSet:
    """One set: CLIP features (N, D), index rows, hand labels (N,) of 0, 1 or -1 for none."""

    name: str
    features: NDArray[np.float32]
    rows: Rows
    hand: NDArray[np.int64]
    groups: list[str]
    splits: list[Split]
    threshold: float


def run(
    config: Config,
    *,
    photographs: Path,
    generated: Path,
    annotations: Path,
    output: Path,
    work: Path,
    tracker: Tracker,
) -> None:
    """Write the artifact "realism-labels"; see the module."""
    judged = open_artifact(annotations, "annotations")
    rows_judged = read_lines(judged / "annotations.jsonl")
    votes = hand_labels(rows_judged)
    photographs = open_artifact(photographs, "photographs")
    generated = open_artifact(generated, "generated-materials")
    clip = ClipFeatures.load(config.clip, device=choose_device(config.device))
    images = {
        "photographs": np.load(photographs / "images.npy", mmap_mode="r", allow_pickle=False),
        "generated": np.load(generated / "renderings.npy", mmap_mode="r", allow_pickle=False),
    }
    rows = {
        "photographs": read_lines(photographs / "index.jsonl"),
        "generated": read_lines(generated / "index.jsonl"),
    }
    sets = [
        image_set(config, name, clip.images(images[name]), rows[name], votes) for name in images
    ]
    agreed = json.loads((judged / "agreement.json").read_text(encoding="utf-8"))
    origin = {
        "annotators": dict(Counter(str(row["annotator"]) for row in rows_judged)),
        "alpha": agreed["alpha"],
        "shared": agreed["shared"],
    }
    write(config, sets, origin, output=output, tracker=tracker)


def image_set(
    config: Config,
    name: str,
    features: NDArray[np.float32],
    rows: Rows,
    votes: Mapping[tuple[str, int], int],
) -> ImageSet:
    """Everything known about one set, before its classifier is trained."""
    threshold = config.photograph_threshold if name == "photographs" else config.generated_threshold
    groups = [group_of(name, row) for row in rows]
    splits = [
        split_of(group, config.seed, config.gold_share, config.test_share) for group in groups
    ]
    hand = np.array([votes.get((name, i), -1) for i in range(len(rows))], dtype=np.int64)
    return ImageSet(name, features, rows, hand, groups, splits, threshold)


def write(
    config: Config,
    sets: Sequence[ImageSet],
    origin: Mapping[str, Any],
    *,
    output: Path,
    tracker: Tracker,
) -> None:
    """Train a classifier for each set and write features, classifiers, labels and their origin."""
    with new_artifact(output, KIND, "realism_labels", config) as folder:
        table: Rows = []
        for part in sets:
            validate(config, part, tracker)
            classifier = train_classifier(config, part, tracker)
            classifier.save(folder / f"classifier-{part.name}")
            np.save(folder / f"features-{part.name}.npy", part.features)
            rows = label_rows(part, classifier.probability(part.features))
            table += rows
            tracker.log_metrics(summary(part, rows, classifier))
        lines = "".join(json.dumps(row) + "\n" for row in table)
        (folder / "labels.jsonl").write_text(lines, encoding="utf-8")
        thresholds = {part.name: part.threshold for part in sets}
        (folder / "origin.json").write_text(json.dumps({**origin, "thresholds": thresholds}))
        pq.write_table(pa.Table.from_pylist(table), folder / "labels.parquet")


def trainable(part: ImageSet) -> NDArray[np.int64]:
    """Rows of the hand-labelled items outside the test split."""
    return np.flatnonzero((part.hand >= 0) & (np.array(part.splits) != "test"))


def validate(config: Config, part: ImageSet, tracker: Tracker) -> None:
    """Log what cross-validation says of the set's classifier."""
    judged = trainable(part)
    labels = part.hand[judged]

    def fit(train: NDArray[np.int64]) -> Callable[[NDArray[np.int64]], NDArray[np.float32]]:
        classifier = fit_classifier(config, part, judged[train], f"{part.name} fold {train[0]}")
        return lambda test: classifier.probability(part.features[judged[test]])

    probability = validation.out_of_fold(
        [part.groups[i] for i in judged], labels, fit, config.folds
    )
    numbers = validation.summary(labels, probability)
    if not numbers:
        return
    found = validation.suspects(labels, probability)
    numbers["suspects"] = float(len(found))
    tracker.log_metrics({f"{part.name}_{name}": value for name, value in numbers.items()})
    tracker.log_dict(
        {
            "items": [int(judged[i]) for i in found],
            "labels": [int(labels[i]) for i in found],
            "probabilities": [round(float(probability[i]), 4) for i in found],
        },
        f"suspects-{part.name}.json",
    )
    drawn = validation.figure(part.name, labels, probability, part.threshold)
    tracker.log_figure(drawn, f"classifier-{part.name}.png")


def train_classifier(config: Config, part: ImageSet, tracker: Tracker) -> LinearScorer:
    """The classifier of a set, of all hand-labelled items outside the test split."""
    judged = trainable(part)
    if not len(judged):
        raise UserError(
            f"No image of the set '{part.name}' has a label that can be trained on: judge more "
            "images, then start again."
        )

    def progress(step: int, value: float) -> None:
        tracker.log_metrics({f"{part.name}_loss": value}, step)

    return fit_classifier(config, part, judged, part.name, progress)


def fit_classifier(
    config: Config,
    part: ImageSet,
    judged: NDArray[np.int64],
    name: str,
    on_progress: Callable[[int, float], None] = lambda step, value: None,
) -> LinearScorer:
    """Binary cross entropy on the given rows; the seed follows from `name`."""
    features = part.features[judged]
    inputs = torch.from_numpy(features)
    targets = torch.from_numpy(part.hand[judged]).float()

    def loss(score: Score, rows: torch.Tensor) -> torch.Tensor:
        return F.binary_cross_entropy_with_logits(score(inputs[rows]), targets[rows])

    return fit_linear(
        features,
        loss,
        steps=config.steps,
        batch=config.batch_size,
        learning_rate=config.learning_rate,
        weight_decay=config.weight_decay,
        seed=derive_seed(config.seed, "realism_labels", name),
        on_progress=on_progress,
    )


def label_rows(part: ImageSet, probability: NDArray[np.float32]) -> Rows:
    """The lines of labels.jsonl of one set: hand labels as given, thresholded ones elsewhere."""
    estimated = (probability > part.threshold).astype(int)
    return [
        {
            "set": part.name,
            "item": item,
            "probability": round(float(probability[item]), 6),
            "label": int(part.hand[item] if part.hand[item] >= 0 else estimated[item]),
            "annotated": bool(part.hand[item] >= 0),
            "split": part.splits[item],
        }
        for item in range(len(part.rows))
    ]


def summary(part: ImageSet, rows: Rows, classifier: LinearScorer) -> dict[str, float]:
    """How many are realistic, and how often the classifier agrees with unseen hand labels."""
    judged = (part.hand >= 0) & (np.array(part.splits) == "test")
    metrics = {
        f"{part.name}_realistic_share": float(np.mean([row["label"] for row in rows])),
        f"{part.name}_annotated": float((part.hand >= 0).sum()),
    }
    if judged.any():
        predicted = classifier(part.features[judged]) > 0
        metrics[f"{part.name}_test_accuracy"] = float((predicted == part.hand[judged]).mean())
    return metrics


def read_lines(path: Path) -> Rows:
    """The objects of a JSON-lines file."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line]
