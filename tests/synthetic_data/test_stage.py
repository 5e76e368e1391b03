"""Synthetic data: as many grids as asked for, honest splits, the same again after a kill."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import webdataset
from PIL import Image

from components.core.errors import UserError
from components.core.materials.files import save_material
from components.core.materials.library.catalogue import sample
from components.core.materials.prompts import is_heldout, prompt_of
from components.core.materials.shards import SHARDS, GridShards, Sample, stream, write_shard
from components.core.platform.artifacts import open_artifact
from components.core.platform.config_types import Rendering
from components.core.platform.tracking import NullTracker
from components.synthetic_data import stage
from components.synthetic_data.config import Config
from components.synthetic_data.plan import Maker, Plan
from components.synthetic_data.stage import count

CONFIG = Config(
    seed=3, base_materials=32, variations=48, map_size=16, oversampling=1, samples_per_shard=20,
    renderings=6, rendering=Rendering(size=16, spp=4), processes=1,
)  # fmt: skip


def make(
    folder: Path, config: Config = CONFIG, materials: str = "", environments: str = ""
) -> Path:
    stage.run(
        config,
        materials=materials,
        environments=environments,
        output=folder / "out",
        work=folder / "work",
        tracker=NullTracker(),
    )
    return open_artifact(folder / "out", "material-grids")


def index(folder: Path) -> list[dict[str, str]]:
    return [json.loads(line) for line in (folder / "index.jsonl").read_text().splitlines()]


def grids(folder: Path) -> np.ndarray:
    shards = GridShards.open([folder])
    return np.stack([shards.grid(number) for number in range(len(shards))])


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make(tmp_path_factory.mktemp("synthetic"))


def test_the_number_of_grids_shards_and_renderings_is_the_one_asked_for(made: Path) -> None:
    assert grids(made).shape == (48, 32, 32, 3)
    assert [file.name for file in sorted((made / SHARDS).iterdir())] == [
        "00000.tar", "00001.tar", "00002.tar",
    ]  # fmt: skip
    counts = json.loads((made / "counts.json").read_text())
    assert (counts["grids"], counts["library"], counts["renderings"]) == (48, 32, 6)


def test_parts_made_by_several_tasks_are_the_whole(made: Path, tmp_path: Path) -> None:
    def part(number: int) -> Path:
        config = CONFIG.model_copy(update={"parts": 2, "part": number})
        return make(tmp_path / str(number), config)

    parts = [part(0), part(1)]
    files = [file for folder in parts for file in sorted((folder / SHARDS).iterdir())]
    whole = sorted((made / SHARDS).iterdir())
    assert [file.name for file in files] == [file.name for file in whole]
    assert [file.read_bytes() for file in files] == [file.read_bytes() for file in whole]
    counts = [json.loads((folder / "counts.json").read_text()) for folder in (*parts, made)]
    assert {name: counts[0][name] + counts[1][name] for name in counts[2]} == counts[2]
    shards = GridShards.open(parts)
    np.testing.assert_array_equal([shards.grid(n) for n in range(len(shards))], grids(made))


@pytest.mark.parametrize("settings", [{"parts": 4}, {"parts": 2, "part": 2}])
def test_a_part_without_shards_is_refused(settings: dict[str, int]) -> None:
    with pytest.raises(ValueError, match=r"than parts|no part"):
        Config.model_validate({**CONFIG.model_dump(), **settings})


def test_webdataset_reads_the_shards_and_a_stream_gives_the_same(made: Path) -> None:
    files = sorted((made / SHARDS).iterdir())
    read = webdataset.WebDataset([str(f) for f in files], shardshuffle=False).decode("rgb8")
    samples = [sample for file in files for sample in stream(file.open("rb"))]
    entries, expected = index(made), grids(made)
    for number, (theirs, ours) in enumerate(zip(read, samples, strict=True)):
        assert theirs["__key__"] == ours.key == entries[number]["key"]
        assert theirs["json"]["caption"] == ours.words["caption"] == entries[number]["caption"]
        np.testing.assert_array_equal(theirs["grid.png"], expected[number])
        np.testing.assert_array_equal(ours.grid, expected[number])
    rendered = [sample for sample in samples if sample.renderings]
    assert len(rendered) == 6
    assert rendered[0].renderings[0].shape == (16, 16, 3)


def test_every_base_material_is_varied_about_as_often() -> None:
    plan = Plan(CONFIG.model_copy(update={"variations": 100}), [Path("a"), Path("b"), Path("c")])
    places = [plan.place(number) for number in range(100)]
    assert len(set(places)) == 100
    for source, total, bases in (("library", 50, 32), ("materials", 50, 3)):
        often = np.bincount([p.base for p in places if p.source == source])
        assert len(often) == bases
        assert often.sum() == total
        assert np.ptp(often) <= 1
    assert sum(plan.renderings(number) for number in range(100)) == CONFIG.renderings


def test_a_base_counts_though_its_first_grid_could_not_be_made() -> None:
    """Once over all parts: where its grids begin. One of which nothing was made does not."""
    plans = [Plan(CONFIG.model_copy(update={"parts": 2, "part": part}), []) for part in (0, 1)]
    numbers = range(CONFIG.variations)
    first = next(n for n in numbers if plans[0].place(n + 1).base == plans[0].place(n).base)
    whole = [n for n in numbers if plans[0].place(n).base == plans[0].place(numbers[-1]).base]
    failed = {first, *whole}

    def entries(plan: Plan) -> list[dict[str, object]]:
        own = [n for shard in plan.own_shards for n in plan.numbers(shard) if n not in failed]
        return [{"key": f"{n:08d}", "files": ["", ""], "split": "train"} for n in own]

    counted = [count(plan, entries(plan))["library"] for plan in plans]
    assert sum(counted) == CONFIG.base_materials - 1


@pytest.mark.parametrize("pieces", [0, 1])
def test_library_materials_vary_by_being_painted_anew(pieces: int) -> None:
    """Under the same words; unless there are so many pieces and no more."""
    config = CONFIG.model_copy(update={"base_materials": 16, "map_size": 32, "pieces": pieces})
    maker = Maker(Plan(config, []))
    bricks = [maker.material(number) for number in range(3)]  # of one base
    assert len({brick.caption for brick in bricks}) == 1
    profiles = [
        np.sort(brick.height, axis=None) for brick in bricks
    ]  # a shift does not change them
    alike = [np.corrcoef(profiles[0], profile)[0, 1] > 0.999 for profile in profiles[1:]]
    assert all(alike) == bool(pieces)


def test_heldout_prompts_are_in_the_test_split_only(made: Path) -> None:
    for entry in index(made):
        heldout = is_heldout(prompt_of(entry["category"], entry["caption"]))
        assert entry["split"] == ("test" if heldout else "train")


def test_only_metals_are_metallic(made: Path) -> None:
    metallic = grids(made)[:, 16:, 16:].reshape(48, -1).max(axis=1)
    is_metal = np.array([entry["category"] == "metal" for entry in index(made)])
    assert metallic[~is_metal].max() == 0
    assert metallic[is_metal].max() > 200


def test_the_result_depends_neither_on_interruptions_nor_on_the_number_of_processes(
    made: Path, tmp_path: Path
) -> None:
    class Killed(Exception):
        pass

    class Dying(NullTracker):
        def log_image(self, image: object, name: str) -> None:
            raise Killed

    with pytest.raises(Killed):
        stage.run(
            CONFIG,
            materials="",
            environments="",
            output=tmp_path / "out",
            work=tmp_path / "work",
            tracker=Dying(),
        )
    assert not (tmp_path / "out").exists()
    shards = tmp_path / "work" / SHARDS
    (shards / "00001.tar").write_bytes(b"half of a shard")
    (shards / "00001.jsonl").unlink()
    (shards / "00002.jsonl").unlink()
    again = make(tmp_path, CONFIG.model_copy(update={"processes": 2}))
    for file in sorted((made / SHARDS).iterdir()):
        assert (again / SHARDS / file.name).read_bytes() == file.read_bytes()
    assert (again / "index.jsonl").read_bytes() == (made / "index.jsonl").read_bytes()


def test_given_materials_take_their_share_and_are_never_held_out(tmp_path: Path) -> None:
    for name in ("oak", "birch"):
        wood = sample("wood", np.random.default_rng(len(name)), 32)
        credit = {"name": name.title(), "authors": ["A. Person", "B. Other"], "page": f"x/{name}"}
        save_material(wood, tmp_path / "sets" / name, licence="CC0-1.0", **credit)
    (tmp_path / "more").mkdir()
    (tmp_path / "sets" / "birch").rename(tmp_path / "more" / "birch")
    Image.new("L", (32, 32), 0).save(tmp_path / "more" / "birch" / "height.png")
    (tmp_path / "sets" / "broken").mkdir()
    (tmp_path / "sets" / "broken" / "albedo.png").write_bytes(b"")
    entries = index(make(tmp_path, materials=f"{tmp_path / 'sets'},{tmp_path / 'more'}"))
    given = [entry for entry in entries if entry["source"] == "materials"]
    assert len(given) == 24
    assert {entry["split"] for entry in given} == {"train"}
    assert {entry["licence"] for entry in given} == {"CC0-1.0"}
    assert {entry["authors"] for entry in given} == {"A. Person, B. Other"}
    assert {entry["page"] for entry in given} == {"x/oak", "x/birch"}
    credits = (tmp_path / "out" / "attribution.jsonl").read_text().splitlines()
    assert sorted(map(json.loads, credits), key=lambda row: str(row["name"])) == [
        {"name": name, "licence": "CC0-1.0", "authors": "A. Person, B. Other",
         "page": f"x/{name.lower()}", "grids": 12}
        for name in ("Birch", "Oak")
    ]  # fmt: skip
    counts = json.loads((tmp_path / "out" / "counts.json").read_text())
    assert (counts["materials"], counts["materials_set_aside"]) == (2, 1)
    assert (counts["materials_noted"], counts["environments_set_aside"]) == (1, 0)
    (note,) = map(json.loads, (tmp_path / "out" / "notes.jsonl").read_text().splitlines())
    assert note["source"].endswith("birch")
    assert note["reason"].startswith("height.png: black")
    (named,) = map(json.loads, (tmp_path / "out" / "rejected.jsonl").read_text().splitlines())
    assert named["source"].endswith("broken")
    assert "albedo.png" in named["reason"]


def test_the_lights_may_be_a_catalogues(made: Path, lights_address: str, tmp_path: Path) -> None:
    """The renderings, and they alone, differ from those under the embedded lights."""
    credit = {"name": "Glow", "licence": "CC0-1.0", "authors": ["A. Person"], "page": "x/glow"}
    (tmp_path / "catalogue" / "material.json").write_text(json.dumps({**credit, "tags": []}))
    again = make(tmp_path, environments=lights_address)
    np.testing.assert_array_equal(grids(again), grids(made))
    first, other = (
        next(
            sample
            for sample in stream((folder / SHARDS / "00000.tar").open("rb"))
            if len(sample.renderings)
        )
        for folder in (again, made)
    )
    assert first.key == other.key
    assert not np.array_equal(first.renderings[0], other.renderings[0])
    (row,) = map(json.loads, (again / "attribution.jsonl").read_text().splitlines())
    assert row == {**credit, "authors": "A. Person", "environment": "glow.exr"}


def test_ten_renderings_and_more_keep_their_order(tmp_path: Path) -> None:
    renderings = [np.full((2, 2, 3), number, np.uint8) for number in range(12)]
    words = {"caption": "oak", "category": "wood"}
    write_shard(tmp_path / "a.tar", [Sample("0", np.zeros((4, 4, 3), np.uint8), words, renderings)])
    (read,) = stream((tmp_path / "a.tar").open("rb"))
    assert [int(picture[0, 0, 0]) for picture in read.renderings] == list(range(12))


def test_a_damaged_shard_is_named(made: Path, tmp_path: Path) -> None:
    shutil.copytree(made, tmp_path / "copy")
    shard = tmp_path / "copy" / SHARDS / "00001.tar"
    shard.write_bytes(b"\0" * shard.stat().st_size)
    shards = GridShards.open([tmp_path / "copy"])
    shards.grid(0)
    with pytest.raises(UserError, match=r"00001\.tar"):
        shards.grid(25)
