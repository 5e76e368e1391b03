"""Embeds a photo database with CLIP, or the part of it that falls to one task.

Section 4.1 of the paper searches an image database, which is the longest read of the whole
pipeline. Tasks therefore share its chunks, which are the same however many tasks there are; one
task then searches what all of them made. Without a database the stand-in is rendered (`embedded`).
"""

import json
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from components.core.materials.photo_chunks import chunks_of, decoder
from components.core.platform.artifacts import new_artifact
from components.core.platform.batches import load_arrays
from components.core.platform.device import choose_device
from components.core.platform.tracking import Tracker
from components.core.realism.clip import ClipFeatures
from components.photo_embedding.config import Config
from components.photo_embedding.embedded import batches_of, drawer
from components.photo_embedding.embedding import Batches, embed, one_by_one

KIND = "photo-features"
LINES = pa.schema([("name", pa.string()), ("archive", pa.string())])


def run(
    config: Config, *, photos: str, environments: str, output: Path, work: Path, tracker: Tracker
) -> None:
    """Write the artifact "photo-features" of the images at `photos`, an address or several with
    commas between them ("": the stand-in)."""
    clip = ClipFeatures.load(config.clip, device=choose_device(config.device))
    batches = photographs(config, photos) if photos else stand_ins(config, environments)
    files = embed(own(config, batches), clip, work, processes=config.processes)
    with new_artifact(output, KIND, "photo_embedding", config) as folder:
        counts = gather(folder, files, clip.dimension, keep_images=not photos)
        about = {"photos": photos, "clip": config.clip, "size": config.rendering.size, **counts}
        (folder / "database.json").write_text(json.dumps(about, indent=2) + "\n")
    tracker.log_metrics(counts)


def photographs(config: Config, photos: str) -> Batches:
    """The chunks of a database that is there; files that cannot be used are set aside."""
    chunks = chunks_of(photos, config.batch_size)
    return Batches(chunks, partial(decoder, config.rendering.size), one_by_one, keep=False)


def stand_ins(config: Config, environments: str) -> Batches:
    """The batches of the embedded database, each of which must come out well."""
    return Batches(batches_of(config), partial(drawer, config, environments))


def own(config: Config, batches: Batches) -> Batches:
    """Those that fall to this task: runs of neighbours, as long as whole numbers allow."""
    total = len(batches.jobs)
    start, stop = (total * part // config.parts for part in (config.part, config.part + 1))
    return batches.between(start, stop)


def gather(
    folder: Path, files: Sequence[Path], dimension: int, *, keep_images: bool
) -> dict[str, int]:
    """Write features.npy (N, D) float16, images.parquet with a line for each of them, the images
    themselves where nothing else has them, and rejected.jsonl; returns how many there are.

    One batch at a time is in memory.
    """
    rejected: list[tuple[str, str]] = []
    total = 0
    with pq.ParquetWriter(folder / "images.parquet", LINES) as writer:
        for file in files:
            with np.load(file, allow_pickle=False) as arrays:
                names, archive = arrays["names"].tolist(), str(arrays["archive"])
                rejected += [(name, why) for name, why in json.loads(str(arrays["rejected"]))]
            columns = {"name": names, "archive": [archive] * len(names)}
            writer.write_table(pa.table(columns, schema=LINES))
            total += len(names)
    _join(folder / "features.npy", files, "features", np.float16, (total, dimension))
    if keep_images and files:
        with np.load(files[0], allow_pickle=False) as arrays:
            shape = arrays["images"].shape[1:]
        _join(folder / "images.npy", files, "images", np.uint8, (total, *shape))
    rows = ({"source": name, "reason": why} for name, why in rejected)
    lines = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    (folder / "rejected.jsonl").write_text(lines, encoding="utf-8")
    return {"images": total, "set_aside": len(rejected)}


def _join(
    target: Path, files: Sequence[Path], name: str, kind: type[Any], shape: tuple[int, ...]
) -> None:
    """One array of that of all batches."""
    joined = np.lib.format.open_memmap(target, "w+", kind, shape)
    start = 0
    for file in files:
        part = load_arrays(file)[name]
        joined[start : start + len(part)] = part
        start += len(part)
    joined.flush()
