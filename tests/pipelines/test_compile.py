"""The compiled pipeline: its shape, its resources, and what compiling imports."""

import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from google.protobuf.json_format import ParseDict
from kfp.pipeline_spec.pipeline_spec_pb2 import PipelineSpec

from components.core.errors import UserError
from components.core.platform.trainjob import node_of
from pipelines.cluster import compile_pipeline
from pipelines.local import truncate
from pipelines.placement import tolerations_of, trainjob_node
from pipelines.recipe import STAGES, load_recipe
from pipelines.stack.addresses import MANIFESTS, read_environment

IMAGE = "example.org/realmat@sha256:0"
TRAINING = "example.org/realmat-train@sha256:1"
RUN = {"open-run", "close-run"}
BRANCHES = {"registration", "registration-2"}  # as champion, as candidate
COMPILE = """
import sys
from pathlib import Path
import pipelines.cli
from components.core.platform.trainjob import node_of
from pipelines.cluster import compile_pipeline
from pipelines.recipe import load_recipe, names
for name in names():
    recipe = load_recipe(name, ["cluster.image=IMAGE", "cluster.training_image=TRAINING"])
    compile_pipeline(recipe, Path(sys.argv[1]) / f"{name}.yaml")
heavy = "torch diffusers transformers mitsuba drjit mlflow gradio deepspeed open_clip".split()
print([name for name in heavy if name in sys.modules])
""".replace("=IMAGE", f"={IMAGE}").replace("=TRAINING", f"={TRAINING}")


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


def document_of(path: Path) -> dict[str, Any]:
    return dict(next(yaml.safe_load_all(path.read_text())))


def tasks_of(path: Path) -> dict[str, Any]:
    """Tasks by name, those of loops and branches in place of these."""
    document = document_of(path)

    def inside(tasks: dict[str, Any]) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for name, task in tasks.items():
            component = document["components"][task["componentRef"]["name"]]
            found |= inside(component["dag"]["tasks"]) if "dag" in component else {name: task}
        return found

    return inside(document["root"]["dag"]["tasks"])


def test_compiling_imports_nothing_heavy(compiled: tuple[Path, str]) -> None:
    assert compiled[1] == "[]"


def test_every_recipe_compiles_to_all_stages(compiled: tuple[Path, str]) -> None:
    assert {path.name for path in compiled[0].iterdir()} >= {
        "smoke.yaml",
        "laptop.yaml",
        "paper.yaml",
    }
    for path in compiled[0].iterdir():
        assert set(tasks_of(path)) == {
            *(stage.replace("_", "-") for stage in STAGES), *RUN, *BRANCHES,
        }  # fmt: skip


def test_independent_branches_are_not_chained(compiled: tuple[Path, str]) -> None:
    tasks = tasks_of(compiled[0] / "paper.yaml")
    for first in ("photo-embedding", "synthetic-data"):
        assert "dependentTasks" not in tasks[first]  # of their loops, which wait for open-run
    assert tasks["material-sampling"]["dependentTasks"] == ["open-run", "sdxl-finetune"]
    waits = tasks["close-run"]["dependentTasks"]
    assert {"promotion-gate", "material-sampling", "realism-labels"} < set(waits)
    assert not any(task["cachingOptions"].get("enableCache") for task in tasks.values())


def test_resources_and_image_come_from_the_recipe(compiled: tuple[Path, str]) -> None:
    document = document_of(compiled[0] / "paper.yaml")
    executors = document["deploymentSpec"]["executors"]
    containers = {name: executor["container"] for name, executor in executors.items()}
    for container in containers.values():
        gpu = "accelerator" in container.get("resources", {})
        assert container["image"] == (TRAINING if gpu else IMAGE)
    accelerator = containers["exec-evaluation"]["resources"]["accelerator"]
    assert accelerator["resourceCount"] == "1"
    assert accelerator["resourceType"] == "nvidia.com/gpu"
    assert "accelerator" not in containers["exec-synthetic-data"]["resources"]


