"""A CLIP model that was kept in a folder sees what the fetched one sees, wherever that has gone."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import open_clip
import pytest
import torch
from safetensors.torch import save_file

from components.core.errors import UserError
from components.core.realism.clip import SMALL_FOLDER, ClipFeatures
from components.core.realism.keeping import keep_clip
from components.core.realism.small import WEIGHTS_FILE

TINY: dict[str, Any] = {
    "embed_dim": 16,
    "vision_cfg": {"image_size": 32, "layers": 2, "width": 32, "patch_size": 8, "head_width": 16},
    "text_cfg": {
        "context_length": 77, "vocab_size": 49408, "width": 16, "heads": 2, "layers": 2,
    },
}  # fmt: skip
TEXTS = ["old red brick wall", "métal ☃"]
IMAGES = np.random.default_rng(0).integers(0, 256, (3, 48, 40, 3), dtype=np.uint8)


@pytest.fixture
def named(tmp_path: Path) -> str:
    """A model of an architecture that open_clip knows by name, with a file of weights."""
    file = tmp_path / "tiny-of-a-test.json"
    file.write_text(json.dumps(TINY))
    open_clip.add_model_config(file)
    torch.manual_seed(0)
    model = open_clip.create_model("tiny-of-a-test")
    # Weights as published: in float16.
    halved = {name: value.half().contiguous() for name, value in model.state_dict().items()}
    save_file(halved, tmp_path / "fetched.safetensors")
    return f"tiny-of-a-test|{tmp_path / 'fetched.safetensors'}"


def features(uri: str) -> list[np.ndarray]:
    clip = ClipFeatures.load(uri)
    return [clip.images(IMAGES), clip.texts(TEXTS)]


def check(uri: str, folder: Path, fetched: Path) -> None:
    """Keeps a model, takes away what it was fetched from, and compares."""
    before, known = features(uri), ClipFeatures.load(uri).fingerprint
    assert keep_clip(uri, folder)
    if fetched.is_dir():
        shutil.rmtree(fetched)
    else:
        fetched.unlink()
    assert ClipFeatures.load(str(folder)).fingerprint == known
    for one, other in zip(before, features(str(folder)), strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("quick", [False, True])
def test_a_model_with_a_name_and_weights(
    named: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, quick: bool
) -> None:
    usual = features(named)
    if quick:  # as OpenAI's, whose activation stands beside the weights and not in the architecture
        monkeypatch.setattr(open_clip, "get_pretrained_cfg", lambda *_: {"quick_gelu": True})
        assert not np.array_equal(usual[0], features(named)[0])
    weights = Path(named.partition("|")[2])
    size = weights.stat().st_size
    check(named, tmp_path / "kept", weights)
    assert (tmp_path / "kept" / WEIGHTS_FILE).stat().st_size < 1.01 * size


def test_a_folder_with_a_tokenizer_of_its_own(tmp_path: Path) -> None:
    shutil.copytree(SMALL_FOLDER, tmp_path / "fetched")
    check(str(tmp_path / "fetched"), tmp_path / "kept", tmp_path / "fetched")


def test_weights_that_need_all_their_bits_keep_them(named: str, tmp_path: Path) -> None:
    torch.manual_seed(1)
    model = open_clip.create_model("tiny-of-a-test")
    save_file(model.state_dict(), tmp_path / "exact.safetensors")
    exact = f"tiny-of-a-test|{tmp_path / 'exact.safetensors'}"
    check(exact, tmp_path / "kept", tmp_path / "exact.safetensors")


def test_what_every_installation_has_is_not_kept(tmp_path: Path) -> None:
    assert not keep_clip("small", tmp_path / "kept")
    assert not (tmp_path / "kept").exists()


def test_a_model_with_other_weights_than_the_rewards_is_refused(named: str, tmp_path: Path) -> None:
    known = ClipFeatures.load(named).fingerprint
    with pytest.raises(UserError, match="has other weights than the one that the reward"):
        keep_clip(named, tmp_path / "kept", "0" * len(known))
    assert not (tmp_path / "kept").exists()
    assert keep_clip(named, tmp_path / "kept", known)
