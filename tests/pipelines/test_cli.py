"""The command line: help with examples, sentences and exit codes for bad input."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from components.core.errors import UserError
from components.core.materials.files import save_material
from components.core.materials.material import Material
from components.core.platform.storage import addresses
from pipelines.arguments import sources_of
from pipelines.cli import main, parser
from pipelines.local import locked
from pipelines.recipe import load_recipe

COMMANDS = (
    "run", "plan", "compile", "submit", "generate", "render", "score", "library", "serve", "doctor",
)  # fmt: skip


@pytest.fixture(autouse=True)
def _no_registry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REALMAT_RUNS", str(tmp_path / "runs"))
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)


@pytest.fixture
def brick(tmp_path: Path) -> Path:
    grey = np.full((16, 16), 0.5, np.float32)
    albedo = np.full((16, 16, 3), 0.5, np.float32)
    save_material(Material(albedo, grey, grey, np.zeros_like(grey)), tmp_path / "brick")
    return tmp_path / "brick"


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help_with_an_example(
    command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stop:
        main([command, "--help"])
    assert stop.value.code == 0
    assert f"example: realmat {command}" in " ".join(capsys.readouterr().out.split())


@pytest.mark.parametrize("command", COMMANDS)
def test_the_examples_are_understood(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    import shlex

    with pytest.raises(SystemExit):
        main([command, "--help"])
    example = " ".join(capsys.readouterr().out.split()).split("example: realmat ")[1]
    assert parser().parse_args(shlex.split(example)).command == command


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        ("run labtop", "did you mean 'laptop'"),
        ("run smoke --set ddpo_lora.epoch=3", "did you mean 'ddpo_lora.epochs'"),
        ("run smoke --until ddpo", "--until ddpo names no stage"),
        ("run smoke --photos {tmp}/nowhere", "nowhere does not exist"),
        ("run smoke --output {tmp}/file", "cannot be written"),
        ("compile smoke -o {tmp}/p.txt", "must end in .yaml"),
        ("submit smoke --host http://localhost:1 --photos {tmp}", "local path"),
        ("submit smoke --host http://localhost:1 --photos s3://a --photos {tmp}", "local path"),
        ("generate '' -o {tmp}/out", "prompt is empty"),
        ("generate {long} -o {tmp}/out", "characters"),
        ("generate brick -o {tmp}/out", "No champion is registered"),
        ("generate brick --model {tmp} -o {tmp}/out", "holds no model"),
        ("generate brick -n 0 -o {tmp}/out", "whole number from 1"),
        ("generate brick --format obj -o {tmp}/out", "invalid choice"),
        ("render {tmp}/nowhere -o {tmp}/x.png", "nowhere"),
        ("render {tmp} -o {tmp}/x.png", "albedo"),
        ("render {tmp}/brick -o {tmp}/x.bmp", ".exr"),
        ("render {tmp}/brick -o {tmp}/x.gif", "add --point-light"),
        ("render {tmp}/brick --sphere --point-light -o {tmp}/x.png", "--sphere"),
        ("library -o {tmp}/x.txt", "must end in"),
        ("library --environment {tmp}/cut.hdr -o {tmp}/x.png", "cut.hdr"),
        ("render {tmp}/brick --environment {tmp}/no.hdr -o {tmp}/x.png", "no.hdr"),
        ("render {tmp}/brick --environment {tmp}/cut.hdr -o {tmp}/x.png", "cut.hdr"),
        ("render {tmp}/brick --environment {tmp}/file -o {tmp}/x.png", "file"),
        ("render {tmp}/brick --size 3 -o {tmp}/x.png", "whole number"),
        ("score {tmp}/nowhere.png", "nowhere.png"),
        ("score {tmp}/file", "not an image"),
        ("score", "IMAGE"),
        ("serve --port 0", "whole number"),
        ("serve", "No champion is registered"),
        ("paint", "invalid choice"),
    ],
)
def test_bad_input_is_one_sentence_and_exit_code_2(
    arguments: str, part: str, tmp_path: Path, brick: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("text")
    (tmp_path / "cut.hdr").write_bytes(b"#?RADIANCE\nFORMAT=32-bit_rle_rgbe\n\n-Y 64 +X 128\n\x02")
    before = {path for path in tmp_path.rglob("*") if path.is_file()}
    words = [
        {"''": "", "{long}": "a" * 10_000}.get(word, word.replace("{tmp}", str(tmp_path)))
        for word in arguments.split()
    ]
    try:
        code = main(words)
    except SystemExit as stop:
        code = int(str(stop.code))
    told = capsys.readouterr().err.strip()
    assert code == 2
    assert part in told
    assert len(told.splitlines()) == 1
    assert told.startswith("realmat: ")
    assert {path for path in tmp_path.rglob("*") if path.is_file()} == before


def test_an_output_folder_belongs_to_one_run_at_a_time(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with locked(tmp_path):
        assert main(["run", "smoke", "--output", str(tmp_path)]) == 2
    assert "Another run is writing" in capsys.readouterr().err


def test_render_writes_srgb_and_linear(brick: Path, tmp_path: Path) -> None:
    from PIL import Image

    small = ["--size", "16", "--spp", "4"]
    assert main(["render", str(brick), *small, "-o", str(tmp_path / "a.png")]) == 0
    assert main(["render", str(brick), *small, "-o", str(tmp_path / "a.exr")]) == 0
    assert main(["render", str(brick), *small, "--point-light", "-o", str(tmp_path / "b.png")]) == 0
    assert Image.open(tmp_path / "a.png").size == (16, 16)
    assert (tmp_path / "a.exr").read_bytes()[:4] == b"\x76\x2f\x31\x01"
    assert (tmp_path / "a.png").read_bytes() != (tmp_path / "b.png").read_bytes()


def test_an_item_of_a_catalogue_can_be_rendered(
    brick: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """It has a material.json beside maps with the names of their library."""
    item = tmp_path / "red_wall"
    item.mkdir()
    shutil.copyfile(brick / "albedo.png", item / "red_wall_diff_1k.png")
    shutil.copyfile(brick / "height.png", item / "red_wall_disp_1k.png")
    (item / "material.json").write_text('{"caption": "red wall", "category": "brick"}')
    assert main(["render", str(item), "--size", "16", "--spp", "1", "-o", f"{item}.png"]) == 0
    assert "no roughness map, so a default is used" in capsys.readouterr().err


def test_render_makes_loops_and_spheres(brick: Path, tmp_path: Path) -> None:
    from PIL import Image

    small = ["--size", "16", "--spp", "1"]
    assert (
        main(["render", str(brick), *small, "--point-light", "-o", str(tmp_path / "l.webp")]) == 0
    )
    assert main(["render", str(brick), *small, "--sphere", "-o", str(tmp_path / "s.png")]) == 0
    assert Image.open(tmp_path / "l.webp").n_frames == 60
    assert Image.open(tmp_path / "s.png").mode == "RGBA"


def test_the_library_is_shown_with_every_category(tmp_path: Path) -> None:
    from PIL import Image

    file = tmp_path / "library.png"
    assert main(["library", "--size", "32", "--spp", "1", "-o", str(file)]) == 0
    sheet = np.asarray(Image.open(file))
    assert sheet.shape == (2 * (24 + 3 * 32), 8 * 32, 3)
    blocks = sheet.reshape(2, 120, 8, 32, 3).transpose(0, 2, 1, 3, 4).reshape(16, -1)
    assert len(np.unique(blocks, axis=0)) == 16
    assert blocks.std(axis=1).min() > 5


def test_doctor_tells_in_json_what_works(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "volume"))
    monkeypatch.delenv("HF_HOME", raising=False)
    monkeypatch.setenv("DRJIT_CACHE_DIR", str(tmp_path / "kernels"))
    main(["doctor", "--json"])
    checks = {check["name"]: check for check in json.loads(capsys.readouterr().out)["checks"]}
    assert {"python", "llvm", "gpu", "memory", "disk", "champion", "mlflow"} <= set(checks)
    assert checks["python"]["state"] == "ok"
    assert "make demo" in checks["champion"]["mend"]
    for name, place in {
        "cache": "volume", "cache of Hugging Face": "volume/huggingface",
        "cache of the renderer": "kernels",
    }.items():  # fmt: skip
        assert checks[name]["detail"].startswith(f"{tmp_path / place}, ")


def test_doctor_names_a_renderer_that_does_not_load(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def select() -> str:
        raise UserError("Mitsuba cannot be loaded (libatomic.so.1): install it.")

    monkeypatch.setattr("components.core.rendering.variant.select_variant", select)
    assert main(["doctor", "--json"]) == 1
    checks = {check["name"]: check for check in json.loads(capsys.readouterr().out)["checks"]}
    assert checks["mitsuba"]["state"] == "broken"
    assert "libatomic" in checks["mitsuba"]["detail"]


@pytest.mark.parametrize("source", ["photos", "environments", "materials"])
def test_a_source_may_be_several_places(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "own, old").mkdir()
    given = parser().parse_args(
        ["run", "smoke", f"--{source}", "own, old", f"--{source}", "matsynth://40"]
    )
    recipe = load_recipe("smoke")
    uri = getattr(sources_of(given, recipe), source)
    assert addresses(uri) == [str(tmp_path / "own, old"), "matsynth://40"]
    assert getattr(sources_of(parser().parse_args(["run", "smoke"]), recipe), source) == ""
    lights = ["shared.environments=polyhaven://200"]
    usual = sources_of(parser().parse_args(["run", "smoke"]), load_recipe("smoke", lights))
    assert usual.environments == "polyhaven://200"
