"""A scorer knows the CLIP model it was trained on, whatever that is called."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from components.core.errors import UserError
from components.core.platform.config_types import Rendering
from components.core.realism.clip import ClipFeatures
from components.core.realism.identity import CLIP_FILE, read_clip, write_clip
from components.core.realism.model import RealismModel
from components.core.realism.reward import load_reward
from components.core.realism.scorer import LinearScorer
from components.core.realism.small import build_small_clip, save_clip


def test_the_same_name_with_other_weights_is_refused(tmp_path: Path) -> None:
    """Of one number among all that differs; artifacts that note no weights still open."""
    model, tokenizer = build_small_clip(["red brick wall"])
    save_clip(model, tokenizer, tmp_path / "clip")
    uri = str(tmp_path / "clip")
    clip = ClipFeatures.load(uri)
    for name in ("reward", "gold"):
        LinearScorer(np.ones(clip.dimension, np.float32), 0.0).save(tmp_path / name)
    write_clip(tmp_path, uri, clip)
    assert read_clip(tmp_path / CLIP_FILE).fingerprint == clip.fingerprint
    rendering = Rendering(size=8, spp=1, mesh_resolution=8)
    load_reward(tmp_path, "", rendering)
    RealismModel.open(tmp_path)
    with torch.no_grad():
        list(model.parameters())[-1].view(-1)[-1] += 1e-3
    save_clip(model, tokenizer, tmp_path / "clip")
    for opened in (
        lambda: load_reward(tmp_path, "", rendering),
        lambda: RealismModel.open(tmp_path),
    ):
        with pytest.raises(UserError, match="with other weights"):
            opened()
    (tmp_path / CLIP_FILE).write_text(json.dumps({"uri": uri}))
    RealismModel.open(tmp_path)


def test_an_unreadable_note_is_one_sentence(tmp_path: Path) -> None:
    for text in ("{", "[]"):
        (tmp_path / CLIP_FILE).write_text(text)
        with pytest.raises(UserError, match="missing or not valid JSON"):
            read_clip(tmp_path / CLIP_FILE)
