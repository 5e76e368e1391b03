"""Two real ranks at ZeRO 2 and 3: they agree, they resume, and they stop together."""

import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from components.core.diffusion.model import load_model
from components.sdxl_finetune.checkpoint import checkpoints
from components.sdxl_finetune.config import Config
from components.sdxl_finetune.data import batch_items, build_cache
from components.sdxl_finetune.heldout import HELDOUT, build_heldout
from tests.sdxl_finetune.ranks import Trouble, logged, train_ranks

long = pytest.mark.long
WEIGHTS = "unet/diffusion_pytorch_model.safetensors"
Prepare = Callable[[str], Path]


def two_ranks(base_model: Path, **changes: Any) -> Config:
    settings: dict[str, Any] = {
        "base_model": str(base_model), "iterations": 4, "batch_size": 4, "micro_batch_size": 1,
        "processes": 2, "zero_stage": 2, "learning_rate": 1e-3, "log_every": 1,
        "checkpoint_every": 2, "ema_decay": 0.5, "device": "cpu", "heldout_every": 2,
        "preview_every": 2, "preview_prompts": 2, "preview_steps": 2,
    }  # fmt: skip
    return Config(**settings | changes)


@pytest.fixture(scope="module")
def prepare(base_model: Path, dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> Prepare:
    """A new work folder with the training cache in it."""
    root = tmp_path_factory.mktemp("ranks")
    model, config = load_model(str(base_model)), two_ranks(base_model)
    (root / "new").mkdir()
    build_cache([dataset], model, config, root / "new" / "cache")
    assert build_heldout([dataset], model, config, root / "new" / HELDOUT) == 2

    def new(name: str) -> Path:
        shutil.copytree(root / "new", root / name)
        return root / name

    return new


@pytest.fixture(scope="module")
def undisturbed(base_model: Path, prepare: Prepare) -> Path:
    work = prepare("undisturbed")
    codes, digests = train_ranks(two_ranks(base_model), work)
    assert codes == [0, 0]
    assert len(digests) == 2
    assert digests[0] == digests[1], "the ranks' parameters have come apart"
    return work


def equal(a: Path, b: Path) -> bool:
    first, second = load_file(a / WEIGHTS), load_file(b / WEIGHTS)
    return all(torch.equal(first[name], second[name]) for name in first)


def pictures_differ_by(a: Path, b: Path) -> float:
    """Mean difference, in levels of 256, of what was sampled after two steps."""
    first, second = (
        np.asarray(Image.open(work / "samples" / "0000002.png")).astype(float) for work in (a, b)
    )
    assert first.shape == (64, 32, 3)
    assert first.std() > 10.0
    return float(np.abs(first - second).mean())


def deviation(base: Path, a: Path, b: Path) -> float:
    """Distance of two trained models as a share of how far training went."""
    start, first, second = (load_file(folder / WEIGHTS) for folder in (base, a, b))
    apart = sum(float((second[name] - first[name]).abs().sum()) for name in first)
    return apart / sum(float((start[name] - first[name]).abs().sum()) for name in first)


def test_two_ranks_train_as_one_process(
    base_model: Path, prepare: Prepare, undisturbed: Path
) -> None:
    """Losses and norms within 1e-4; weights within 1 % of the way that training went."""
    work = prepare("alone")
    alone = two_ranks(base_model, processes=1, micro_batch_size=4, zero_stage=0)
    assert train_ranks(alone, work)[0] == [0]
    every, some = {1, 2, 3, 4}, {0, 2, 4}
    for name, steps in (("loss", every), ("gradient_norm", every), ("heldout_loss", some)):
        ours, theirs = logged(undisturbed, name), logged(work, name)
        assert ours.keys() == theirs.keys() == steps
        np.testing.assert_allclose(list(ours.values()), list(theirs.values()), rtol=1e-4)
    assert pictures_differ_by(undisturbed, work) < 2.0
    assert deviation(base_model, undisturbed, work) < 0.01


@long
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL], ids=["term", "kill"])
def test_an_interrupted_run_ends_with_the_same_weights(
    base_model: Path, prepare: Prepare, undisturbed: Path, number: int
) -> None:
    """One rank gets the signal after step 3; at SIGTERM both save that step and end with 143.

    Both continue from the same step, though one of them does not see it at first.
    """
    work, config = prepare(f"interrupted{number}"), two_ranks(base_model)
    codes, _ = train_ranks(config, work, Trouble(1, after_step=3, signal=number))
    newest = checkpoints(work / "checkpoints")[-1].name
    if number == signal.SIGTERM:
        assert codes == [143, 143]
        assert newest == "step-0000003"
    else:
        assert codes[1] == -signal.SIGKILL
        assert newest == "step-0000002"
    assert not (work / "unet").exists()
    assert train_ranks(config, work, Trouble(1, old_listing=True))[0] == [0, 0]
    assert equal(undisturbed, work)
    assert logged(work, "loss").keys() == {1, 2, 3, 4}


