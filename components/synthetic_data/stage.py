"""Makes the grids that stage 1 learns from: base materials, varied, with captions.

Section 4.1 of the paper: 8,615 base materials become about 126,000 variations and 800,000
renderings of them. The base materials come from the procedural library and, where a folder is
given, from material sets in it. Grids whose prompt is held out (`is_heldout`) form the split
"test", which no training sees. Processes make shard after shard; a restarted stage makes those
that are missing. A sample that cannot be made is left out and told.
"""

import json
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from components.core.catalogues.address import environments_folders, materials_folders
from components.core.materials.files import link, read_sidecar
from components.core.materials.photos import Rejected
from components.core.materials.shards import INDEX, SHARDS, GridShards
from components.core.materials.sources import Sets, usable_sets
from components.core.platform.artifacts import new_artifact
from components.core.platform.cores import cores
from components.core.platform.storage import cache_folder
from components.core.platform.tracking import Tracker
from components.core.rendering.environments import Found, environments_in
from components.synthetic_data.config import Config
from components.synthetic_data.plan import Plan
from components.synthetic_data.shard_making import make_shards, read_lines
from components.synthetic_data.worker import KEPT, text_of

KIND = "material-grids"
CONTACT_SHEET = (6, 8)


def run(
    config: Config,
    *,
    materials: str,
    environments: str,
    output: Path,
    work: Path,
    tracker: Tracker,
) -> None:
    """Write the artifact "material-grids".

    materials: a folder of material sets, several with commas between them, or "". environments: of
    environment maps, likewise; "" stands for the embedded ones.
    """
    sets = Sets([], [], [])
    if materials:
        sets = usable_sets(
            *materials_folders(materials),
            processes=config.processes or cores(),
            kept=cache_folder("checked"),
        )
    # Fetched here, once, and not by every process.
    light = environments_folders(environments)
    plan = Plan(config, sets.usable)
    made = make_shards(plan, light, work / SHARDS)
    with new_artifact(output, KIND, "synthetic_data", config) as folder:
        entries, failed = gather(made, folder)
        lights = environments_in(light) if light else Found([], [])
        # Every task meets the same files; the first speaks of them.
        told, dark = (sets, lights) if config.part == 0 else (Sets([], [], []), Found([], []))
        counts = {
            **count(plan, entries),
            "grids_failed": len(failed),
            "materials_set_aside": len(told.left_out),
            "materials_noted": len({note.path for note in told.notes}),
            "environments_set_aside": len(dark.left_out),
            "environments_noted": len(dark.notes),
        }
        rejected = [*told.left_out, *(Rejected(*found) for found in dark.left_out), *failed]
        write_rejected(folder / "rejected.jsonl", rejected)
        notes = [*told.notes, *(Rejected(*found) for found in dark.notes)]
        write_rejected(folder / "notes.jsonl", notes)
        (folder / "counts.json").write_text(json.dumps(counts), encoding="utf-8")
        credits = [*credits_of_materials(entries), *credits_of_environments(lights, config)]
        write_rows(folder / "attribution.jsonl", credits)
        tracker.log_image(contact_sheet(GridShards.open([folder])), "synthetic_data.png")
    tracker.log_metrics({name: float(value) for name, value in counts.items()})


def gather(shards: Iterable[Path], folder: Path) -> tuple[list[dict[str, Any]], list[Rejected]]:
    """Link the shards into the artifact's folder and write their common index; returns it and the
    samples that they lack."""
    (folder / SHARDS).mkdir()
    lines: list[dict[str, Any]] = []
    for shard in shards:
        link(shard, folder / SHARDS / shard.name)
        lines += read_lines(shard)
    entries = [line for line in lines if "failed" not in line]
    write_rows(folder / INDEX, entries)
    failed = [line for line in lines if "failed" in line]
    return entries, [Rejected(Path(f"grid {line['key']}"), line["failed"]) for line in failed]


def write_rejected(file: Path, rejected: Iterable[Rejected]) -> None:
    """{"source", "reason"} of what was set aside or is to be told, a line each."""
    write_rows(file, ({"source": str(found.path), "reason": found.reason} for found in rejected))


def write_rows(file: Path, rows: Iterable[dict[str, Any]]) -> None:
    """A JSON object a line."""
    file.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), "utf-8")


def credits_of_materials(entries: Iterable[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Whose materials the grids show: name, licence, authors and page, and how many grids."""
    credits = Counter(
        tuple((name, entry[name]) for name in KEPT if name in entry)
        for entry in entries
        if entry["source"] == "materials"
    )
    return ({**dict(credit), "grids": grids} for credit, grids in credits.items() if credit)


def credits_of_environments(lights: Found, config: Config) -> Iterator[dict[str, Any]]:
    """Whose environments light the renderings: the same, and the environment's file."""
    for file in lights.files if config.renderings else []:
        known = {name: value for name, value in read_sidecar(file.parent).items() if value}
        credit = {name: text_of(known[name]) for name in KEPT if name in known}
        if credit:
            yield {**credit, "environment": file.name}


def count(plan: Plan, entries: list[dict[str, Any]]) -> dict[str, int]:
    """What the artifact holds, in numbers, which add up over the parts of a data set.

    Of the base materials that were made each counts in the part that begins with it.
    """
    made = ((number, plan.place(number)) for number in (int(entry["key"]) for entry in entries))
    own = {
        (place.source, place.base)
        for number, place in made
        if plan.shard_of(number - place.variation) in plan.own_shards
    }
    bases = Counter(source for source, _ in own)
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
