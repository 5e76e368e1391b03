"""MatSynth is read in place and filtered by licence."""

import io
import time
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
from components.core.errors import UserError
from components.core.materials.sources import load_material_folder, usable_sets
from tests.core.catalogues.server import Server

SHARD = "data/train-00000-of-00001.parquet"
COMMIT = "0123abcd"
SHARD_PATH = f"/datasets/{DATASET}/resolve/{COMMIT}/{SHARD}"


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
    return serve(server, [row(rng, f"thing_{i:02d}", *kinds[i % 4]) for i in range(40)])


def serve(server: Server, rows: list[dict[str, Any]]) -> str:
    stream = io.BytesIO()
    parquet.write_table(pa.Table.from_pylist(rows), stream, row_group_size=4)
    server.put(SHARD_PATH, stream.getvalue())
    api = f"/api/datasets/{DATASET}"
    server.put(f"{api}/revision/main", {"sha": COMMIT})
    server.put(f"{api}/tree/{COMMIT}/data", [{"path": "data/test-00000-of-00001.parquet"}])
    # What there is to read is on the second page.
    server.links[f"{api}/tree/{COMMIT}/data"] = server.put(
        f"{api}/tree/{COMMIT}/data?cursor=2", [{"path": SHARD}, {"path": "data/x"}]
    )
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
    chosen = collect(Materials(downloader, size=16, hub=hub), tmp_path, 2, seed=1)
    materials = load_material_folder(str(chosen))
    assert len(materials) == 2
    assert all(material.size == (16, 16) for material in materials)
    assert all(list(m.metadata["authors"]) == ["A. Person"] for m in materials)
    assert all(m.metadata["defaults"] == [] for m in materials)
    heights = np.unique(materials[0].height * 65535)
    assert len(heights) > 200  # 16 bits, not 8, survive the reduction
    assert {material.metadata["revision"] for material in materials} == {COMMIT}


def test_a_row_group_is_read_once_for_all_its_materials(
    server: Server, hub: str, downloader: Downloader, tmp_path: Path
) -> None:
    catalogue = Materials(downloader, size=16, hub=hub)
    items = catalogue.items()
    listing = len(server.requests)
    catalogue.fetch(items[0], tmp_path)
    group = len(server.requests) - listing
    assert group > 1
    catalogue.fetch(items[1], tmp_path)  # its neighbour
    assert len(server.requests) - listing == group
    before = len(server.requests)
    collect(Materials(downloader, size=16, hub=hub), tmp_path, 20, seed=0)
    assert len(server.requests) - before == listing + 10 * group


@pytest.mark.parametrize("answer", [{"error": "gone"}, ["main"]])
def test_a_hub_of_another_form_is_one_sentence(
    server: Server, hub: str, downloader: Downloader, answer: Any
) -> None:
    server.put(f"/api/datasets/{DATASET}/revision/main", answer)
    with pytest.raises(UserError, match="MatSynth: the catalogue answers in another form"):
        Materials(downloader, hub=hub).items()


@pytest.mark.parametrize("fault", ["429", "500", "truncated"])
@pytest.mark.parametrize("reads_before", [0, 1, 2])
def test_reads_that_fail_are_tried_again_wherever_they_fail(
    server: Server, hub: str, downloader: Downloader, tmp_path: Path, fault: str, reads_before: int
) -> None:
    server.faults[SHARD_PATH] = [""] * reads_before + [fault]
    chosen = collect(Materials(downloader, size=16, hub=hub), tmp_path, 1, seed=1)
    assert len(load_material_folder(str(chosen))) == 1
    assert not server.faults[SHARD_PATH]  # it was met


def test_a_busy_hub_is_given_the_time_it_asks_for(
    server: Server, hub: str, downloader: Downloader
) -> None:
    server.faults[SHARD_PATH] = ["", "429 1"]
    started = time.monotonic()
    Materials(downloader, hub=hub).items()
    assert time.monotonic() - started >= 1.0


@pytest.mark.parametrize("fault", ["404", "damaged"])
@pytest.mark.parametrize("reads_before", [1, 2])
def test_reads_that_keep_failing_are_told_as_such(
    server: Server, hub: str, downloader: Downloader, tmp_path: Path, fault: str, reads_before: int
) -> None:
    server.faults[SHARD_PATH] = [""] * reads_before + [fault] * 40
    with pytest.raises(UserError, match=r"parquet.*(status 404|damaged)") as told:
        collect(Materials(downloader, size=16, hub=hub), tmp_path, 1, seed=1)
    assert "cannot be written" not in str(told.value)


def test_a_damaged_map_is_the_catalogues_fault_and_set_aside(
    server: Server, downloader: Downloader, tmp_path: Path
) -> None:
    rng = np.random.default_rng(0)
    rows = [row(rng, f"thing_{i:02d}", "CC0", ["brick"]) for i in range(20)]
    rows[3]["height"]["bytes"] = rows[3]["height"]["bytes"][:100]
    chosen = collect(Materials(downloader, size=16, hub=serve(server, rows)), tmp_path, 20, seed=0)
    usable, left_out, _ = usable_sets(chosen)
    assert len(usable) == 19
    assert [found.path.name for found in left_out] == ["thing_03"]
    assert "height is no readable image" in left_out[0].reason


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
