"""The GPU benchmark on a CPU: that it runs, and that its arithmetic is right."""

from pathlib import Path

import pytest

from components.core.diffusion.small import SmallConfig, build_small
from pipelines.plan.passes import Line, PassCost
from tests.benchmarks.finetune_gpu import main, matrix_rate, result


def test_the_arithmetic() -> None:
    """The paper: 120 images a step, 400,000 of them in 7 days on 24 A100s are a fifth of these."""
    cost = PassCost(1, 1, 6.76e12, 20.2e12, 6.4e12, Line(0, 0), Line(0, 0), Line(0, 0), 0)
    week = 7 * 24 * 3600
    paper = result("paper", week / 400_000, 120, cost, 24 * 312e12, 0, 0.0)
    assert paper.images_per_second == pytest.approx(79.4, abs=0.1)
    assert paper.utilisation == pytest.approx(0.214, abs=0.002)


def test_both_ways_run_and_are_compared(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    build_small(["old red brick wall"], SmallConfig.micro()).save(tmp_path / "model")
    words = ["--device", "cpu", "--base-model", str(tmp_path / "model"), "--micro-batch", "2"]
    ways = ["--gradient-checkpointing", "--zero-stage", "2", "--channels-last", "--ema", "0.9"]
    public, ours = main([*words, "--steps", "1", *ways])
    assert (public.name, ours.name) == ("the public way", "ours")
    for one in (public, ours):
        assert one.images_per_second == pytest.approx(2 / one.step_seconds)
        assert one.estimated_bytes > 0
    # The same model and the same rate: the shares are in proportion to the speeds.
    ratio = ours.images_per_second / public.images_per_second
    assert ours.utilisation / public.utilisation == pytest.approx(ratio)
    assert f"ours is {ratio:.2f} times as fast" in capsys.readouterr().out


def test_the_rate_of_matrices_is_that_of_two_operations_a_product(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("tests.benchmarks.finetune_gpu.timed", lambda *_: 0.5)
    assert matrix_rate("cpu", side=64) == 2 * 64**3 / 0.5
