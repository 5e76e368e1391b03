"""Images of a run: pinned by the digests of an overlay, or refused."""

from pathlib import Path

import pytest
import yaml

from components.core.errors import UserError
from pipelines.cli import main
from pipelines.image_digests import require_digests, take_digests
from pipelines.recipe import load_recipe

PIPELINE, TRAIN = f"sha256:{'1' * 64}", f"sha256:{'2' * 64}"


def overlay(folder: Path, **digests: str) -> Path:
    images = [
        {"name": name.replace("_", "-"), "newName": f"r.example:5000/{name}", "digest": digest}
        for name, digest in digests.items()
    ]
    (folder / "kustomization.yaml").write_text(yaml.safe_dump({"images": images}))
    return folder


def test_a_compiled_run_has_the_digests_that_the_services_have(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = overlay(tmp_path, realmat_pipeline=PIPELINE, realmat_train=TRAIN)
    file = tmp_path / "paper.yaml"
    assert main(["compile", "paper", "--images", str(folder), "-o", str(file)]) == 0
    document = next(yaml.safe_load_all(file.read_text()))
    executors = document["deploymentSpec"]["executors"].values()
    assert {one["container"]["image"] for one in executors} == {
        f"r.example:5000/realmat_pipeline@{PIPELINE}", f"r.example:5000/realmat_train@{TRAIN}",
    }  # fmt: skip
    require_digests(take_digests(load_recipe("paper"), folder))
    assert "warning" not in capsys.readouterr().err


def test_compiling_tags_is_warned_of_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["compile", "paper", "-o", str(tmp_path / "paper.yaml")]) == 0
    printed = capsys.readouterr()
    assert printed.out == f"{tmp_path / 'paper.yaml'}\n"
    (line,) = (line for line in printed.err.splitlines() if "warning" in line)
    assert "cluster.image is 'realmat-pipeline:0.1.0', which is not pinned by digest" in line
    assert "--images" in line


def test_one_image_for_all_stages_needs_one_digest(tmp_path: Path) -> None:
    recipe = load_recipe("paper", ["cluster.training_image=''"])
    taken = take_digests(recipe, overlay(tmp_path, realmat_pipeline=PIPELINE))
    require_digests(taken)
    assert taken.cluster.training_image == ""


@pytest.mark.parametrize(
    "images",
    [
        "realmat-pipeline:0.1.0",
        "r.example/realmat-pipeline@sha256:123",
        f"r.example/realmat-pipeline@sha256:{'0' * 64}",  # an overlay that nobody has filled in
    ],
)
def test_what_no_registry_can_be_held_to_is_refused_in_one_sentence(
    images: str, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["submit", "paper", "--host", "http://127.0.0.1:9", "--set"]
    assert main([*arguments, f"cluster.image={images}"]) == 2
    said = capsys.readouterr().err
    assert f"cluster.image is '{images}', which is not pinned by digest" in said
    assert "--images" in said
    assert "--allow-tags" in said


def test_a_wrong_overlay_is_said(tmp_path: Path) -> None:
    recipe = load_recipe("paper")
    with pytest.raises(UserError, match="cannot be read"):
        take_digests(recipe, tmp_path / "nowhere")
    with pytest.raises(UserError, match=r"pins no image 'realmat-train', which .*training_image"):
        take_digests(recipe, overlay(tmp_path, realmat_pipeline=PIPELINE))
    (tmp_path / "kustomization.yaml").write_text("resources: []")
    with pytest.raises(UserError, match="has no `images:`"):
        take_digests(recipe, tmp_path)
