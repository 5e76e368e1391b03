"""Sources that cannot work are told before the first stage, in one sentence."""

from pathlib import Path

import pytest
from PIL import Image

from components.core.errors import UserError
from pipelines.local import Sources, run_local
from pipelines.preflight import check_sources
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
    check_sources("", "polyhaven://200?resolution=2k", "ambientcg://500")
    with pytest.raises(UserError, match="no address of a catalogue"):
        check_sources("", "polyhaven://many", "")


def test_a_missing_folder_is_told(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="does not exist"):
        check_sources("", "", str(tmp_path / "nowhere"))


def test_usable_folders_and_embedded_data_pass(folder: Path) -> None:
    check_sources("", "", "")
    Image.new("RGB", (64, 64), (120, 60, 40)).save(folder / "inner" / "albedo.png")
    check_sources(str(folder), "", str(folder))
