"""Photo databases of every kind: what is read, what is set aside, what an interruption costs."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from components.core.errors import UserError
from components.core.materials.photo_chunks import Chunk, chunks_of, decode, following
from components.core.materials.photos import decode_photo
from components.core.platform.config_types import Rendering
from components.core.platform.tracking import NullTracker
from components.photo_embedding import embedding
from components.photo_embedding import stage as stage_module
from components.photo_embedding.config import Config
from components.photo_embedding.stage import run
from components.photo_retrieval.database import Database
from tests.photo_embedding.faults import deadly, silent

SIZE = 32


def picture(number: int) -> bytes:
    rng = np.random.default_rng(number)
    buffer = io.BytesIO()
    Image.fromarray(rng.integers(0, 256, (40, 48, 3), dtype=np.uint8)).save(buffer, "png")
    return buffer.getvalue()


def folder_of(root: Path, count: int) -> Path:
    root.mkdir(parents=True)
    for number in range(count):
        (root / f"{number:03d}.png").write_bytes(picture(number))
    return root


def shard_of(file: Path, numbers: range) -> None:
    with tarfile.open(file, "w") as archive:
        for number in numbers:
            for name, content in ((f"{number:03d}.png", picture(number)), ("a.txt", b"words")):
                member = tarfile.TarInfo(name)
                member.size = len(content)
                archive.addfile(member, io.BytesIO(content))


def embedded(uri: str, clip: str, work: Path, parts: int = 1, batch: int = 5) -> Database:
    """The database at `uri`, made by so many tasks as the pipeline has."""
    for part in range(parts):
        config = Config(
            clip=clip, rendering=Rendering(size=SIZE), batch_size=batch, processes=2,
            parts=parts, part=part,
        )  # fmt: skip
        run(
            config, photos=uri, environments="", output=work / f"part-{part}",
            work=work / f"part-{part}.work", tracker=NullTracker(),
        )  # fmt: skip
    return Database.open([work / f"part-{part}" for part in range(parts)], clip)


def test_folders_and_shards_give_the_same(tmp_path: Path, clip_folder: str) -> None:
    files = folder_of(tmp_path / "files", 12)
    (tmp_path / "shards").mkdir()
    shard_of(tmp_path / "shards" / "0.tar", range(7))
    shard_of(tmp_path / "shards" / "1.tar", range(7, 12))
    first = embedded(str(files), clip_folder, tmp_path / "a")
    second = embedded(str(tmp_path / "shards"), clip_folder, tmp_path / "b")
    np.testing.assert_allclose(first.features[:], second.features[:], atol=1e-3)
    assert first.sources([0, 11]) == ["000.png", "011.png"]
    assert second.sources([0, 11]) == ["0.tar/000.png", "1.tar/011.png"]
    for found in (first, second):
        images = dict(found.images([11, 3, 4]))
        assert sorted(images) == [0, 1, 2]
        for row, number in enumerate((11, 3, 4)):
            expected = decode(Chunk(str(files), (f"{number:03d}.png",)), SIZE).images[0]
            np.testing.assert_array_equal(images[row], expected)


def test_several_places_are_one_database(tmp_path: Path, clip_folder: str) -> None:
    """Of whose images each is named by its address: two of them have the same name."""
    files = folder_of(tmp_path / "files", 7)
    (tmp_path / "shards").mkdir()
    shard_of(tmp_path / "shards" / "0.tar", range(7, 12))
    (tmp_path / "more").mkdir()
    (tmp_path / "more" / "000.png").write_bytes(picture(12))
    (tmp_path / "more" / "cut.png").write_bytes(picture(12)[:90])
    places = [files, tmp_path / "shards", tmp_path / "more", files]
    found = embedded(",".join(map(str, places)), clip_folder, tmp_path / "work", parts=2)
    assert len(found) == 13
    names = [str(files / "000.png"), str(tmp_path / "shards" / "0.tar" / "007.png"),
             str(tmp_path / "more" / "000.png")]  # fmt: skip
    assert found.sources([0, 7, 12]) == names
    assert [row["source"] for row in found.rejected] == [str(tmp_path / "more" / "cut.png")]
    for row, image in found.images([12, 7, 0]):
        np.testing.assert_array_equal(image, decode_photo(picture((12, 7, 0)[row]), SIZE))


def test_a_file_in_place_of_a_folder_is_told(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(picture(0))
    with pytest.raises(UserError, match=r"a\.png: expected a folder of photographs"):
        chunks_of(str(tmp_path / "a.png"), 5)


@pytest.fixture
def s3(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A client of an S3 server that other processes reach too."""
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://{host}:{port}")
    for name, value in (("ACCESS_KEY_ID", "test"), ("SECRET_ACCESS_KEY", "test")):
        monkeypatch.setenv(f"AWS_{name}", value)
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    import boto3

    client = boto3.client("s3")
    client.create_bucket(Bucket="photos")
    yield client
    server.stop()


