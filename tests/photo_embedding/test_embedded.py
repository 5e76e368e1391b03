"""The embedded stand-in for a photo database."""

from pathlib import Path

import numpy as np
import pytest

from components.core.errors import UserError
from components.core.materials.material import Material
from components.core.materials.weathering import weathered
from components.core.platform.config_types import Rendering
from components.core.platform.tracking import NullTracker
from components.core.realism.distractors import KINDS
from components.core.rendering.camera import photographed
from components.photo_embedding import embedding
from components.photo_embedding.config import Config
from components.photo_embedding.stage import run
from components.photo_retrieval.database import Database

SMALL = Rendering(size=32, spp=4, mesh_resolution=16)


def stand_in(root: Path, clip: str, parts: int = 1, environments: str = "") -> Database:
    """24 renderings and 12 distractors, made by so many tasks."""
    for part in range(parts):
        config = Config(
            rendering=SMALL, embedded_photographs=24, embedded_distractors=12, seed=3, clip=clip,
            parts=parts, part=part,
        )  # fmt: skip
        run(
            config, photos="", environments=environments, output=root / str(part),
            work=root / f"{part}.work", tracker=NullTracker(),
        )  # fmt: skip
    return Database.open([root / str(part) for part in range(parts)], clip)


def test_the_embedded_database_names_itself_resumes_and_does_not_depend_on_its_parts(
    tmp_path: Path, clip_folder: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    saved = embedding.save_arrays

    def dies(path: Path, arrays: dict[str, np.ndarray]) -> None:
        saved(path, arrays)
        raise KeyboardInterrupt

    monkeypatch.setattr(embedding, "save_arrays", dies)
    with pytest.raises(KeyboardInterrupt):
        stand_in(tmp_path / "a", clip_folder)
    (kept,) = (tmp_path / "a" / "0.work").iterdir()
    time = kept.stat().st_mtime_ns
    monkeypatch.setattr(embedding, "save_arrays", saved)
    first = stand_in(tmp_path / "a", clip_folder)
    assert kept.stat().st_mtime_ns == time
    second = stand_in(tmp_path / "b", clip_folder, parts=2)
    items = range(36)
    assert len(first) == len(second) == 36
    assert first.sources(items) == second.sources(items)
    assert all(source.startswith("embedded:") for source in first.sources(items))
    assert sum("distractor" in source for source in first.sources(items)) == 12
    np.testing.assert_array_equal(first.features[:], second.features[:])
    one, two = dict(first.images(items)), dict(second.images(items))
    assert len({image.tobytes() for image in one.values()}) == 36
    for row in items:
        np.testing.assert_array_equal(one[row], two[row])


def test_light_that_is_not_there_is_the_users_to_mend(tmp_path: Path, clip_folder: str) -> None:
    with pytest.raises(UserError, match="nowhere"):
        stand_in(tmp_path, clip_folder, environments=str(tmp_path / "nowhere"))


def plain_material(size: int) -> Material:
    grey = np.full((size, size), 0.5, np.float32)
    albedo = np.full((size, size, 3), 0.5, np.float32)
    return Material(albedo, grey, grey, np.zeros_like(grey))


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
