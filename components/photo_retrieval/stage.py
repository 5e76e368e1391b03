"""Searches a photo database for photographs of materials, by CLIP, category prompts and examples.

Section 4.1 of the paper filters 800,000 material photographs from an image database, which
`photo_embedding` has embedded.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from components.core.errors import UserError
from components.core.materials.material import CATEGORIES
from components.core.platform.artifacts import new_artifact
from components.core.platform.device import choose_device
from components.core.platform.progress import track
from components.core.platform.tracking import Tracker
from components.core.realism.clip import ClipFeatures
from components.photo_retrieval.config import Config
from components.photo_retrieval.database import Database
from components.photo_retrieval.examples import Examples, read_examples
from components.photo_retrieval.queries import Queries
from components.photo_retrieval.search import search

KIND = "photographs"


def run(
    config: Config,
    *,
    features: Sequence[Path],
    examples: str,
    output: Path,
    work: Path,
    tracker: Tracker,
) -> None:
    """Write the artifact "photographs" from the parts of the database.

    examples: folder of example images, one sub-folder a category; "" is none.
    """
    searched = Database.open(features, config.clip)
    searched.check(config.rejected_share)
    clip = ClipFeatures.load(config.clip, device=choose_device(config.device))
    given = read_examples(examples, clip, int(searched.about["size"])) if examples else None
    write(config, searched, clip, given, output, tracker)


def write(
    config: Config,
    searched: Database,
    clip: ClipFeatures,
    examples: Examples | None,
    output: Path,
    tracker: Tracker,
) -> None:
    """Search a database that is there, and write the artifact."""
    texts = clip.categories(CATEGORIES)
    none = np.zeros((0, texts.shape[1]), np.float32)
    given = examples or Examples.none(texts.shape[1])
    hits = search(
        searched.features,
        Queries.of(searched.features, texts, given),
        clip.texts(config.other_prompts) if config.other_prompts else none,
        depth=config.depth,
        per_category=config.per_category,
        duplicate_similarity=config.duplicate_similarity,
        other_margin=config.other_margin,
        memory_gb=config.memory_gb,
        kind=config.index,
    )
    if not hits:
        raise UserError(
            f"None of {len(searched)} images is nearer to a material category than to "
            "photo_retrieval.other_prompts: give photographs of materials, or empty other_prompts."
        )
    items = [hit.item for hit in hits]
    sources = searched.sources(items)
    counts = count(searched, sources)
    if given.names:
        by_example = sum(bool(hit.example) for hit in hits)
        counts |= {"examples": len(given.names), "found_by_examples": by_example}
    by_category = np.bincount([hit.category for hit in hits], minlength=len(CATEGORIES)).tolist()
    details = {**counts, "categories": dict(zip(CATEGORIES, by_category, strict=True))}
    with new_artifact(output, KIND, "photo_retrieval", config) as folder:
        images = write_images(searched, items, folder / "images.npy")
        rows = (
            {
                "source": source,
                "category": CATEGORIES[hit.category],
                "score": round(hit.score, 6),
                **({"example": hit.example} if hit.example else {}),
            }
            for source, hit in zip(sources, hits, strict=True)
        )
        _write_lines(folder / "index.jsonl", rows)
        _write_lines(folder / "rejected.jsonl", searched.rejected)
        (folder / "counts.json").write_text(json.dumps(details, indent=2) + "\n")
        tracker.log_image(contact_sheet(images), "photographs.png")
    tracker.log_dict(details, "counts.json")
    tracker.log_metrics(counts)


def write_images(searched: Database, items: Sequence[int], file: Path) -> NDArray[np.uint8]:
    """Write the kept images (N, size, size, 3), a few in memory at a time; returns the file's."""
    size = int(searched.about["size"])
    images = np.lib.format.open_memmap(file, "w+", np.uint8, (len(items), size, size, 3))
    for row, image in track(searched.images(items), "keeping photographs", len(items)):
        images[row] = image
    images.flush()
    return images


def count(searched: Database, kept: Sequence[str]) -> dict[str, int]:
    """How many images were searched, set aside and kept."""
    return {
        "searched": len(searched),
        "set_aside": len(searched.rejected),
        "kept": len(kept),
        "embedded": sum(source.startswith("embedded:") for source in kept),
        "distractors_kept": sum(source.startswith("embedded:distractor") for source in kept),
    }


def contact_sheet(images_nhwc: NDArray[np.uint8], side: int = 8) -> NDArray[np.uint8]:
    """Up to side × side images spread over the set, as one image."""
    side = min(side, int(len(images_nhwc) ** 0.5))
    chosen = images_nhwc[np.linspace(0, len(images_nhwc) - 1, side * side).astype(int)]
    _, rows, columns, _ = chosen.shape
    grid = chosen.reshape(side, side, rows, columns, 3).swapaxes(1, 2)
    return np.ascontiguousarray(grid.reshape(side * rows, side * columns, 3))


def _write_lines(path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    path.write_text(text, encoding="utf-8")
