"""Searches a photo database for photographs of materials, by CLIP and category prompts.

Section 4.1 of the paper filters 800,000 material photographs from an image database. Without a
database the stage searches the embedded stand-in, which is rendered (see `embedded`).
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
from components.core.platform.storage import local_path
from components.core.platform.tracking import Tracker
from components.core.realism.clip import ClipFeatures
from components.core.rendering.environments import load_environments
from components.photo_retrieval.config import Config
from components.photo_retrieval.database import Database, read_database
from components.photo_retrieval.embedded import embedded_database
from components.photo_retrieval.search import Hit, search

KIND = "photographs"


def run(
    config: Config, *, photos: str, environments: str, output: Path, work: Path, tracker: Tracker
) -> None:
    """Write the artifact "photographs" from the folder `photos` ("": the embedded stand-in)."""
    if photos:
        database = read_database(
            local_path(photos), config.rendering.size, config.rejected_share, config.batch_size
        )
    else:
        light = load_environments(str(local_path(environments)) if environments else "")
        database = embedded_database(config, light, work)
    clip = ClipFeatures.load(config.clip, device=choose_device(config.device))
    write(config, database, clip, output=output, tracker=tracker)


def write(
    config: Config, database: Database, clip: ClipFeatures, *, output: Path, tracker: Tracker
) -> None:
    """Search a database that is there, and write the artifact."""
    features = clip.images(database.images)
    others = clip.texts(config.other_prompts) if config.other_prompts else features[:0]
    hits = search(
        features,
        clip.categories(CATEGORIES),
        others,
        depth=config.depth,
        per_category=config.per_category,
        duplicate_similarity=config.duplicate_similarity,
    )
    if not hits:
        raise UserError(
            f"None of {len(database)} images is nearer to a material category than to "
            "photo_retrieval.other_prompts: give photographs of materials, or empty other_prompts."
        )
    items = np.array([hit.item for hit in hits])
    counts = count(database, hits)
    by_category = np.bincount([hit.category for hit in hits], minlength=len(CATEGORIES)).tolist()
    details = {**counts, "categories": dict(zip(CATEGORIES, by_category, strict=True))}
    with new_artifact(output, KIND, "photo_retrieval", config) as folder:
        np.save(folder / "images.npy", database.images[items])
        np.save(folder / "features.npy", features[items])
        rows = (
            {
                "source": database.sources[hit.item],
                "category": CATEGORIES[hit.category],
                "score": round(hit.score, 6),
            }
            for hit in hits
        )
        _write_lines(folder / "index.jsonl", rows)
        rejected = ({"source": source, "reason": why} for source, why in database.rejected)
        _write_lines(folder / "rejected.jsonl", rejected)
        (folder / "counts.json").write_text(json.dumps(details, indent=2) + "\n")
        tracker.log_image(contact_sheet(database.images[items]), "photographs.png")
    tracker.log_dict(details, "counts.json")
    tracker.log_metrics(counts)


def count(database: Database, hits: Sequence[Hit]) -> dict[str, int]:
    """How many images were searched, set aside and kept."""
    return {
        "searched": len(database),
        "set_aside": len(database.rejected),
        "kept": len(hits),
        "embedded": sum(database.sources[hit.item].startswith("embedded:") for hit in hits),
        "distractors_kept": sum(
            database.sources[hit.item].startswith("embedded:distractor") for hit in hits
        ),
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
