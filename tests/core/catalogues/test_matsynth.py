"""MatSynth is read in place and filtered by licence."""

import io
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as parquet
import pytest
from PIL import Image

from components.core.catalogues.download import Downloader
from components.core.catalogues.item import collect
from components.core.catalogues.matsynth import ALLOWED, DATASET, Materials
from components.core.materials.sources import load_material_folder
from tests.core.catalogues.server import Server

SHARD = "data/train-00000-of-00001.parquet"


def png(values: np.ndarray) -> dict[str, Any]:
    stream = io.BytesIO()
    Image.fromarray(values).save(stream, "PNG")
    return {"bytes": stream.getvalue(), "path": None}


def row(rng: np.random.Generator, name: str, licence: str, tags: list[str]) -> dict[str, Any]:
    colour = rng.integers(0, 256, (48, 48, 3), dtype=np.uint8)
    grey = rng.integers(0, 256, (48, 48), dtype=np.uint8)
    height = rng.integers(0, 65536, (48, 48), dtype=np.uint16)
    metadata = {"license": licence, "tags": tags, "authors": ["A. Person"], "link": "page"}
    return {
        "name": name,
        "category": "Misc",
        "metadata": metadata,
        "basecolor": png(colour),
        "height": png(height),
        "roughness": png(grey),
        "metallic": png(grey * 0),
        "normal": None,
    }


@pytest.fixture
def hub(server: Server) -> str:
    """A hub with one shard of 40 materials in row groups of 4."""
    rng = np.random.default_rng(0)
    kinds = [("CC0", ["brick"]), ("CC-BY-NC", ["wood"]), ("CC-BY 4.0", ["moss", "grass"]),
             ("CC0", ["nothing"])]  # fmt: skip
    rows = [row(rng, f"thing_{i:02d}", *kinds[i % 4]) for i in range(40)]
    stream = io.BytesIO()
    parquet.write_table(pa.Table.from_pylist(rows), stream, row_group_size=4)
    base = f"/datasets/{DATASET}/resolve/main/"
    server.put(base + SHARD, stream.getvalue())
    listing = [{"path": SHARD}, {"path": "data/test-00000-of-00001.parquet"}, {"path": "data/x"}]
    server.put(f"/api/datasets/{DATASET}/tree/main/data", listing)
    return server.url


def test_only_free_licences_and_known_categories_are_listed(
    hub: str, downloader: Downloader
) -> None:
    items = Materials(downloader, hub=hub).items()
    assert len(items) == 20
    assert {(item.category, item.licence) for item in items} == {
        ("brick", "CC0"),
        ("grass", "CC-BY 4.0"),
    }


def test_chosen_materials_become_material_sets(
    hub: str, downloader: Downloader, tmp_path: Path
) -> None:
    collect(Materials(downloader, size=16, hub=hub), tmp_path, 2, seed=1)
    materials = load_material_folder(str(tmp_path))
    assert len(materials) == 2
    assert all(material.size == (16, 16) for material in materials)
    assert all(list(m.metadata["authors"]) == ["A. Person"] for m in materials)
    assert all(m.metadata["defaults"] == [] for m in materials)
    heights = np.unique(materials[0].height * 65535)
    assert len(heights) > 200  # 16 bits, not 8, survive the reduction


@pytest.mark.parametrize(
    ("licence", "allowed"),
    [
        ("CC0", True),
        ("CC0 1.0", True),
        ("CC-BY", True),
        ("CC-BY-4.0", True),
        ("cc by 4.0", True),
        ("CC-BY-SA 4.0", False),
        ("CC BY-NC", False),
        ("CC-BY-ND-4.0", False),
        ("", False),
        ("proprietary", False),
    ],
)
def test_licences_that_forbid_something_are_left_out(licence: str, allowed: bool) -> None:
    assert bool(ALLOWED.fullmatch(licence)) == allowed
