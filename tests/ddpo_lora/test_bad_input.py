"""One clear sentence for what cannot be used."""

import json
from pathlib import Path

import pytest
import torch

from components.core.diffusion.lora import add_lora, load_lora, save_lora
from components.core.diffusion.model import load_model
from components.core.diffusion.small import SmallConfig, build_small
from components.core.errors import UserError
from components.core.platform.tracking import NullTracker
from components.core.realism.reward import load_reward
from components.ddpo_lora.parallel import Group
from components.ddpo_lora.prompts import read_prompts
from components.ddpo_lora.stage import write
from components.ddpo_lora.training import announce_prompt_minimum
from tests.ddpo_lora.micro import HELDOUT, PROMPTS, micro_config, micro_model, redness
from tests.ddpo_lora.real import RENDERING, save_reward


def prompts(folder: Path, *rows: dict[str, str]) -> Path:
    (folder / "prompts.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder


def row(prompt: str, split: str = "train") -> dict[str, str]:
    return {"prompt": prompt, "split": split, "category": "wood"}


def test_prompts_of_both_splits(tmp_path: Path) -> None:
    found = read_prompts(prompts(tmp_path, row("a"), row("b"), row("c", "heldout")))
    assert (found.train, found.heldout) == (["a", "b"], ["c"])
    assert found.categories == {"a": "wood", "b": "wood", "c": "wood"}


@pytest.mark.parametrize(
    ("rows", "reason"),
    [
        ([], "no prompt with split 'train'"),
        ([row("a", "heldout")], "no prompt with split 'train'"),
        ([row("a"), row("a ")], "'a' more than once"),
        ([row("a"), row("a", "heldout")], "'a' more than once"),
        ([row("a"), row(" ")], "an empty prompt"),
        ([{"prompt": "a"}], "missing or unreadable"),
    ],
)
def test_prompts_that_cannot_be_trained(
    tmp_path: Path, rows: list[dict[str, str]], reason: str
) -> None:
    with pytest.raises(UserError, match=reason):
        read_prompts(prompts(tmp_path, *rows))


def test_a_missing_prompts_file(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="missing or unreadable"):
        read_prompts(tmp_path)


def test_a_reward_for_other_clip_features(tmp_path: Path) -> None:
    save_reward(tmp_path)
    load_reward(tmp_path, "", RENDERING)
    save_reward(tmp_path, dimension=7)
    with pytest.raises(UserError, match="trained on features of 7 numbers, but the CLIP model"):
        load_reward(tmp_path, "", RENDERING)


def test_the_adapter_of_another_base(tmp_path: Path) -> None:
    model = micro_model()
    add_lora(model.unet, 2)
    save_lora(model.unet, tmp_path)
    load_lora(micro_model(), tmp_path)
    other = build_small(PROMPTS, SmallConfig(image_size=32, unet_channels=(16, 48),
                        unet_norm_groups=8, unet_head_dim=8, vae_channels=(8, 8, 16, 16),
                        text_hidden=32))  # fmt: skip
    with pytest.raises(UserError, match="adapter of another base model"):
        load_lora(other, tmp_path)


def test_the_adapter_of_another_base_of_the_same_shape(tmp_path: Path) -> None:
    """In another precision the base is still itself; adapters from elsewhere are not refused."""
    model = micro_model()
    model.save(tmp_path / "base")
    add_lora(model.unet, 2)
    save_lora(model.unet, tmp_path / "lora")
    for dtype in (torch.float32, torch.bfloat16):
        load_lora(load_model(str(tmp_path / "base"), dtype=dtype), tmp_path / "lora")
    other = micro_model()
    with torch.no_grad():
        other.unet.conv_in.weight += 0.01
    with pytest.raises(UserError, match="adapter of another base model"):
        load_lora(other, tmp_path / "lora")
    (tmp_path / "lora" / "base.json").unlink()
    load_lora(other, tmp_path / "lora")


def test_checkpoints_of_another_rank(tmp_path: Path) -> None:
    for rank in (2, 3):
        arguments = (micro_model(), redness, PROMPTS, HELDOUT)
        config = micro_config(rank=rank, steps=2, epochs=1, heldout_samples=0)
        places = {"output": tmp_path / str(rank), "work": tmp_path / "work"}
        if rank == 2:
            write(config, *arguments, **places, tracker=NullTracker())
        else:
            with pytest.raises(UserError, match="another base model or rank"):
                write(config, *arguments, **places, tracker=NullTracker())
    assert not (tmp_path / "3").exists()


def test_too_few_samples_for_a_prompts_own_statistics(capsys: pytest.CaptureFixture[str]) -> None:
    config = micro_config(epochs=3, statistics_min_count=9, statistics_buffer=16)
    announce_prompt_minimum(config, 3, Group())
    assert "about 8 samples in all, fewer than statistics_min_count = 9" in capsys.readouterr().out
    announce_prompt_minimum(micro_config(epochs=3, statistics_min_count=8), 3, Group())
    assert not capsys.readouterr().out
