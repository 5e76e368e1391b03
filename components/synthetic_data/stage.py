"""Makes the grids that stage 1 learns from: base materials, varied, with captions.

Section 4.1 of the paper: 8,615 base materials become about 126,000 variations. The base materials
come from the procedural library and, where a folder is given, from material sets in it. Grids
whose prompt is held out (`is_heldout`) form the split "test", which no training sees.
"""

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.lib.format import open_memmap
from numpy.typing import NDArray

from components.core.materials.grid import pack_uint8
from components.core.materials.library.catalogue import sample, variation
from components.core.materials.material import CATEGORIES, Material
from components.core.materials.prompts import is_heldout, prompt_of
from components.core.materials.sources import load_material_folder
from components.core.platform.artifacts import new_artifact
from components.core.platform.batches import Arrays, batches
from components.core.platform.seeds import derive_seed
from components.core.platform.tracking import Tracker
from components.synthetic_data.config import Config

KIND = "material-grids"
PER_BATCH = 16
"""Base materials a batch: one of each category."""
CONTACT_SHEET = (6, 8)


def run(config: Config, *, materials: str, output: Path, work: Path, tracker: Tracker) -> None:
    """Write the artifact "material-grids"; `materials` is a folder of material sets or ""."""
    size = config.map_size * config.oversampling
    given = load_material_folder(materials, size) if materials else []
    from_given = round(config.variations * config.material_share) if given else 0
    from_library = config.variations - from_given
    parts = -(-config.base_materials // PER_BATCH)
    # Given materials are few and varied often, so they form batches of their own behind the rest.
    given_parts = -(-from_given // (PER_BATCH * 4))

    def compute(index: int) -> Arrays:
        rng = np.random.default_rng(derive_seed(config.seed, "synthetic_data", str(index)))
        if index < parts:
            made = vary_library(config, rng, index, from_library)
            source = "library"
        else:
            count = share(from_given, given_parts, index - parts)
            made = [variation(given[int(rng.integers(len(given)))], rng) for _ in range(count)]
            source = "materials"
        return as_arrays(made, config.map_size, source)

    with new_artifact(output, KIND, "synthetic_data", config) as folder:
        side = 2 * config.map_size
        grids = open_memmap(
            folder / "grids.npy", "w+", np.uint8, (config.variations, side, side, 3)
        )
        entries: list[dict[str, str]] = []
        for _, arrays in batches(work, "grids", parts + given_parts, compute):
            words = json.loads(bytes(arrays["index"]).decode())
            grids[len(entries) : len(entries) + len(words)] = arrays["grids"]
            entries += words
        if len(entries) != config.variations:
            raise ValueError(f"made {len(entries)} grids instead of {config.variations}")
        grids.flush()
        lines = "".join(json.dumps(entry) + "\n" for entry in entries)
        (folder / "index.jsonl").write_text(lines, encoding="utf-8")
        sources = Counter(entry["source"] for entry in entries)
        counts = {
            "library": min(config.base_materials, sources["library"]),
            "materials": len(given),
            "grids": len(entries),
            "test": sum(entry["split"] == "test" for entry in entries),
        }
        (folder / "counts.json").write_text(json.dumps(counts), encoding="utf-8")
        tracker.log_image(contact_sheet(grids), "synthetic_data.png")
    tracker.log_metrics({name: float(value) for name, value in counts.items()})


def share(total: int, parts: int, index: int) -> int:
    """How many of `total` fall to part `index` of `parts`, as evenly as whole numbers allow."""
    return total * (index + 1) // parts - total * index // parts


def vary_library(
    config: Config, rng: np.random.Generator, index: int, total: int
) -> list[Material]:
    """The variations of the base materials of one batch; the first of each is the base itself."""
    size = config.map_size * config.oversampling
    made = []
    start = index * PER_BATCH
    for base_index in range(start, min(start + PER_BATCH, config.base_materials)):
        count = share(total, config.base_materials, base_index)
        if count == 0:
            continue
        category = CATEGORIES[base_index % len(CATEGORIES)]
        base = sample(category, rng, size, config.pieces)
        made += [base, *(variation(base, rng) for _ in range(count - 1))]
    return made


def as_arrays(made: Sequence[Material], map_size: int, source: str) -> Arrays:
    """Grids (N, 2R, 2R, 3) uint8 and their index lines as UTF-8 bytes."""
    grids = np.zeros((len(made), 2 * map_size, 2 * map_size, 3), np.uint8)
    entries = []
    for row, material in enumerate(made):
        grids[row] = pack_uint8(material.resized(map_size))
        prompt = prompt_of(material.category, material.caption)
        # Materials that a user brings are there to be learnt from.
        split = "test" if source == "library" and is_heldout(prompt) else "train"
        entries.append(
            {
                "caption": material.caption,
                "category": material.category,
                "source": source,
                "split": split,
            }
        )
    words = json.dumps(entries).encode()
    return {"grids": grids, "index": np.frombuffer(words, np.uint8)}


def contact_sheet(grids: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Grids spread over the whole set, as one image."""
    rows, columns = CONTACT_SHEET
    chosen = grids[np.linspace(0, len(grids) - 1, rows * columns).astype(int)]
    lines = [
        np.concatenate(list(chosen[r * columns : (r + 1) * columns]), axis=1) for r in range(rows)
    ]
    return np.concatenate(lines, axis=0)
