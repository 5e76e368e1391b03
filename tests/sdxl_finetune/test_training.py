"""Training through DeepSpeed for real, at tiny size: learning, killing, dividing."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import StableDiffusionXLPipeline
from safetensors.torch import load_file

from components.core.errors import UserError
from components.core.platform.torchrun import forward_metrics
from components.core.platform.tracking import NullTracker
from components.sdxl_finetune.cache import Encoder
from components.sdxl_finetune.checkpoint import checkpoints, steps_of
from components.sdxl_finetune.config import Config
from components.sdxl_finetune.draw import Draw
from components.sdxl_finetune.samples import Gallery
from components.sdxl_finetune.stage import run, train_in_processes
from tests.nodes import two_nodes_here
from tests.s3 import archive
from tests.sdxl_finetune.recorder import Recorder

ROOT = Path(__file__).resolve().parents[2]
UNET = "unet/diffusion_pytorch_model.safetensors"
KILLED = """
import os, signal, sys
from pathlib import Path
import torch
from components.core.platform.tracking import NullTracker
from components.sdxl_finetune.config import Config
from components.sdxl_finetune.samples import Gallery
from components.sdxl_finetune.stage import run, train_in_processes

class Killer(NullTracker):
    def log_metrics(self, metrics, step=None):
        if step == 5:
            os.kill(os.getpid(), signal.SIGKILL)

torch.set_num_threads(1)
config, dataset, output, work = sys.argv[1:]
run(Config.model_validate_json(config), dataset=[Path(dataset)], output=Path(output),
    work=Path(work), tracker=Killer())
"""


def tiny(base_model: Path, **changes: Any) -> Config:
    settings: dict[str, Any] = {
        "base_model": str(base_model),
        "iterations": 7,
        "batch_size": 4,
        "micro_batch_size": 2,
        "learning_rate": 1e-3,
        "log_every": 1,
        "checkpoint_every": 2,
        "preview_prompts": 0,
        "preview_renderings": False,
        "heldout_every": 0,
        "device": "cpu",
    }
    return Config(**settings | changes)


def weights(output: Path) -> dict[str, torch.Tensor]:
    return load_file(output / UNET)


def deviation(base: Path, expected: dict[str, torch.Tensor], output: Path) -> float:
    """Distance of two trained models as a share of the distance that training went.

    Adam turns rounding into whole steps where a gradient is nearly zero, so single weights say
    little; training on other gradients gives about 1.
    """
    start, other = weights(base), weights(output)
    apart = sum(float((other[name] - value).abs().sum()) for name, value in expected.items())
    went = sum(float((start[name] - value).abs().sum()) for name, value in expected.items())
    return apart / went


@pytest.fixture(scope="module")
def undisturbed(
    base_model: Path, dataset: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[dict[str, torch.Tensor], Recorder]:
    torch.set_num_threads(1)
    folder, recorder = tmp_path_factory.mktemp("undisturbed"), Recorder()
    run(
        tiny(base_model),
        dataset=[dataset],
        output=folder / "model",
        work=folder / "work",
        tracker=recorder,
    )
    return weights(folder / "model"), recorder


def test_sigkill_and_resume_end_bit_identically(
    base_model: Path,
    dataset: Path,
    tmp_path: Path,
    undisturbed: tuple[dict[str, torch.Tensor], Recorder],
) -> None:
    config, output, work = tiny(base_model), tmp_path / "model", tmp_path / "work"
    command = [sys.executable, "-c", KILLED, config.model_dump_json()]
    died = subprocess.run(
        [*command, str(dataset), str(output), str(work)],
        cwd=ROOT,
        env=os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert died.returncode == -signal.SIGKILL, died.stderr[-2000:]
    assert not output.exists()
    recorder = Recorder()
    run(config, dataset=[dataset], output=output, work=work, tracker=recorder)
    expected, first = undisturbed
    assert [step for step, _ in recorder.rows] == [5, 6, 7]  # continued after checkpoint 4
    assert recorder.losses == first.losses[4:]
    resumed = weights(output)
    assert all(torch.equal(resumed[name], value) for name, value in expected.items())


@pytest.mark.long
def test_two_nodes_train_the_same_model_as_one(
    base_model: Path,
    dataset: Path,
    tmp_path: Path,
    undisturbed: tuple[dict[str, torch.Tensor], Recorder],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Gradients are averaged over ranks: without that, rank 0 would learn from half the batch.

    The nodes encode, and the stage, which trains and encodes nothing, archives what they made.
    """
    monkeypatch.setattr("components.core.platform.processes.train_on_nodes", two_nodes_here)
    monkeypatch.setattr(Encoder, "write", None)
    recorder = Recorder()
    with archive(monkeypatch) as store:
        run(
            tiny(base_model, nodes=2),
            dataset=[dataset],
            output=tmp_path / "model",
            work=tmp_path / "work",
            tracker=recorder,
        )
        puts = [path.split("/")[-1] for method, path in store.seen[1:] if method == "PUT"]
    shards = {"embeds-00000.safetensors", "latents-00000.safetensors"}
    assert set(puts) == shards | {"key.txt", "prompts.json", "grids.json", "cache.json"}
    assert puts[-1] == "cache.json"
    expected, _ = undisturbed
    assert deviation(base_model, expected, tmp_path / "model") < 0.01
    assert [step for step, _ in recorder.rows] == list(range(1, 8))


