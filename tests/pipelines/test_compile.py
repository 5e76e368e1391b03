"""The compiled pipeline: its shape, its resources, and what compiling imports."""

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from components.core.errors import UserError
from pipelines.cluster import compile_pipeline
from pipelines.local import truncate
from pipelines.recipe import STAGES, load_recipe

IMAGE = "example.org/realmat@sha256:0"
COMPILE = """
import sys
from pathlib import Path
import pipelines.cli
from pipelines.cluster import compile_pipeline
from pipelines.recipe import load_recipe, names
for name in names():
    recipe = load_recipe(name, ["cluster.image=IMAGE"])
    compile_pipeline(recipe, Path(sys.argv[1]) / f"{name}.yaml")
heavy = "torch diffusers transformers mitsuba drjit mlflow gradio deepspeed open_clip".split()
print([name for name in heavy if name in sys.modules])
""".replace("IMAGE", IMAGE)


@pytest.fixture(scope="module")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """All recipes compiled in a fresh process, and the heavy modules which that imported."""
    folder = tmp_path_factory.mktemp("compiled")
    done = subprocess.run(
        [sys.executable, "-c", COMPILE, str(folder)],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return folder, done.stdout.strip()


def tasks_of(path: Path) -> dict[str, Any]:
    """Tasks by name, those of loops in place of the loops."""
    document = yaml.safe_load(path.read_text())
    found: dict[str, Any] = {}
    for name, task in document["root"]["dag"]["tasks"].items():
        component = document["components"][task["componentRef"]["name"]]
        found |= component["dag"]["tasks"] if "dag" in component else {name: task}
    return found


def test_compiling_imports_nothing_heavy(compiled: tuple[Path, str]) -> None:
    assert compiled[1] == "[]"


def test_every_recipe_compiles_to_all_stages(compiled: tuple[Path, str]) -> None:
    assert {path.name for path in compiled[0].iterdir()} >= {
        "smoke.yaml",
        "laptop.yaml",
        "paper.yaml",
    }
    for path in compiled[0].iterdir():
        assert set(tasks_of(path)) == {stage.replace("_", "-") for stage in STAGES}


def test_independent_branches_are_not_chained(compiled: tuple[Path, str]) -> None:
    tasks = tasks_of(compiled[0] / "paper.yaml")
    assert "dependentTasks" not in tasks["photo-retrieval"]
    assert "dependentTasks" not in tasks["synthetic-data"]
    assert tasks["material-sampling"]["dependentTasks"] == ["sdxl-finetune"]
    assert not any(task["cachingOptions"].get("enableCache") for task in tasks.values())


def test_resources_and_image_come_from_the_recipe(compiled: tuple[Path, str]) -> None:
    document = yaml.safe_load((compiled[0] / "paper.yaml").read_text())
    executors = document["deploymentSpec"]["executors"]
    containers = {name: executor["container"] for name, executor in executors.items()}
    assert {container["image"] for container in containers.values()} == {IMAGE}
    accelerator = containers["exec-ddpo-lora"]["resources"]["accelerator"]
    assert accelerator["resourceCount"] == "8"
    assert accelerator["resourceType"] == "nvidia.com/gpu"
    assert "accelerator" not in containers["exec-synthetic-data"]["resources"]


def test_tasks_share_the_shards_and_all_of_them_are_trained_on(
    compiled: tuple[Path, str],
) -> None:
    document = yaml.safe_load((compiled[0] / "paper.yaml").read_text())
    tasks = document["root"]["dag"]["tasks"]
    (loop,) = (name for name, task in tasks.items() if "parameterIterator" in task)
    parts = load_recipe("paper").synthetic_data.parts
    assert parts > 1
    items = yaml.safe_load(tasks[loop]["parameterIterator"]["items"]["raw"])
    assert items == list(range(parts))
    for consumer in ("sdxl-finetune", "evaluation"):
        source = tasks[consumer]["inputs"]["artifacts"]["dataset"]["taskOutputArtifact"]
        assert source["producerTask"] == loop
        component = document["components"][f"comp-{consumer}"]
        assert component["inputDefinitions"]["artifacts"]["dataset"]["isArtifactList"]


def test_until_keeps_what_the_stage_needs(compiled: tuple[Path, str], tmp_path: Path) -> None:
    path = tmp_path / "p.yaml"
    shutil.copy(compiled[0] / "smoke.yaml", path)
    truncate(path, "material_sampling")
    assert set(tasks_of(path)) == {"synthetic-data", "sdxl-finetune", "material-sampling"}


def test_a_wrong_target_is_a_user_error(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"must end in \.yaml"):
        compile_pipeline(load_recipe("smoke"), tmp_path / "p.txt")
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot be written"):
        compile_pipeline(load_recipe("smoke"), tmp_path / "file" / "p.yaml")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
