"""Artifacts in an object store: whole or absent, checked when fetched; a busy one is waited for."""

from collections.abc import Iterator
from pathlib import Path

import boto3
import pytest
from pydantic import BaseModel

from components.core.errors import UserError
from components.core.platform.archive import ARCHIVE, fetch, keep
from components.core.platform.artifacts import new_artifact, read_manifest
from components.core.platform.stage import execute
from tests.s3 import Store, archive


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    with archive(monkeypatch) as served:
        yield served


class Config(BaseModel):
    """Settings of nothing."""


def artifact(path: Path, text: str = "grids") -> Path:
    with new_artifact(path, "material-grids", "synthetic_data", Config()) as folder:
        (folder / "deep").mkdir()
        (folder / "deep" / "a.txt").write_text(text)
        (folder / "zz.txt").write_text("sorts behind the manifest")
    return path


def test_what_is_kept_comes_back_and_the_manifest_goes_last(store: Store, tmp_path: Path) -> None:
    made = artifact(tmp_path / "made")
    assert not fetch("synthetic_data", "k", tmp_path / "back")
    uri = keep("synthetic_data", "k", made, fresh=True)
    assert uri == "s3://realmat/artifacts/synthetic_data/k"
    puts = [path.rsplit("/", 1)[1] for method, path in store.seen if method == "PUT"]
    assert puts[-1] == "manifest.json"
    assert fetch("synthetic_data", "k", tmp_path / "back")
    assert read_manifest(tmp_path / "back") == read_manifest(made)
    files = {path.name for path in (tmp_path / "back").rglob("*") if path.is_file()}
    assert files == {"a.txt", "zz.txt", "manifest.json"}


def test_a_reused_artifact_is_copied_only_where_it_is_missing(store: Store, tmp_path: Path) -> None:
    made = artifact(tmp_path / "made")
    keep("synthetic_data", "k", made, fresh=False)
    store.seen.clear()
    keep("synthetic_data", "k", made, fresh=False)
    assert {method for method, _ in store.seen} == {"HEAD"}


def test_half_an_upload_and_a_damaged_object_are_no_artifact(store: Store, tmp_path: Path) -> None:
    made = artifact(tmp_path / "made")
    store.refuse = lambda method, path: method == "PUT" and path.endswith("manifest.json")
    with pytest.raises(UserError, match="cannot be written") as refused:
        keep("synthetic_data", "k", made, fresh=True)
    assert "secret of the store" not in str(refused.value)
    store.refuse = lambda method, path: False
    assert not fetch("synthetic_data", "k", tmp_path / "back")
    keep("synthetic_data", "k", made, fresh=True)
    client = boto3.client("s3")
    key = "artifacts/synthetic_data/k/deep/a.txt"
    client.put_object(Bucket="realmat", Key=key, Body=b"other")
    assert not fetch("synthetic_data", "k", tmp_path / "back")
    assert list(tmp_path.iterdir()) == [made]  # nothing half-fetched is left
    keep("synthetic_data", "k", made, fresh=True)
    assert fetch("synthetic_data", "k", tmp_path / "back")


def test_a_busy_store_is_waited_for(store: Store, tmp_path: Path) -> None:
    made = artifact(tmp_path / "made")
    store.refuse = lambda method, path: store.refused < 6
    keep("synthetic_data", "k", made, fresh=True)
    store.refused = 0
    assert fetch("synthetic_data", "k", tmp_path / "back")
    assert store.refused == 6


def test_an_archive_elsewhere_than_s3_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(ARCHIVE, "archive/")
    with pytest.raises(UserError, match="s3://bucket/prefix"):
        fetch("synthetic_data", "k", Path("nowhere"))


def test_another_machine_fetches_a_stage_instead_of_running_it(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    from components.synthetic_data.config import Config as Synthetic

    monkeypatch.setenv("REALMAT_JOURNAL", str(tmp_path / "journal"))
    config = Synthetic(base_materials=16, variations=16, renderings=0, map_size=16, processes=1)
    contents = []
    for machine in ("one", "two"):
        monkeypatch.setenv("REALMAT_STORE", str(tmp_path / machine / "store"))
        output = tmp_path / machine / "output"
        parameters = {"materials": "", "environments": ""}
        execute(
            "synthetic_data", config.model_dump_json(), inputs={}, output=output,
            parameters=parameters,
        )  # fmt: skip
        contents.append(read_manifest(output))
        said = capsys.readouterr().out
        assert ("reused" in said) == (machine == "two")
    assert contents[0] == contents[1]