@pytest.mark.long
def test_sigterm_reaches_torchruns_processes_which_save_before_they_end(
    base_model: Path, dataset: Path, tmp_path: Path
) -> None:
    """The stage's process gets the signal, as from a cluster; how it resumes: test_ranks.py."""

    class Evicted(NullTracker):
        def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
            os.kill(os.getpid(), signal.SIGTERM)

    def unhandled(number: int, frame: object) -> None:
        raise AssertionError("nobody awaits SIGTERM")

    before = signal.signal(signal.SIGTERM, unhandled)
    config = tiny(base_model, processes=2, iterations=10_000, checkpoint_every=10_000)
    output, work = tmp_path / "model", tmp_path / "work"
    try:
        with pytest.raises(SystemExit) as end:
            run(config, dataset=[dataset], output=output, work=work, tracker=Evicted())
    finally:
        signal.signal(signal.SIGTERM, before)
    assert end.value.code == 128 + signal.SIGTERM
    [saved] = checkpoints(work / "checkpoints")
    assert 1 < steps_of(saved) < 10_000
    assert not output.exists()


@pytest.mark.parametrize(
    "changes",
    [
        {"micro_batch_size": 0, "processes": 0},
        {"zero_stage": 2},
        {"channels_last": True},
        {"gradient_checkpointing": True},
        pytest.param({"compile": True}, marks=pytest.mark.rare),
    ],
    ids=["without accumulation", "ZeRO-2", "channels last", "gradient checkpointing", "compiled"],
)
def test_ways_of_computing_the_same_training(
    base_model: Path,
    dataset: Path,
    tmp_path: Path,
    undisturbed: tuple[dict[str, torch.Tensor], Recorder],
    changes: dict[str, Any],
) -> None:
    config, recorder = tiny(base_model, **changes), Recorder()
    output = tmp_path / "model"
    run(config, dataset=[dataset], output=output, work=tmp_path / "work", tracker=recorder)
    expected, first = undisturbed
    np.testing.assert_allclose(recorder.losses, first.losses, rtol=1e-3)
    assert deviation(base_model, expected, output) < 0.01


def test_it_learns_and_the_result_opens_in_stock_diffusers(
    base_model: Path, dataset: Path, tmp_path: Path
) -> None:
    config = tiny(
        base_model,
        iterations=40,
        batch_size=8,
        micro_batch_size=8,
        learning_rate=3e-3,
        precision="bfloat16",
        ema_decay=0.8,
        checkpoint_every=100,
        preview_prompts=3,
        preview_steps=2,
        saved_precision="float16",
    )
    recorder, output = Recorder(), tmp_path / "model"
    run(config, dataset=[dataset], output=output, work=tmp_path / "work", tracker=recorder)
    assert np.mean(recorder.losses[-5:]) < 0.8 * np.mean(recorder.losses[:5])
    last = recorder.rows[-1][1]
    assert last["memory_gib"] >= last["memory_gib_least"] > 0.01
    assert 0.0 < last["utilisation"] < 64  # cores in use
    assert {"loss", "loss_t0", "loss_t3", "gradient_norm", "images_per_second"} <= set(last)
    assert last["gradient_norm"] > 0
    assert recorder.images["samples.png"].shape == (32, 96, 3)
    assert all(value.dtype == torch.float16 for value in weights(output).values())
    pipeline = StableDiffusionXLPipeline.from_pretrained(output)
    pipeline.set_progress_bar_config(disable=True)
    images = pipeline("brick, red", num_inference_steps=2, output_type="np").images
    assert np.isfinite(images).all()


