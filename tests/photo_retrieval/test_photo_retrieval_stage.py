"""The photo search from files to artifact, and the embedded stand-in."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from components.core.errors import UserError
from components.core.materials.material import CATEGORIES, Material
from components.core.materials.weathering import weathered
from components.core.platform.artifacts import open_artifact
from components.core.platform.config_types import Rendering
from components.core.platform.tracking import NullTracker
from components.core.realism.clip import ClipFeatures
from components.core.realism.distractors import KINDS
from components.core.realism.small import build_small_clip, load_clip, save_clip
from components.core.rendering.camera import photographed
from components.core.rendering.environments import Environment
from components.photo_retrieval import embedded
from components.photo_retrieval.config import Config
from components.photo_retrieval.database import read_database
from components.photo_retrieval.stage import run, write

SMALL = Rendering(size=32, spp=4, mesh_resolution=16)


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> ClipFeatures:
    folder = tmp_path_factory.mktemp("clip")
    save_clip(*build_small_clip(list(CATEGORIES)), folder)
    return ClipFeatures(*load_clip(folder))


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


def test_unusable_files_are_set_aside_counted_and_named(tmp_path: Path, clip: ClipFeatures) -> None:
    folder = photo_folder(tmp_path / "photos", 20)
    spoil(folder)
    database = read_database(folder, 32, rejected_share=0.25, batch=7)
    config = Config(rendering=SMALL, other_prompts=())
    write(config, database, clip, output=tmp_path / "out", tracker=NullTracker())
    out = open_artifact(tmp_path / "out", "photographs")
    rejected = [json.loads(line) for line in (out / "rejected.jsonl").read_text().splitlines()]
    assert {row["source"] for row in rejected} == {
        "corrupt.jpg", "text.png", "grey16.png", "cmyk.jpg", "tiny.png",
    }  # fmt: skip
    assert all(row["reason"] for row in rejected)
    index = [json.loads(line) for line in (out / "index.jsonl").read_text().splitlines()]
    images = np.load(out / "images.npy")
    assert images.shape == (len(index), 32, 32, 3)
    assert len(np.load(out / "features.npy")) == len(index)
    sources = [row["source"] for row in index]
    assert len(set(sources)) == len(sources)
    assert set(sources) <= {f"sub/{i}.png" for i in range(20)}
    counts = json.loads((out / "counts.json").read_text())
    assert counts["set_aside"] == 5
    assert counts["kept"] == sum(counts["categories"].values()) == len(index)


def test_too_many_unusable_files_fail_with_an_example(tmp_path: Path) -> None:
    folder = photo_folder(tmp_path / "photos", 5)
    spoil(folder)
    with pytest.raises(UserError, match=r"5 of 10 images cannot be used.*rejected_share"):
        read_database(folder, 32, rejected_share=0.2, batch=64)


def test_an_empty_folder_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    with pytest.raises(UserError, match="no image"):
        run(
            Config(rendering=SMALL),
            photos=str(tmp_path / "photos"),
            environments="",
            output=tmp_path / "out",
            work=tmp_path,
            tracker=NullTracker(),
        )
    assert not (tmp_path / "out").exists()


def plain_material(size: int) -> Material:
    grey = np.full((size, size), 0.5, np.float32)
    albedo = np.full((size, size, 3), 0.5, np.float32)
    return Material(albedo, grey, grey, np.zeros_like(grey))


class FakeRenderer:
    """Shows the albedo, so that no renderer is needed here."""

    def render(self, material, environment, *, rotation, seed):  # type: ignore[no-untyped-def]
        return material.resized(SMALL.size).albedo


def test_the_embedded_database_names_itself_and_resumes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(embedded, "detailed_renderer", lambda config: FakeRenderer())
    light = [Environment("grey", np.ones((4, 8, 3), np.float32))]
    config = Config(rendering=SMALL, embedded_photographs=16, embedded_distractors=8, seed=3)
    first = embedded.embedded_database(config, light, tmp_path / "a")
    again = embedded.embedded_database(config, light, tmp_path / "b")
    resumed = embedded.embedded_database(config, light, tmp_path / "a")
    np.testing.assert_array_equal(first.images, again.images)
    np.testing.assert_array_equal(first.images, resumed.images)
    assert len(first) == 24
    assert all(source.startswith("embedded:") for source in first.sources)
    assert sum("distractor" in source for source in first.sources) == 8


def test_weathering_keeps_a_valid_material_and_adds_fine_detail() -> None:
    material = plain_material(64)
    used = weathered(material, np.random.default_rng(0))
    assert used.size == material.size
    assert float(used.metallic.max()) == 0.0
    before = np.abs(np.diff(material.albedo, axis=0)).mean()
    assert np.abs(np.diff(used.albedo, axis=0)).mean() > before + 0.01
    seam = np.abs(used.height[0] - used.height[-1]).mean()
    assert seam < 2 * np.abs(np.diff(used.height, axis=0)).mean() + 1e-6


def test_the_camera_keeps_order_and_darkens_the_corners() -> None:
    ramp = np.linspace(0.05, 0.8, 3, dtype=np.float32)
    rng = np.random.default_rng(1)
    means = [
        photographed(np.full((32, 32, 3), v, np.float32), np.random.default_rng(5)).mean()
        for v in ramp
    ]
    assert means[0] < means[1] < means[2]
    picture = photographed(np.full((64, 64, 3), 0.4, np.float32), rng).astype(float)
    assert picture[28:36, 28:36].mean() > picture[:4, :4].mean() + 1


def test_distractors_differ_in_kind() -> None:
    for caption, draw in KINDS.items():
        image = draw(np.random.default_rng(0), 32)
        assert image.shape == (32, 32, 3), caption
        assert image.dtype == np.uint8
