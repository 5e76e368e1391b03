"""How a study is laid out, and what its media give away: nothing."""

import io
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, PngImagePlugin

from apps.study.database import Database
from apps.study.design import BROKEN, INTACT, Comparison, Design, create, plan
from apps.study.media import read_frames, store
from apps.study.schema import Item, Medium, Survey
from apps.study.sources import from_folders
from components.core.errors import UserError
from components.core.materials.files import save_material
from components.core.materials.library.catalogue import sample
from components.core.rendering.environments import Environment
from components.core.rendering.scene import Renderer
from tests.apps.studies import comparisons, frames_of, make_study


def test_the_papers_studies() -> None:
    pairs = plan(421, Design(per_survey=20, catch_share=0, repeat_share=0))
    assert len(pairs) == 21  # section 6.2
    plain = [[item.pair for item in items if item.kind == "plain"] for items in pairs]
    assert {len(one) for one in plain} == {20, 21}
    assert sorted(pair for one in plain for pair in one) == list(range(421))
    assert len(plan(1100, Design(per_survey=10))) == 110  # section 6.4


def test_every_sub_survey_has_practice_catch_trials_and_repeats_of_its_own() -> None:
    for items in plan(421, Design()):
        kinds = Counter(item.kind for item in items)
        assert (kinds["practice"], kinds["catch"], kinds["repeat"]) == (1, 2, 1)
        assert items[0].kind == "practice"
        for item in items:
            if item.kind == "repeat":
                assert item.repeats is not None
                assert items[item.repeats].kind == "plain"
                assert items[item.repeats].pair == item.pair


def test_a_study_in_the_database(database: Database, tmp_path: Path) -> None:
    make_study(database, tmp_path / "media", 8)
    with database.session() as session:
        assert session.query(Survey).count() == 2
        items = session.query(Item).all()
        media = {medium.id: medium for medium in session.query(Medium)}
    for item in items:
        names = (
            {INTACT, f"{BROKEN}1"} if item.kind in ("catch", "practice") else {"after", "before"}
        )
        assert set(item.media) == names
        assert item.answer == (INTACT if item.kind in ("catch", "practice") else "")
    assert {medium.file for medium in media.values()} == {
        path.name for path in (tmp_path / "media").iterdir()
    }


def test_a_medium_tells_nothing_but_its_pixels(tmp_path: Path) -> None:
    told = PngImagePlugin.PngInfo()
    told.add_text("prompt", "made by method before")
    Image.fromarray(np.full((60, 80, 3), 99, np.uint8)).save(tmp_path / "before.png", pnginfo=told)
    frames = read_frames(tmp_path / "before.png", 48)
    assert frames.shape == (1, 48, 48, 3)
    kept = store(frames, tmp_path / "store")
    content = (tmp_path / "store" / kept.file).read_bytes()
    assert b"before" not in content
    assert Image.open(io.BytesIO(content)).info == {}
    assert "before" not in kept.file
    assert (tmp_path / "store" / kept.file).stat().st_mtime == 0
    assert store(frames, tmp_path / "store").id != kept.id


def test_loops_stay_loops_and_still_pictures_cannot_stand_beside_them(
    database: Database, tmp_path: Path
) -> None:
    create(database, tmp_path / "media", "loops", comparisons(2, frames=5), Design(per_survey=2))
    with database.session() as session:
        shown = [i.media["after"] for i in session.query(Item).all() if i.kind == "plain"]
    for medium in shown:
        with Image.open(tmp_path / "media" / f"{medium}.webp") as image:
            assert (image.n_frames, image.info["loop"]) == (5, 0)
    mixed = {**frames_of(0, ("after",), 5), **frames_of(0, ("before",), 1)}
    with pytest.raises(UserError, match="different numbers of frames"):
        create(database, tmp_path / "media", "mixed", [Comparison("p", "x", "", lambda: mixed)])


@pytest.mark.parametrize(
    ("name", "count", "methods", "sentence"),
    [
        ("../up", 2, ("a", "b"), "cannot name a study"),
        ("", 2, ("a", "b"), "cannot name a study"),
        ("none", 0, ("a", "b"), "nothing to compare"),
        ("one", 2, ("a",), "give two methods"),
        ("one", 2, ("a", "similar"), "give two methods"),
        ("one", 2, ("a", "b" * 65), "64 characters at most"),
    ],
)
def test_what_makes_no_study(
    tmp_path: Path, name: str, count: int, methods: tuple[str, ...], sentence: str
) -> None:
    database = Database.open(f"sqlite:///{tmp_path / 'study.db'}")
    with pytest.raises(UserError, match=sentence):
        make_study(database, tmp_path / "media", count, methods, name)
    database.close()


def test_a_name_is_taken_once(database: Database, tmp_path: Path) -> None:
    make_study(database, tmp_path / "media")
    with pytest.raises(UserError, match="already a study"):
        make_study(database, tmp_path / "media")


def test_folders_of_pictures_and_of_materials(tmp_path: Path) -> None:
    light = Environment("white", np.ones((8, 16, 3), np.float32))
    for number, method in enumerate(("ours", "theirs")):
        folder = tmp_path / method
        folder.mkdir()
        Image.fromarray(frames_of(number, ("x",), 1)["x"][0]).save(folder / "red-brick.png")
        save_material(sample("wood", np.random.default_rng(number), 16), folder / "oak")
    (tmp_path / "ours" / "only-here.png").write_bytes(b"")
    (tmp_path / "theirs" / "prompts.json").write_text('{"oak": "polished oak"}')
    found = from_folders(
        {name: tmp_path / name for name in ("ours", "theirs")}, Renderer(16, 1, 8), [light]
    )
    assert [(one.pair, one.prompt) for one in found] == [
        ("oak", "polished oak"), ("red-brick", "red brick"),
    ]  # fmt: skip
    loop, still = (one.frames() for one in found)
    assert {frames.shape[0] for frames in loop.values()} == {60}
    assert {frames.shape for frames in still.values()} == {(1, 384, 384, 3)}
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="no entry of the same name"):
        from_folders({"ours": tmp_path / "ours", "none": tmp_path / "empty"}, Renderer(16), [light])