def test_resuming_continues_the_averaged_weights(
    base_model: Path, dataset: Path, tmp_path: Path
) -> None:
    whole = tiny(base_model, iterations=4, ema_decay=0.5)
    half = whole.model_copy(update={"iterations": 2})
    no = NullTracker()
    run(whole, dataset=[dataset], output=tmp_path / "a", work=tmp_path / "w1", tracker=no)
    run(half, dataset=[dataset], output=tmp_path / "b", work=tmp_path / "w2", tracker=no)
    half_written = tmp_path / "w2" / "checkpoints" / ".step-0000009.partial"
    half_written.mkdir()
    (half_written / "gigabytes").touch()
    run(whole, dataset=[dataset], output=tmp_path / "c", work=tmp_path / "w2", tracker=no)
    assert not half_written.exists()
    expected, resumed = weights(tmp_path / "a"), weights(tmp_path / "c")
    assert all(torch.equal(resumed[name], value) for name, value in expected.items())


def test_a_diverging_loss_is_a_user_error(base_model: Path, dataset: Path, tmp_path: Path) -> None:
    config = tiny(base_model, learning_rate=1e30, max_gradient_norm=1e30)
    with pytest.raises(UserError, match="learning_rate"):
        run(
            config,
            dataset=[dataset],
            output=tmp_path / "model",
            work=tmp_path / "work",
            tracker=NullTracker(),
        )
    assert not (tmp_path / "model").exists()


def test_the_sentence_of_a_training_process_is_the_stages(
    base_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config, gallery = tiny(base_model, processes=2), Gallery(tiny(base_model), NullTracker())
    reasons = ["the training loss is not finite", ""]

    def failing(command: Sequence[str], processes: int, watch: Callable[[], None]) -> None:
        if reason := reasons.pop(0):
            (tmp_path / "failure.txt").write_text(reason)
        raise UserError("one of 2 training processes failed")

    monkeypatch.setattr("components.core.platform.processes.train_here", failing)
    with pytest.raises(UserError, match="loss is not finite"):
        train_in_processes(config, tmp_path, NullTracker(), gallery)
    # What an attempt of before left there is not the reason of this one.
    with pytest.raises(UserError, match="one of 2 training processes failed"):
        train_in_processes(config, tmp_path, NullTracker(), gallery)


def test_draws_cover_the_timesteps_and_repeat() -> None:
    draw = Draw.of_step(0, 5, (100, 1, 2, 2), 1000, 0.1)
    assert sorted((draw.t_b // 10).tolist()) == list(range(100))
    assert torch.equal(draw.noise_bchw, Draw.of_step(0, 5, (100, 1, 2, 2), 1000, 0.1).noise_bchw)
    assert not torch.equal(draw.t_b, Draw.of_step(0, 6, (100, 1, 2, 2), 1000, 0.1).t_b)
    many = [Draw.of_step(0, step, (100, 1, 1, 1), 1000, 0.1).drop_b for step in range(50)]
    assert 0.07 < float(torch.stack(many).float().mean()) < 0.13


def test_a_shift_draws_much_noise_more_often_and_still_covers_everything() -> None:
    t = Draw.of_step(0, 5, (1000, 1, 1, 1), 1000, 0.1, shift=3.0).t_b.double() / 1000
    for u in (0.25, 0.5, 0.75):  # Esser et al. 2024, equation 23, with shift = sqrt(m / n)
        assert abs(float((t < 3.0 * u / (1.0 + 2.0 * u)).double().mean()) - u) < 2e-3
    assert float(t.min()) < 0.01 < 0.99 < float(t.max())


def test_only_complete_lines_of_metrics_are_forwarded(tmp_path: Path) -> None:
    file, recorder = tmp_path / "metrics.jsonl", Recorder()
    assert forward_metrics(file, 0, recorder) == 0
    file.write_text(json.dumps({"step": 1, "loss": 2.0}) + '\n{"step": 2, "lo')
    seen = forward_metrics(file, 0, recorder)
    assert (seen, recorder.rows) == (1, [(1, {"loss": 2.0})])