def test_what_asks_for_a_gpu_tolerates_the_taint_of_such_nodes(compiled: tuple[Path, str]) -> None:
    path = compiled[0] / "paper.yaml"
    executors = document_of(path)["deploymentSpec"]["executors"]
    platform, on_gpus = platform_of(path), set()
    for name, executor in executors.items():
        accelerator = executor["container"].get("resources", {}).get("accelerator")
        tolerated = platform[name].get("tolerations", [])
        if accelerator is None:
            assert tolerated == [], name
        else:
            on_gpus.add(name)
            taint = {"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}
            assert [dict(one) for one in tolerated] == [taint], name
    asking = {stage for stage, r in load_recipe("paper").cluster.resources.items() if r.gpus}
    assert on_gpus == {f"exec-{stage.replace('_', '-')}" for stage in asking}
    assert "exec-photo-embedding" in on_gpus


def test_a_taint_of_ones_own_does_not_hide_the_accelerators() -> None:
    taint = "[{key = 'team', value = 'us', operator = 'Equal'}]"
    cluster = load_recipe("paper", [f"cluster.nodes.ddpo_lora.tolerations={taint}"]).cluster
    node = trainjob_node(cluster, cluster.nodes["ddpo_lora"])
    assert [one["key"] for one in node.tolerations] == ["team", "nvidia.com/gpu"]
    own = "[{key = 'nvidia.com/gpu', effect = 'NoExecute'}]"
    cluster = load_recipe("paper", [f"cluster.nodes.ddpo_lora.tolerations={own}"]).cluster
    (taint_of_user,) = tolerations_of(cluster, cluster.nodes["ddpo_lora"])
    assert taint_of_user.effect == "NoExecute"


def platform_of(path: Path) -> dict[str, Any]:
    """What kfp-kubernetes adds, by executor."""
    document = list(yaml.safe_load_all(path.read_text()))[1]
    return dict(document["platforms"]["kubernetes"]["deploymentSpec"]["executors"])


def test_pods_have_no_root_no_secret_in_their_text_and_the_volume(
    compiled: tuple[Path, str],
) -> None:
    path = compiled[0] / "paper.yaml"
    for name, pod in platform_of(path).items():
        assert pod["securityContext"] == {
            "runAsGroup": "10001", "runAsNonRoot": True, "runAsUser": "10001",
        }, name  # fmt: skip
        (mount,) = pod["pvcMount"]
        assert (mount["constant"], mount["mountPath"]) == ("realmat-store", "/store")
        (secret,) = pod["secretAsEnv"]
        assert secret["secretName"] == "pipeline-secrets"
        assert {pair["envVar"] for pair in secret["keyToEnv"]} >= {
            "AWS_SECRET_ACCESS_KEY", "MLFLOW_TRACKING_PASSWORD",
        }  # fmt: skip
    executors = document_of(path)["deploymentSpec"]["executors"]
    literal = {v["name"] for e in executors.values() for v in e["container"].get("env", [])}
    assert literal == {"REALMAT_TRAINJOB"}


def test_long_stages_are_tried_again_and_end_in_time(compiled: tuple[Path, str]) -> None:
    path = compiled[0] / "paper.yaml"
    tasks, pods = tasks_of(path), platform_of(path)
    resources = load_recipe("paper").cluster.resources
    for name, task in tasks.items():
        stage = re.sub(r"-\d+$", "", name).replace("-", "_")  # a second branch has it again
        wanted, policy = resources[stage], task["retryPolicy"]
        seconds = int(pods[f"exec-{name}"]["activeDeadlineSeconds"])
        assert seconds == wanted.hours * 3600 > 0
        assert policy["maxRetryCount"] == wanted.retries > 0
        # Argo gives up so long after the first attempt's start, whatever the count says.
        waits = wanted.retries * float(policy["backoffDuration"].rstrip("s"))
        assert policy["backoffFactor"] == 1
        longest = float(policy["backoffMaxDuration"].rstrip("s"))
        assert longest >= (wanted.retries + 1) * seconds + waits
    shared = pods["exec-evaluation"]["emptyDirMounts"]
    assert [(m["mountPath"], m.get("medium", "")) for m in shared] == [
        ("/cache", ""), ("/dev/shm", "Memory"),
    ]  # fmt: skip
    assert all(pod["emptyDirMounts"][0]["sizeLimit"] == "5Gi" for pod in pods.values())
    # On one machine a failure is shown at once.
    assert not any("retryPolicy" in task for task in tasks_of(compiled[0] / "laptop.yaml").values())


def test_the_recipe_says_on_which_nodes_a_stage_may_run(tmp_path: Path) -> None:
    taint = "[{key = 'gpu', value = 'yes', operator = 'Equal'}]"
    recipe = load_recipe(
        "paper",
        [
            "cluster.resources.ddpo_lora.node_selector={pool = 'a100'}",
            f"cluster.resources.ddpo_lora.tolerations={taint}",
        ],
    )
    pod = platform_of(compile_pipeline(recipe, tmp_path / "p.yaml"))["exec-ddpo-lora"]
    assert pod["nodeSelector"]["labels"] == {"pool": "a100"}
    (toleration,) = pod["tolerations"]
    assert toleration.items() >= {
        ("key", "gpu"), ("value", "yes"), ("operator", "Equal"), ("effect", "NoSchedule"),
    }  # fmt: skip


@pytest.mark.parametrize(("stage", "gpus"), [("sdxl_finetune", 24), ("ddpo_lora", 32)])
def test_several_nodes_are_described_to_the_stage(
    compiled: tuple[Path, str], stage: str, gpus: int
) -> None:
    """Each process has a GPU of those that are booked, as many in all as in the paper."""
    executors = document_of(compiled[0] / "paper.yaml")["deploymentSpec"]["executors"]
    (variable,) = executors[f"exec-{stage.replace('_', '-')}"]["container"]["env"]
    node = node_of({variable["name"]: variable["value"]})
    assert node.image == TRAINING
    assert node.requests == {
        "cpu": "64", "memory": "512Gi", "ephemeral-storage": "200Gi", "nvidia.com/gpu": "8",
    }  # fmt: skip
    config = getattr(load_recipe("paper"), stage)
    assert config.processes == int(node.requests["nvidia.com/gpu"])
    assert config.world_size == config.nodes * config.processes == gpus


def test_the_papers_batches_are_shared_evenly_by_its_gpus() -> None:
    tuned, reinforced = load_recipe("paper").sdxl_finetune, load_recipe("paper").ddpo_lora
    assert tuned.world_size * tuned.micro_batch_size * tuned.accumulation == 120
    assert reinforced.world_size * reinforced.forward_batch == reinforced.batch_size
    cores = int(load_recipe("paper").cluster.nodes["ddpo_lora"].cpu)
    assert reinforced.processes * (reinforced.render_workers + 1) < cores


def test_the_compiled_file_is_a_valid_pipeline_of_kubeflow(compiled: tuple[Path, str]) -> None:
    for path in compiled[0].iterdir():
        spec = ParseDict(document_of(path), PipelineSpec())
        assert spec.pipeline_info.name == "realmat"
        assert set(spec.deployment_spec["executors"]) == set(platform_of(path))


@pytest.mark.parametrize(
    ("stage", "consumers", "name"),
    [
        ("synthetic_data", ("sdxl-finetune", "evaluation"), "dataset"),
        ("photo_embedding", ("photo-retrieval",), "features"),
    ],
)
def test_tasks_share_the_work_and_all_of_it_is_used(
    compiled: tuple[Path, str], stage: str, consumers: tuple[str, ...], name: str
) -> None:
    document = document_of(compiled[0] / "paper.yaml")
    tasks = document["root"]["dag"]["tasks"]
    (loop,) = (
        task_name
        for task_name, task in tasks.items()
        if "parameterIterator" in task
        and stage.replace("_", "-")
        in document["components"][task["componentRef"]["name"]]["dag"]["tasks"]
    )
    parts = getattr(load_recipe("paper"), stage).parts
    assert parts > 1
    items = yaml.safe_load(tasks[loop]["parameterIterator"]["items"]["raw"])
    assert items == list(range(parts))
    for consumer in consumers:
        source = tasks[consumer]["inputs"]["artifacts"][name]["taskOutputArtifact"]
        assert source["producerTask"] == loop
        component = document["components"][f"comp-{consumer}"]
        assert component["inputDefinitions"]["artifacts"][name]["isArtifactList"]


def test_until_keeps_what_the_stage_needs(compiled: tuple[Path, str], tmp_path: Path) -> None:
    path = tmp_path / "p.yaml"
    shutil.copy(compiled[0] / "smoke.yaml", path)
    truncate(path, "material_sampling")
    kept = {"open-run", "synthetic-data", "sdxl-finetune", "material-sampling"}
    assert set(tasks_of(path)) == kept


def test_until_registration_keeps_both_branches_and_until_the_gate_none(
    compiled: tuple[Path, str], tmp_path: Path
) -> None:
    path = tmp_path / "p.yaml"
    shutil.copy(compiled[0] / "smoke.yaml", path)
    truncate(path, "registration")
    everything = {stage.replace("_", "-") for stage in STAGES}
    assert set(tasks_of(path)) == {*everything, *BRANCHES, "open-run"}
    truncate(path, "promotion_gate")
    assert set(tasks_of(path)) == (everything | {"open-run"}) - BRANCHES


def test_the_verdict_alone_decides_which_branch_registers(compiled: tuple[Path, str]) -> None:
    document = document_of(compiled[0] / "paper.yaml")
    branches = next(
        part["dag"]["tasks"]
        for name, part in document["components"].items()
        if name.startswith("comp-condition-branches")
    )
    given = {}
    for branch in branches.values():
        condition = branch["triggerPolicy"]["condition"]
        inner = document["components"][branch["componentRef"]["name"]]["dag"]["tasks"]
        (task,) = inner.values()
        alias = task["inputs"]["parameters"]["alias"]["runtimeValue"]["constant"]
        given[alias] = condition.replace(" ", "").replace("\n", "")
    verdict = "inputs.parameter_values['pipelinechannel--promotion-gate-Output']=='champion'"
    assert given == {"champion": verdict, "candidate": f"!({verdict})"}


def test_a_wrong_target_is_a_user_error(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"must end in \.yaml"):
        compile_pipeline(load_recipe("smoke"), tmp_path / "p.txt")
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot be written"):
        compile_pipeline(load_recipe("smoke"), tmp_path / "file" / "p.yaml")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_the_stages_get_every_setting_and_secret_of_the_manifests() -> None:
    cluster = load_recipe("paper").cluster
    assert set(cluster.settings) == set(read_environment("pipeline"))
    lines = (MANIFESTS / "secrets.txt").read_text().splitlines()
    keys = {line.split()[1] for line in lines if line.startswith(f"{cluster.secret} ")}
    assert keys == set(cluster.credentials) - {"HF_TOKEN"}  # which a public model does not need
