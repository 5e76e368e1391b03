"""The photo search from files to artifact."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from components.core.errors import UserError
from components.core.materials.library.catalogue import sample
from components.core.platform.artifacts import open_artifact
from components.core.platform.config_types import Rendering
from components.core.platform.tracking import NullTracker
from components.photo_embedding import stage as photo_embedding
from components.photo_embedding.config import Config as Embedding
from components.photo_retrieval.config import Config
from components.photo_retrieval.stage import run

SMALL = Rendering(size=32, spp=4, mesh_resolution=16)


def retrieve(
    photos: Path, root: Path, clip_folder: str, examples: str = "", **settings: Any
) -> Path:
    """Embed the photographs and search them, both as the pipeline does; returns the artifact."""
    photo_embedding.run(
        Embedding(clip=clip_folder, rendering=SMALL, batch_size=7),
        photos=str(photos), environments="", output=root / "features", work=root / "embedding",
        tracker=NullTracker(),
    )  # fmt: skip
    run(
        Config(**{"clip": clip_folder, **settings}), features=[root / "features"],
        examples=examples, output=root / "out", work=root / "work", tracker=NullTracker(),
    )  # fmt: skip
    return root / "out"


def photo_folder(folder: Path, good: int) -> Path:
    rng = np.random.default_rng(0)
    (folder / "sub").mkdir(parents=True)
    for i in range(good):
        pixels = rng.integers(0, 256, (40, 48, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / "sub" / f"{i}.png")
    return folder


def spoil(folder: Path) -> None:
    """The five kinds of files that a photo folder should not hold."""
    Image.new("RGB", (64, 64), "red").save(folder / "whole.jpg")
    data = (folder / "whole.jpg").read_bytes()
    (folder / "whole.jpg").unlink()
    (folder / "corrupt.jpg").write_bytes(data[: len(data) // 2])
    (folder / "text.png").write_text("not an image")
    Image.fromarray(np.full((64, 64), 40_000, np.uint16)).save(folder / "grey16.png")
    Image.new("CMYK", (64, 64)).save(folder / "cmyk.jpg")
    Image.new("RGB", (1, 1)).save(folder / "tiny.png")


def test_unusable_files_are_set_aside_counted_and_named(tmp_path: Path, clip_folder: str) -> None:
    folder = photo_folder(tmp_path / "photos", 20)
    spoil(folder)
    retrieve(folder, tmp_path, clip_folder, other_prompts=(), rejected_share=0.25)
    out = open_artifact(tmp_path / "out", "photographs")
    rejected = [json.loads(line) for line in (out / "rejected.jsonl").read_text().splitlines()]
    assert {row["source"] for row in rejected} == {
        "corrupt.jpg", "text.png", "grey16.png", "cmyk.jpg", "tiny.png",
    }  # fmt: skip
    assert all(row["reason"] for row in rejected)
    index = [json.loads(line) for line in (out / "index.jsonl").read_text().splitlines()]
    images = np.load(out / "images.npy")
    assert images.shape == (len(index), 32, 32, 3)
    sources = [row["source"] for row in index]
    assert len(set(sources)) == len(sources)
    assert set(sources) <= {f"sub/{i}.png" for i in range(20)}
    counts = json.loads((out / "counts.json").read_text())
    assert counts["set_aside"] == 5
    assert counts["kept"] == sum(counts["categories"].values()) == len(index)


def test_of_a_picture_and_its_copies_one_is_kept(tmp_path: Path) -> None:
    """Copies as they come: stored as JPEG, made smaller, a little brighter."""
    photos = tmp_path / "photos"
    photos.mkdir()
    names = ("brick", "fabric", "marble", "wood", "metal", "grass")
    for name in names:
        albedo = sample(name, np.random.default_rng(1), 128).albedo
        image = Image.fromarray((255 * albedo).astype(np.uint8))
        image.save(photos / f"{name}-0.png")
        image.save(photos / f"{name}-1.jpg", quality=85)
        image.resize((112, 112), Image.Resampling.LANCZOS).save(photos / f"{name}-2.png")
        image.point(lambda value: min(255, round(1.02 * value))).save(photos / f"{name}-3.png")
    options = {"other_prompts": (), "duplicate_similarity": 0.985}
    kept = rows_of(retrieve(photos, tmp_path, "small", **options))
    assert sorted(source.partition("-")[0] for source in kept) == sorted(names)


def test_too_many_unusable_files_fail_with_an_example(tmp_path: Path, clip_folder: str) -> None:
    folder = photo_folder(tmp_path / "photos", 5)
    spoil(folder)
    with pytest.raises(UserError, match=r"5 of 10 images cannot be used.*rejected_share"):
        retrieve(folder, tmp_path, clip_folder)


def test_an_empty_folder_is_a_sentence(tmp_path: Path, clip_folder: str) -> None:
    (tmp_path / "photos").mkdir()
    with pytest.raises(UserError, match="no image"):
        retrieve(tmp_path / "photos", tmp_path, clip_folder)
    assert not (tmp_path / "out").exists()


def test_texts_and_photographs_must_be_seen_by_one_model(tmp_path: Path, clip_folder: str) -> None:
    folder = photo_folder(tmp_path / "photos", 3)
    with pytest.raises(UserError, match=r"shared\.clip"):
        retrieve(folder, tmp_path, clip_folder, clip="small")


def rows_of(out: Path) -> dict[str, dict[str, Any]]:
    lines = (out / "index.jsonl").read_text().splitlines()
    return {row["source"]: row for row in map(json.loads, lines)}


def test_examples_are_read_named_and_searched_for(tmp_path: Path) -> None:
    folder = photo_folder(tmp_path / "photos", 12)
    options = {"other_prompts": ()}
    plain = rows_of(retrieve(folder, tmp_path, "small", **options))
    source = max(plain, key=lambda name: plain[name]["score"])
    category = plain[source]["category"]
    (tmp_path / "examples" / category).mkdir(parents=True)
    shutil.copy(folder / source, tmp_path / "examples" / category / "own.png")
    examples = str(tmp_path / "examples")
    out = retrieve(folder, tmp_path, "small", examples, **options)
    found = rows_of(out)
    assert found[source]["category"] == category
    assert found[source]["example"] == f"{category}/own.png"
    assert found[source]["score"] > plain[source]["score"]
    assert not any("example" in row for row in plain.values())
    counts = json.loads((out / "counts.json").read_text())
    assert counts["examples"] == 1
    assert counts["found_by_examples"] == sum("example" in row for row in found.values())


@pytest.mark.parametrize("fault", ["missing", "empty", "loose", "unknown", "damaged"])
def test_examples_that_cannot_be_used_are_a_sentence(
    tmp_path: Path, clip_folder: str, fault: str
) -> None:
    folder = photo_folder(tmp_path / "photos", 3)
    examples = tmp_path / "examples"
    if fault != "missing":
        examples.mkdir()
    place = {"loose": "a.png", "unknown": "gingerbread/a.png", "damaged": "brick/a.png"}.get(fault)
    if place:
        (examples / place).parent.mkdir(exist_ok=True)
        (examples / place).write_bytes(b"no image")
    with pytest.raises(UserError, match="examples"):
        retrieve(folder, tmp_path, clip_folder, str(examples), other_prompts=())
    assert not (tmp_path / "out").exists()
