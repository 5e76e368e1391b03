"""Local and S3 addresses become local paths; listings tell when files changed."""

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from components.core.errors import UserError
from components.core.materials.shards import Sample, stream, write_shard
from components.core.platform.storage import (
    addresses,
    fingerprint,
    local_path,
    open_stream,
    upload,
)


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    from moto import mock_aws

    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    with mock_aws():
        import boto3

        boto3.client("s3").create_bucket(Bucket="photos")
        yield "s3://photos/wood"


def test_local_addresses(tmp_path: Path) -> None:
    folder = tmp_path / "with space"
    folder.mkdir()
    assert local_path(str(folder)) == folder
    assert local_path(folder.as_uri()) == folder
    for uri, part in ((str(tmp_path / "no"), "does not exist"), ("ftp://x/y", "s3://")):
        with pytest.raises(UserError, match=part):
            local_path(uri)


def test_a_fingerprint_follows_names_sizes_and_times(tmp_path: Path) -> None:
    file = tmp_path / "a.png"
    file.write_text("a")
    before = fingerprint(str(tmp_path))
    assert fingerprint(tmp_path.as_uri()) == before
    os.utime(file, (1, 1))
    touched = fingerprint(str(tmp_path))
    file.rename(tmp_path / "b.png")
    assert len({before, touched, fingerprint(str(tmp_path)), fingerprint("")}) == 4


def test_s3_round_trip_and_cache(bucket: str, tmp_path: Path) -> None:
    source = tmp_path / "source"
    (source / "deep").mkdir(parents=True)
    (source / "deep" / "a.txt").write_text("one")
    upload(source, bucket)
    before = fingerprint(bucket)
    folder = local_path(bucket, cache=tmp_path / "cache")
    assert (folder / "deep" / "a.txt").read_text() == "one"
    inode = (folder / "deep" / "a.txt").stat().st_ino
    assert local_path(bucket, cache=tmp_path / "cache") == folder
    assert (folder / "deep" / "a.txt").stat().st_ino == inode
    (source / "deep" / "a.txt").write_text("two")
    upload(source, bucket)
    assert fingerprint(bucket) != before
    assert (local_path(bucket, cache=tmp_path / "cache") / "deep" / "a.txt").read_text() == "two"


def test_an_empty_s3_prefix_is_a_user_error(bucket: str) -> None:
    with pytest.raises(UserError, match="holds no file"):
        fingerprint(bucket)
    with pytest.raises(UserError, match="cannot be listed"):
        fingerprint("s3://no-such-bucket/x")


def test_a_catalogues_address_is_its_own_fingerprint() -> None:
    assert fingerprint("polyhaven://120") == fingerprint("polyhaven://120")
    assert fingerprint("polyhaven://120") != fingerprint("polyhaven://120?seed=1")


def test_shards_are_streamed_from_s3_as_from_disk(bucket: str, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    samples = [
        Sample(f"{i:08d}", rng.integers(0, 256, (8, 8, 3), np.uint8), {"caption": f"brick {i}"})
        for i in range(5)
    ]
    (tmp_path / "shards").mkdir()
    write_shard(tmp_path / "shards" / "00000.tar", samples)
    upload(tmp_path / "shards", bucket)
    for uri in (f"{bucket}/00000.tar", str(tmp_path / "shards" / "00000.tar")):
        with open_stream(uri) as opened:
            found = list(stream(opened))
        assert [sample.key for sample in found] == [sample.key for sample in samples]
        assert [sample.words for sample in found] == [sample.words for sample in samples]
        for one, other in zip(found, samples, strict=True):
            np.testing.assert_array_equal(one.grid, other.grid)
    with pytest.raises(UserError, match="cannot be read"):
        open_stream(f"{bucket}/00009.tar")


def test_several_addresses_are_told_from_names_with_commas(tmp_path: Path) -> None:
    odd, plain = tmp_path / "a,/b", tmp_path / "c"
    for folder in (odd, plain):
        folder.mkdir(parents=True)
    assert addresses("") == []
    assert addresses(str(odd)) == [str(odd)]
    assert addresses(f"{plain},{plain}/x, y") == [str(plain), f"{plain}/x, y"]
    assert addresses("s3://bucket/a,b") == ["s3://bucket/a,b"]
    both = f"matsynth://4000?size=1024, ambientcg://500,{plain}"
    assert addresses(both) == ["matsynth://4000?size=1024", "ambientcg://500", str(plain)]
    before = fingerprint(both)
    (plain / "albedo.png").write_bytes(b"a")
    assert fingerprint(both) != before
    assert fingerprint("ambientcg://500,matsynth://40") != fingerprint("ambientcg://500")