@long
def test_zero_3_trains_as_zero_2_and_resumes(
    base_model: Path, prepare: Prepare, undisturbed: Path
) -> None:
    config = two_ranks(base_model, zero_stage=3, iterations=3, micro_batch_size=2)
    whole, cut = prepare("zero3"), prepare("zero3-interrupted")
    assert train_ranks(config, whole)[0] == [0, 0]
    for name in ("loss", "gradient_norm", "heldout_loss"):
        expected = logged(undisturbed, name)[2]
        np.testing.assert_allclose(logged(whole, name)[2], expected, rtol=1e-4)
    assert pictures_differ_by(undisturbed, whole) < 2.0
    trouble = Trouble(0, after_step=2, signal=signal.SIGTERM)
    assert train_ranks(config, cut, trouble)[0] == [143, 143]
    assert train_ranks(config, cut)[0] == [0, 0]
    assert equal(whole, cut)


@long
def test_a_bad_sample_of_one_rank_stops_both_before_the_step(
    base_model: Path, prepare: Prepare
) -> None:
    """Between two log steps too; the checkpoints of before stay."""
    config = two_ranks(base_model, log_every=100)
    of_rank_1 = [batch_items(config.seed, step, 4, 10)[2:].tolist() for step in range(4)]
    seen = {item for items in of_rank_1[:3] for item in items}
    item = next(item for item in of_rank_1[3] if item not in seen)
    work = prepare("poisoned")
    codes, _ = train_ranks(config, work, Trouble(1, poisoned_item=item))
    assert codes == [2, 2]
    reason = (work / "failure.txt").read_text()
    key = f"{item:08d} of dataset/00000.tar '"
    assert f"loss is not finite at step 4 (item {key}" in reason
    assert "the checkpoint of step 2 stays" in reason
    assert [path.name for path in checkpoints(work / "checkpoints")] == ["step-0000002"]
    assert not (work / "unet").exists()


@long
def test_a_rank_without_memory_says_what_would_fit_and_the_checkpoint_stays(
    base_model: Path, prepare: Prepare, undisturbed: Path
) -> None:
    """The change that it names continues the training."""
    work = prepare("no-memory")
    config = two_ranks(base_model, micro_batch_size=2)
    codes, _ = train_ranks(config, work, Trouble(1, no_memory_at=3))
    assert codes[1] == 2
    assert codes[0] != 0
    reason = (work / "failure.txt").read_text()
    assert "too little memory in step 3 with micro_batch_size 2 at zero_stage 2" in reason
    assert "Tried to allocate 2.00 GiB): set sdxl_finetune.micro_batch_size to 1, or" in reason
    assert reason.endswith(f"the checkpoint of step 2 stays in {work / 'checkpoints'}")
    assert train_ranks(two_ranks(base_model), work)[0] == [0, 0]
    assert deviation(base_model, undisturbed, work) < 0.01


@long
def test_what_only_rank_1_finds_wrong_is_said(base_model: Path, prepare: Prepare) -> None:
    work, config = prepare("damaged"), two_ranks(base_model, iterations=2, heldout_every=0)
    assert train_ranks(config, work)[0] == [0, 0]
    [file] = (work / "checkpoints" / "step-0000002").glob("*zero_pp_rank_1_*")
    file.write_bytes(file.read_bytes()[:100])
    shutil.rmtree(work / "unet")
    codes, _ = train_ranks(two_ranks(base_model, heldout_every=0), work)
    assert codes[1] == 2
    assert codes[0] != 0
    assert "step-0000002 is damaged" in (work / "failure.txt").read_text()
    assert not (work / "unet").exists()


@long
def test_the_papers_way_of_computing_on_two_ranks(
    base_model: Path, prepare: Prepare, undisturbed: Path
) -> None:
    """bfloat16 and gradient checkpointing at ZeRO 2 and 3, against float32 without it."""
    found = []
    for stage in (2, 3):
        work = prepare(f"paper{stage}")
        config = two_ranks(
            base_model, zero_stage=stage, precision="bfloat16", gradient_checkpointing=True,
            iterations=2, ema_decay=0.0, heldout_every=0, preview_every=0,
        )  # fmt: skip
        assert train_ranks(config, work)[0] == [0, 0]
        assert (work / WEIGHTS).exists()
        for name, rtol in (("loss", 0.02), ("gradient_norm", 0.1)):
            plain, paper = logged(undisturbed, name), logged(work, name)
            np.testing.assert_allclose(paper[1], plain[1], rtol=rtol)
            np.testing.assert_allclose(paper[2], plain[2], rtol=rtol)
        found.append(logged(work, "loss"))
    # A bfloat16 has eight bits: shards are rounded where whole tensors are not.
    np.testing.assert_allclose(list(found[0].values()), list(found[1].values()), rtol=2**-8)
