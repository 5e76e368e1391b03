"""The GPU benchmark of stage 2 on a CPU: that it runs, and that its arithmetic is right."""

import math
from pathlib import Path

import pytest
import torch

from components.core.diffusion.small import SmallConfig, build_small
from components.ddpo_lora.config import Config
from pipelines.plan.passes import Line, PassCost
from pipelines.recipe import load_recipe
from tests.benchmarks.ddpo_gpu import Measured, epoch_flops, fitting, main, paper_days, result
from tests.benchmarks.random_parts import random_clip

SDXL = PassCost(1, 1, 6.76e12, 14.1e12, 6.4e12, Line(0, 0), Line(0, 0), Line(0, 0), 0)


def test_the_arithmetic() -> None:
    """The paper's run: 110 epochs of 256 samples are 2.9e19 FLOP, 32 A100s for 18 hours."""
    paper = Config(guidance=1.0)
    flops = 110 * epoch_flops(paper, SDXL)
    assert flops == pytest.approx(2.9e19, rel=0.02)
    rate = 32 * 312e12
    one = result("paper", paper, SDXL, Measured(18 * 3600 / 110, {}, 0.0, 0), rate)
    assert one.utilisation == pytest.approx(0.0447, rel=0.02)
    assert one.utilisation < 0.10
    assert paper_days(one, paper, rate, SDXL) == pytest.approx(18 / 24)


def test_a_window_leaves_the_sampling_and_guidance_doubles_both() -> None:
    plain, window = Config(guidance=1.0), Config(guidance=1.0, window=5)
    per_sample = epoch_flops(window, SDXL) / 256
    assert per_sample == pytest.approx(50 * 6.76e12 + 5 * 14.1e12)
    assert epoch_flops(plain, SDXL) / epoch_flops(window, SDXL) == pytest.approx(2.52, abs=0.01)
    guided = window.model_copy(update={"guidance": 5.0})
    assert epoch_flops(guided, SDXL) == 2 * epoch_flops(window, SDXL)


def test_one_pass_saves_the_forward_passes_of_what_is_trained() -> None:
    """For SDXL 14.1 instead of 20.9 TFLOP a step; the last step is sampled only."""
    paper, one = Config(guidance=1.0), Config(guidance=1.0, one_pass=True)
    per_sample = epoch_flops(one, SDXL) / 256
    assert per_sample == pytest.approx(49 * 14.1e12 + 6.76e12)
    assert epoch_flops(paper, SDXL) / epoch_flops(one, SDXL) == pytest.approx(1.47, abs=0.01)


def test_all_ways_run_and_are_compared(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    build_small(["old red brick wall"], SmallConfig.micro()).save(tmp_path / "model")
    words = ["--device", "cpu", "--base-model", str(tmp_path / "model"), "--samples", "4"]
    words += ["--forward-batch", "2", "--steps", "4", "--window", "1", "--render-workers", "1"]
    whole, single, window = main([*words, "--render-size", "16", "--clip", "small"])
    assert (whole.name, single.name, window.name) == ("all steps", "one pass", "window 1")
    assert whole.flops > single.flops > window.flops
    for one in (whole, single, window):
        assert {"sample", "decode", "render", "score", "update"} <= set(one.seconds)
        assert one.teraflops * 1e12 == pytest.approx(one.flops / one.epoch_seconds)
    assert whole.ratio_deviation == 0.0  # a single update: nothing has moved before it
    assert math.isnan(single.ratio_deviation)
    said = capsys.readouterr().out
    assert said.count("importance ratio") == 1
    assert "times as fast (aim 3)" in said
    samples = load_recipe("paper").shared.rendering.spp
    assert f"renderings of 16² at {samples} samples a pixel" in said
    assert "with the guidance of 5 in the recipe `paper`" in said


def test_what_does_not_fit_is_measured_again_with_checkpointing(
    capsys: pytest.CaptureFixture[str],
) -> None:
    tried: list[bool] = []

    def run(config: Config) -> Measured:
        tried.append(config.gradient_checkpointing)
        if not config.gradient_checkpointing:
            raise torch.OutOfMemoryError
        return Measured(1.0, {}, 0.0, 0)

    config, found = fitting(run, Config())
    assert tried == [False, True]
    assert config.gradient_checkpointing
    assert found.seconds == 1.0
    assert "again with gradient checkpointing" in capsys.readouterr().out

    def never(config: Config) -> Measured:
        raise torch.OutOfMemoryError

    with pytest.raises(torch.OutOfMemoryError):
        fitting(never, Config())


def test_clip_of_full_size_has_the_papers_dimension() -> None:
    assert random_clip("ViT-L-14", "meta").model.visual.output_dim == 768