def test_a_prefix_is_streamed_from_s3(tmp_path: Path, clip_folder: str, s3: Any) -> None:
    for number in range(6):
        s3.put_object(Bucket="photos", Key=f"wood/{number:03d}.png", Body=picture(number))
    s3.put_object(Bucket="photos", Key="wood/note.txt", Body=b"words")
    local = embedded(str(folder_of(tmp_path / "files", 6)), clip_folder, tmp_path / "a")
    remote = embedded("s3://photos/wood", clip_folder, tmp_path / "b")
    np.testing.assert_allclose(local.features[:], remote.features[:], atol=1e-3)
    assert remote.sources(range(6)) == local.sources(range(6))


def test_finished_chunks_are_not_read_again(
    tmp_path: Path, clip_folder: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = folder_of(tmp_path / "files", 14)
    whole = embedded(str(files), clip_folder, tmp_path / "whole")
    saved = embedding.save_arrays
    calls = []

    def dies(path: Path, arrays: dict[str, np.ndarray]) -> None:
        if len(calls) == 2:
            raise KeyboardInterrupt
        calls.append(path)
        saved(path, arrays)

    monkeypatch.setattr(embedding, "save_arrays", dies)
    with pytest.raises(KeyboardInterrupt):
        embedded(str(files), clip_folder, tmp_path / "work")
    monkeypatch.setattr(embedding, "save_arrays", saved)
    times = {path: path.stat().st_mtime_ns for path in calls}
    resumed = embedded(str(files), clip_folder, tmp_path / "work")
    assert {path: path.stat().st_mtime_ns for path in calls} == times
    np.testing.assert_array_equal(resumed.features[:], whole.features[:])


def test_damaged_files_and_shards_are_set_aside(tmp_path: Path, clip_folder: str) -> None:
    files = folder_of(tmp_path / "files", 6)
    (files / "text.png").write_text("not an image")
    shard_of(files / "good.tar", range(6, 9))
    shard_of(files / "cut.tar", range(9, 12))
    content = (files / "cut.tar").read_bytes()
    (files / "cut.tar").write_bytes(content[: len(content) // 2])
    found = embedded(str(files), clip_folder, tmp_path / "work")
    names = {row["source"] for row in found.rejected}
    assert "text.png" in names
    assert any(name.startswith("cut.tar") for name in names)
    assert all(row["reason"] for row in found.rejected)
    assert len(found) >= 9
    # The images before the damage can be read again.
    assert len(dict(found.images(range(len(found))))) == len(found)
    found.check(0.5)
    with pytest.raises(UserError, match=r"cannot be used.*rejected_share"):
        found.check(0.01)


@pytest.mark.parametrize("where", ["files", "shard"])
def test_an_image_that_kills_its_process_is_set_aside_alone(
    tmp_path: Path, clip_folder: str, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    files = folder_of(tmp_path / "files", 12)
    if where == "shard":
        (tmp_path / "shard").mkdir()
        files = tmp_path / "shard"
        shard_of(files / "0.tar", range(12))
    monkeypatch.setattr(stage_module, "decoder", deadly)
    found = embedded(str(files), clip_folder, tmp_path / "work")
    prefix = "0.tar/" if where == "shard" else ""
    assert [row["source"] for row in found.rejected] == [f"{prefix}007.png"]
    assert "exit code 3" in found.rejected[0]["reason"]
    assert found.sources(range(11)) == [f"{prefix}{n:03d}.png" for n in range(12) if n != 7]


def test_no_more_images_than_a_batch_are_decoded_at_a_time(
    tmp_path: Path, clip_folder: str
) -> None:
    (tmp_path / "shards").mkdir()
    shard_of(tmp_path / "shards" / "0.tar", range(13))
    first = chunks_of(str(tmp_path / "shards"), 5)
    assert len(first) == 1
    sizes, chunk = [], first[0]
    while True:
        decoded = decode(chunk, SIZE)
        sizes.append(len(decoded.images))
        if not decoded.rest:
            break
        chunk = following(chunk, decoded.rest)
    assert sizes == [5, 5, 3]
    found = embedded(str(tmp_path / "shards"), clip_folder, tmp_path / "work")
    pieces = sorted((tmp_path / "work" / "part-0.work").iterdir(), key=lambda file: file.stem)
    assert [len(np.load(piece)["names"]) for piece in pieces] == sizes
    assert found.sources(range(13)) == [f"0.tar/{n:03d}.png" for n in range(13)]
    images = dict(found.images([12, 0]))
    for row, number in enumerate((12, 0)):
        np.testing.assert_array_equal(images[row], decode_photo(picture(number), SIZE))


def test_a_store_that_does_not_answer_makes_no_file_unusable(
    tmp_path: Path, clip_folder: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = folder_of(tmp_path / "files", 12)
    whole = embedded(str(files), clip_folder, tmp_path / "whole")
    with monkeypatch.context() as outage:
        outage.setattr(stage_module, "decoder", silent)
        with pytest.raises(UserError, match="does not answer"):
            embedded(str(files), clip_folder, tmp_path / "work")
    found = embedded(str(files), clip_folder, tmp_path / "work")
    assert found.rejected == []
    np.testing.assert_array_equal(found.features[:], whole.features[:])


@pytest.mark.parametrize("parts", [2, 3, 7])
def test_the_database_does_not_depend_on_how_many_tasks_embed_it(
    tmp_path: Path, clip_folder: str, parts: int
) -> None:
    files = folder_of(tmp_path / "files", 17)  # four chunks: seven tasks are more than there are
    (files / "text.png").write_text("not an image")
    shard_of(files / "more.tar", range(17, 23))
    one = embedded(str(files), clip_folder, tmp_path / "one")
    many = embedded(str(files), clip_folder, tmp_path / "many", parts)
    assert len(many) == len(one) == 23
    np.testing.assert_array_equal(many.features[:], one.features[:])
    items = [22, 0, 16, 17, 5]
    np.testing.assert_array_equal(many.features[items], one.features[:][items])
    assert many.sources(items) == one.sources(items)
    assert many.rejected == one.rejected
    first, second = dict(one.images(items)), dict(many.images(items))
    for row in range(len(items)):
        np.testing.assert_array_equal(first[row], second[row])


def test_photographs_that_vanish_are_named(tmp_path: Path, clip_folder: str) -> None:
    files = folder_of(tmp_path / "files", 6)
    found = embedded(str(files), clip_folder, tmp_path / "work")
    (files / "003.png").unlink()
    assert len(dict(found.images([0, 5]))) == 2
    with pytest.raises(UserError, match=r"003\.png was there"):
        dict(found.images([0, 3]))


def test_chunks_are_small_and_in_order(tmp_path: Path) -> None:
    files = folder_of(tmp_path / "files", 7)
    (files / ".hidden.png").write_bytes(picture(0))
    names = [chunk.names for chunk in chunks_of(str(files), 3)]
    assert [len(part) for part in names] == [3, 3, 1]
    assert [name for part in names for name in part] == [f"{n:03d}.png" for n in range(7)]
    with pytest.raises(UserError, match="no image found"):
        (tmp_path / "empty").mkdir()
        chunks_of(str(tmp_path / "empty"), 3)
