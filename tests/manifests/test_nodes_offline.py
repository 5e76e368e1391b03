"""A training's nodes reach no hub: they open from the volume what the stage has downloaded."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from open_clip.pretrained import get_pretrained_cfg

from components.core.diffusion.model import SMALL_MODEL
from components.core.realism.clip import open_clip_name
from pipelines.recipe import load_recipe
from tests.manifests.rendered import ROOT, workloads

COMMIT = "0123456789abcdef0123456789abcdef01234567"
MODEL = "somebody/sdxl"
OPEN = """
import json, socket, sys, time
asked = []
def silent(address, *_, **__):
    asked.append(address[0])
    raise TimeoutError("timed out")
socket.create_connection = silent  # as where a policy drops the packets, but at once
time.sleep = lambda seconds: None  # between the hub's library's attempts
import open_clip
from open_clip.pretrained import download_pretrained, get_pretrained_cfg
from components.core.diffusion.model import load_model
from components.core.errors import UserError
from components.core.realism.clip import open_clip_name
found = {}
try:
    found["image_size"] = load_model(sys.argv[1]).image_size
    name, pretrained = open_clip_name(sys.argv[2])
    found["clip"] = download_pretrained(get_pretrained_cfg(name, pretrained))
    open_clip.get_tokenizer(name)
except UserError as error:
    found["error"] = str(error)
print(json.dumps({**found, "asked": asked}))
"""


@pytest.fixture(scope="module")
def clip() -> str:
    """The name of the paper's CLIP model."""
    return str(load_recipe("paper").shared.clip)


@pytest.fixture(scope="module")
def volume(tmp_path_factory: pytest.TempPathFactory, clip: str) -> Path:
    """HF_HOME as downloads leave it: the small model under a hub's name, and CLIP's weights."""
    home = tmp_path_factory.mktemp("volume")
    weights = get_pretrained_cfg(*open_clip_name(clip))["hf_hub"].strip("/")
    for name in (MODEL, weights):
        place = home / "hub" / f"models--{name.replace('/', '--')}"
        (place / "refs").mkdir(parents=True)
        (place / "refs" / "main").write_text(COMMIT)
        (place / "snapshots").mkdir()
        if name == MODEL:
            (place / "snapshots" / COMMIT).symlink_to(SMALL_MODEL)
        else:
            (place / "snapshots" / COMMIT).mkdir()
            (place / "snapshots" / COMMIT / "open_clip_model.safetensors").touch()
    return home


def of_node() -> dict[str, str]:
    """What the runtime sets by itself in a node's container about the hub."""
    (node,) = (one for one in workloads("overlays/production") if one.name == "realmat-torch")
    (container,) = node.containers
    return {e["name"]: e["value"] for e in container["env"] if e["name"].startswith("HF_")}


def opened(volume: Path, clip: str, settings: dict[str, str]) -> dict[str, Any]:
    """What a process finds whose connections are never answered."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("HF_")}
    done = subprocess.run(
        [sys.executable, "-c", OPEN, MODEL, clip], cwd=ROOT, capture_output=True, text=True,
        check=False, env=kept | {"HF_HOME": str(volume)} | settings,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    return dict(json.loads(done.stdout.splitlines()[-1]))


def test_nodes_open_models_by_name_without_asking_anybody(volume: Path, clip: str) -> None:
    found = opened(volume, clip, of_node())
    assert Path(found.pop("clip")).is_relative_to(volume)
    assert found == {"image_size": 128, "asked": []}


def test_a_silent_hub_is_said_in_a_sentence(volume: Path, clip: str) -> None:
    """What the nodes' setting spares them; the stage's own process has no such setting."""
    found = opened(volume, clip, {})
    assert found["asked"]
    assert MODEL in found["error"]
    assert "HF_HUB_OFFLINE=1" in found["error"]
