"""A run's artifacts in miniature, with known numbers, for the tests of the report."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from components.evaluation.plates import plate
from components.evaluation.summaries import write_lines

DATA = {
    "licences": {"CC0-1.0": 7, "not stated": 2},
    "authors": {"<b>A. Painter</b>": 7, "not stated": 2},
}
PROMPT = 'brick, <script>alert("x")</script> old & red'


@pytest.fixture
def artifacts(tmp_path: Path) -> dict[str, Path]:
    """Artifact folders by stage; the first prompt tries to break out of the page."""
    return write_artifacts(tmp_path / "artifacts")


def write_artifacts(
    root: Path, *, pairs: int = 8, shown: int = 2, size: int = 8
) -> dict[str, Path]:
    """Write every artifact that the report reads."""
    stages = [
        "synthetic_data",
        "second_part",
        "photo_retrieval",
        "annotation_sync",
        "realism_labels",
        "reward_training",
        "prompt_selection",
        "ddpo_lora",
        "evaluation",
        "promotion_gate",
    ]
    folders = {stage: root / stage for stage in stages}
    for folder in folders.values():
        folder.mkdir(parents=True)
    counts = {"library": 320, "materials": 1, "materials_set_aside": 0, "renderings": 4, "grids": 7}
    _json(folders["synthetic_data"] / "counts.json", {**counts, "materials_set_aside": 3})
    _json(folders["second_part"] / "counts.json", counts)
    aside = [{"source": "sets/torn", "reason": "albedo.png is empty"}]
    write_lines(folders["synthetic_data"] / "rejected.jsonl", aside)
    _json(
        folders["photo_retrieval"] / "counts.json",
        {"searched": 5, "set_aside": 1, "kept": 4, "embedded": 0, "distractors_kept": 0},
    )
    rejected = [{"source": "p/broken.jpg", "reason": "the image is truncated"}]
    write_lines(folders["photo_retrieval"] / "rejected.jsonl", rejected)
    write_lines(
        folders["annotation_sync"] / "annotations.jsonl",
        [{"set": "generated", "item": i, "annotator": "simulated annotator"} for i in range(3)],
    )
    write_lines(
        folders["realism_labels"] / "labels.jsonl",
        [{"item": i, "label": i % 2, "annotated": i < 3} for i in range(10)],
    )
    _json(
        folders["reward_training"] / "metrics.json",
        {"real_mean": 0.81, "synthetic_mean": 0.32, "holdout_auc": 0.95, "other": 1}
        | {"tv": {"std_with": 0.03, "std_without": 0.074, "groups": 4}},
    )
    write_lines(
        folders["prompt_selection"] / "prompts.jsonl",
        [{"split": "train"}, {"split": "train"}, {"split": "heldout"}],
    )
    history = [
        {"epoch": e, "train_reward": 0.30 + 0.01 * e}
        | ({"heldout_reward": 0.31 + 0.008 * e, "heldout_gold_reward": 0.4} if e % 2 == 0 else {})
        for e in range(4)
    ]
    history.append({"epoch": 4, "heldout_reward": 0.35, "heldout_gold_reward": 0.41})
    write_lines(folders["ddpo_lora"] / "history.jsonl", history)
    _picture(folders["ddpo_lora"] / "strips.png", 4 * size, np.random.default_rng(1))
    _evaluation(folders["evaluation"], pairs, shown, size)
    _json(
        folders["promotion_gate"] / "gate.json",
        {
            "verdict": "champion",
            "rules": [
                {"name": "diversity", "value": "0.52 → 0.5", "limit": "at least 90% kept"}
                | {"passed": True, "reason": "96.2% kept", "after": "0.5", "champion": "0.41"},
            ],
            "champion": {
                "name": "realmat",
                "version": "2",
                "figures": [
                    {"figure": "CLIP score", "this": 25.0, "champion": 23.5, "change": 1.5},
                    {"figure": "realism, after", "this": 0.34, "champion": 0.9, "change": None},
                ],
            },
        },
    )
    return folders


def _evaluation(folder: Path, count: int, shown: int, size: int) -> None:
    rng = np.random.default_rng(0)
    gains = rng.normal(0.04, 0.03, size=count)
    pairs = [
        {"pair": i, "prompt": PROMPT if i == 0 else f"brick, wall {i}", "category": "brick"}
        | {"seed": i, "scores": [0.3, 0.3 + gain], "gold": [0.4, 0.4 + gain / 2]}
        for i, gain in enumerate(gains)
    ]
    result = {"pairs": count, "before_mean": 0.3, "after_mean": 0.34, "difference": 0.04}
    result |= {"ci95": [0.02, 0.06], "p_value": 0.0004}
    _json(
        folder / "evaluation.json",
        {"before_after": result, "gold": result | {"ci95": [-0.01, 0.05], "difference": 0.02}}
        | {"clip_score": {"before": 25.1, "after": 25.0}}
        | {"diversity": {"before": 0.52, "after": 0.5}},
    )
    (folder / "media").mkdir()
    names = ("rendering", "albedo", "height", "roughness", "metallic", "normal")
    entries: list[dict[str, Any]] = []
    for pair in pairs[:shown]:
        files = {
            side: {name: f"{pair['pair']}-{side}-{name}.png" for name in names}
            for side in ("before", "after")
        }
        for file in (file for side in files.values() for file in side.values()):
            _picture(folder / "media" / file, size, rng)
        entries.append({**pair, **files})
    _json(
        folder / "details.json",
        {"environments": 24, "pairs": pairs, "shown": entries, "shown_rule": "Evenly spaced."}
        | {"diversity_within": {"before": 0.2, "after": 0.19}}
        | {"separability": {"before": 0.97, "after": 0.91}}
        | {"histogram": histogram(rng), "photographs": {"scored": 500, "note": "Unseen."}}
        | {"plates": _plates(folder / "media", size, rng), "data": DATA},
    )


def _plates(media: Path, size: int, rng: np.random.Generator) -> list[dict[str, Any]]:
    """One row of three pictures for each figure; a caption tries to break out of the page."""
    plates = []
    for figure in ("Fig. 5", "Fig. 8", "Fig. 9", "Fig. 11"):
        images = [
            {"file": f"{figure}-{i}.png", "caption": f"{PROMPT} {i}" if i else "0.93"}
            for i in range(3)
        ]
        for one in images:
            _picture(media / one["file"], size, rng)
        plates.append(
            plate(figure, f"title of {figure}", "A note.", [{"name": "a row", "images": images}])
        )
    return plates


def _picture(file: Path, size: int, rng: np.random.Generator) -> None:
    pixels = rng.integers(255, size=(size, size, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(file)


def histogram(rng: np.random.Generator) -> dict[str, Any]:
    """Counts per bin of three sets."""
    edges = np.linspace(0, 1, 21)
    sets = {"photographs": (0.8, 500), "before": (0.3, 64), "after": (0.36, 64)}
    counts = {
        name: np.histogram(rng.normal(mean, 0.08, size=n).clip(0, 1), edges)[0].tolist()
        for name, (mean, n) in sets.items()
    }
    return {"edges": edges.tolist(), **counts}


def _json(path: Path, values: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(values))
