"""Sources that cannot work are told before the first stage, in one sentence."""

import re
import tarfile
from pathlib import Path

import pytest
from PIL import Image

from components.core.errors import UserError
from components.sdxl_finetune.config import Config
from pipelines.local import Sources, run_local
from pipelines.preflight import check_sources
from pipelines.preflight_memory import check_memory
from pipelines.recipe import load_recipe


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with files, none of which is an image, an environment or a material."""
    folder = tmp_path / "given"
    (folder / "inner").mkdir(parents=True)
    (folder / "inner" / "notes.txt").write_text("no picture")
    return folder


@pytest.mark.parametrize(
    ("source", "complaint"),
    [
        ("photos", "no image found"),
        ("environments", "no environment found"),
        ("materials", "no material found"),
    ],
)
def test_a_folder_without_anything_usable_stops_the_run_before_it_writes(
    folder: Path, tmp_path: Path, source: str, complaint: str
) -> None:
    output = tmp_path / "run"
    with pytest.raises(UserError, match=complaint):
        run_local(load_recipe("smoke"), output, Sources(**{source: str(folder)}))
    assert not output.exists()


def test_a_truncated_environment_is_named(folder: Path) -> None:
    (folder / "sky.hdr").write_bytes(
        b"#?RADIANCE\nFORMAT=32-bit_rle_rgbe\n\n-Y 64 +X 128\n\x02\x02"
    )
    with pytest.raises(UserError, match=r"sky\.hdr"):
        check_sources("", str(folder), "")


def test_a_catalogues_address_is_checked_without_asking_the_catalogue() -> None:
    check_sources("", "polyhaven://200?resolution=2k", "ambientcg://500,matsynth://4000")
    with pytest.raises(UserError, match="no address of a catalogue"):
        check_sources("", "polyhaven://many", "")


def test_a_missing_folder_is_told(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="nowhere does not exist"):
        check_sources("", "", str(tmp_path / "nowhere"))
    with pytest.raises(UserError, match="nowhere does not exist"):
        check_sources("", "", f"matsynth://40,{tmp_path / 'nowhere'}")
    with pytest.raises(UserError, match="nowhere does not exist"):
        check_sources(f"{tmp_path / 'nowhere'},s3://photos", "", "")
    with pytest.raises(UserError, match="nowhere does not exist"):
        check_sources("", f"polyhaven://40,{tmp_path / 'nowhere'}", "")


def test_usable_folders_and_embedded_data_pass(folder: Path) -> None:
    check_sources("", "", "")
    Image.new("RGB", (64, 64), (120, 60, 40)).save(folder / "inner" / "albedo.png")
    check_sources(str(folder), "", str(folder))
    shards = folder.parent / "shards"
    shards.mkdir()
    with tarfile.open(shards / "0.tar", "w") as archive:
        archive.add(folder / "inner" / "albedo.png", "a.png")
    check_sources(f"{folder},{shards}", "", "")


@pytest.fixture
def two_gpus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine whose nvidia-smi knows two GPUs, one of them with 2 GiB."""
    tool = tmp_path / "bin" / "nvidia-smi"
    tool.parent.mkdir()
    tool.write_text("#!/bin/sh\necho 'NVIDIA Tiny, 2048'\necho 'NVIDIA Large, 81559'\n")
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tool.parent}:/usr/bin:/bin")


@pytest.mark.usefixtures("two_gpus")
def test_a_training_that_does_not_fit_is_told_with_what_would() -> None:
    """What it says fits is found to fit."""

    def config(**changes: object) -> Config:
        given = {"batch_size": 512, "micro_batch_size": 256, "device": "cuda", **changes}
        return Config.model_validate(given)

    with pytest.raises(UserError, match=r"NVIDIA Tiny has 1\.8 GiB .* micro_batch_size=") as error:
        check_memory(config())
    found = dict(
        re.findall(r"(zero_stage|micro_batch_size|gradient_checkpointing)=(\w+)", str(error.value))
    )
    check_memory(config(**found))
    check_memory(config(device="cpu"))
    with pytest.raises(UserError, match="processes is 4, but this machine has 2 GPUs"):
        check_memory(config(processes=4, micro_batch_size=1))


def test_streaming_without_an_archive_stops_the_run_before_it_writes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("REALMAT_ARCHIVE", raising=False)
    recipe = load_recipe("smoke", ["sdxl_finetune.stream_cache=true"])
    with pytest.raises(UserError, match="stream_cache needs an archive: set REALMAT_ARCHIVE"):
        run_local(recipe, tmp_path / "run", Sources())
    assert not (tmp_path / "run").exists()
