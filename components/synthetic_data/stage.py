"""Makes the grids that stage 1 learns from: base materials, varied, with captions.

Section 4.1 of the paper: 8,615 base materials become about 126,000 variations and 800,000
renderings of them. The base materials come from the procedural library and, where a folder is
given, from material sets in it. Grids whose prompt is held out (`is_heldout`) form the split
"test", which no training sees. Processes make shard after shard; a restarted stage makes those
that are missing. A process that dies costs its shard one retry.
"""

import json
import os
from collections import Counter
from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from components.core.catalogues.address import environments_folder, materials_folder
from components.core.materials.files import link, write_whole
from components.core.materials.photos import Rejected
from components.core.materials.shards import INDEX, SHARDS, GridShards
from components.core.materials.sources import Sets, usable_sets
from components.core.platform.artifacts import new_artifact
from components.core.platform.progress import track
from components.core.platform.tracking import Tracker
from components.core.rendering.workers import Failed, Workers
from components.synthetic_data.config import Config
from components.synthetic_data.plan import Plan
from components.synthetic_data.worker import KEPT, prepare

KIND = "material-grids"
CONTACT_SHEET = (6, 8)
SHARDS_A_PROCESS = 8  # then a fresh one takes over, whatever the renderer may have leaked


def run(
    config: Config,
    *,
    materials: str,
    environments: str,
    output: Path,
    work: Path,
    tracker: Tracker,
) -> None:
    """Write the artifact "material-grids"; `materials` is a folder of material sets or "",
    `environments` one of environment maps or "" for the embedded ones."""
    sets = usable_sets(materials_folder(materials)) if materials else Sets([], [], [])
    # Fetched here, once, and not by every process.
    light = str(environments_folder(environments)) if environments else ""
    plan = Plan(config, sets.usable)
    made = make_shards(plan, light, work / SHARDS)
    with new_artifact(output, KIND, "synthetic_data", config) as folder:
        entries = gather(made, folder)
        aside, notes, dark = told(config, sets, light)
        counts = {
            **count(plan, entries),
            "materials_set_aside": len(aside),
            "materials_noted": len({note.path for note in notes}),
            "environments_set_aside": len(dark),
        }
        write_rejected(folder / "rejected.jsonl", [*aside, *dark])
        write_rejected(folder / "notes.jsonl", notes)
        (folder / "counts.json").write_text(json.dumps(counts), encoding="utf-8")
        write_attribution(folder / "attribution.jsonl", entries)
        tracker.log_image(contact_sheet(GridShards.open([folder])), "synthetic_data.png")
    tracker.log_metrics({name: float(value) for name, value in counts.items()})


def make_shards(plan: Plan, environments: str, folder: Path) -> list[Path]:
    """Make this task's shards that `folder` lacks, in parallel; returns all of them in order."""
    folder.mkdir(parents=True, exist_ok=True)
    files = {number: folder / f"{number:05d}.tar" for number in plan.own_shards}
    # The index is written last, so a shard that has one is whole.
    missing = [n for n, file in files.items() if not index_of(file).exists()]
    processes = min(plan.config.processes or os.cpu_count() or 1, len(missing))
    failed: list[str] = []
    with Workers(partial(prepare, plan, environments), processes, SHARDS_A_PROCESS) as workers:
        jobs = workers.run([(number, files[number]) for number in missing])
        for job, lines in track(jobs, "shards", len(missing)):
            if isinstance(lines, Failed):
                failed.append(f"shard {missing[job]}: {lines.reason}")
            else:
                text = "".join(json.dumps(line) + "\n" for line in lines)
                write_whole(index_of(files[missing[job]]), text.encode())
    if failed:
        raise RuntimeError(f"{len(failed)} shards could not be made: {'; '.join(failed)}")
    return list(files.values())


def index_of(shard: Path) -> Path:
    """Where a shard's lines of the index wait for those of the others."""
    return shard.with_suffix(".jsonl")


def gather(shards: Iterable[Path], folder: Path) -> list[dict[str, Any]]:
    """Link the shards into the artifact's folder and write their common index."""
    (folder / SHARDS).mkdir()
    entries: list[dict[str, Any]] = []
    for shard in shards:
        link(shard, folder / SHARDS / shard.name)
        lines = index_of(shard).read_text(encoding="utf-8").splitlines()
        entries += [json.loads(line) for line in lines]
    text = "".join(json.dumps(entry, ensure_ascii=False) + "\n" for entry in entries)
    (folder / INDEX).write_text(text, encoding="utf-8")
    return entries


def told(
    config: Config, sets: Sets, light: str
) -> tuple[list[Rejected], list[Rejected], list[Rejected]]:
    """Materials set aside, notes on others, and environments set aside.

    Every task meets the same files; the first speaks of them.
    """
    if config.part > 0:
        return [], [], []
    from components.core.rendering.environments import usable_environments

    dark = usable_environments(light).left_out if light else []
    return sets.left_out, sets.notes, [Rejected(*found) for found in dark]


def write_rejected(file: Path, rejected: Iterable[Rejected]) -> None:
    """{"source", "reason"} of what was set aside or is to be told, a line each."""
    rows = ({"source": str(found.path), "reason": found.reason} for found in rejected)
    file.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), "utf-8")


def write_attribution(file: Path, entries: Iterable[dict[str, Any]]) -> None:
    """Whose materials the grids show: name, licence, authors and page, and how many grids."""
    credits = Counter(
        tuple((name, entry[name]) for name in KEPT if name in entry)
        for entry in entries
        if entry["source"] == "materials"
    )
    rows = ({**dict(credit), "grids": grids} for credit, grids in credits.items() if credit)
    file.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), "utf-8")


def count(plan: Plan, entries: list[dict[str, Any]]) -> dict[str, int]:
    """What the artifact holds, in numbers, which add up over the parts of a data set.

    Of the base materials each counts in the part that begins with it.
    """
    places = [plan.place(int(entry["key"])) for entry in entries]
    bases = Counter(place.source for place in places if place.variation == 0)
    return {
        "library": bases["library"],
        "materials": bases["materials"],
        "grids": len(entries),
        "renderings": sum(len(entry["files"]) for entry in entries) - 2 * len(entries),
        "test": sum(entry["split"] == "test" for entry in entries),
    }


def contact_sheet(grids: GridShards) -> NDArray[np.uint8]:
    """Grids spread over the whole set, as one image."""
    rows, columns = CONTACT_SHEET
    chosen = np.linspace(0, len(grids) - 1, rows * columns).astype(int).tolist()
    pictures = [grids.grid(number) for number in chosen]
    grids.close()
    lines = [
        np.concatenate(pictures[start : start + columns], axis=1)
        for start in range(0, rows * columns, columns)
    ]
    return np.concatenate(lines, axis=0)
