"""`realmat plan`: its counts against literature, against real runs, and against the paper."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from diffusers import UNet2DConditionModel

from components.core.diffusion.small import SmallConfig, build_small
from components.core.errors import UserError
from components.sdxl_finetune.average import Average
from components.sdxl_finetune.config import Config
from components.sdxl_finetune.device import announce_device
from pipelines.cli import main
from pipelines.plan.booking import book
from pipelines.plan.gpus import GPUS, gpu_of
from pipelines.plan.live import LiveBytes
from pipelines.plan.memory import BUCKET, memory_of
from pipelines.plan.model import SDXL_BASE, Model, describe
from pipelines.plan.passes import Line, PassCost
from pipelines.plan.table import text
from pipelines.plan.unet import count_unet, unet_inputs
from pipelines.plan.work import Work, reinforcement
from pipelines.recipe import load_recipe

TERA = 1e12
WEEK = 7 * 24 * 3600.0


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("base") / "model"
    build_small(["old red brick wall"], SmallConfig.micro()).save(path)
    return path


@pytest.fixture(scope="module")
def small(folder: Path) -> Model:
    return describe(str(folder))


@pytest.fixture(scope="module")
def sdxl() -> PassCost:
    return count_unet(describe(SDXL_BASE), autocast=True)


@pytest.fixture(scope="module")
def counted(small: Model) -> dict[bool, PassCost]:
    """By autocast, whose rules are those of the CPU here."""
    return {autocast: count_unet(small, autocast=autocast, gpu=False) for autocast in (False, True)}


def stage_1(cost: PassCost) -> Work:
    config = load_recipe("paper").sdxl_finetune
    passes = float(config.iterations * config.batch_size)
    return Work(
        "sdxl_finetune", cost, config.batch_size, 1, 0.0, passes, (0, 1, 2, 3), True, False, 0
    )


def stage_2(cost: PassCost, rows: int) -> Work:
    config = load_recipe("paper").ddpo_lora
    passes = float(config.epochs * config.samples_per_epoch * config.steps * rows)
    return Work("ddpo_lora", cost, 256, rows, passes, passes, (0,), False, False, 901_374_183)


def test_sdxl_is_counted_as_others_have(sdxl: PassCost) -> None:
    assert sdxl.parameters == sdxl.trained == 2_567_463_684
    assert sdxl.forward_flops / TERA == pytest.approx(6.76, abs=0.005)
    assert sdxl.training_flops / TERA == pytest.approx(20.23, abs=0.005)
    # What is computed again is the forward pass without the first, last and sampling layers.
    assert 0.9 < sdxl.recomputed_flops / sdxl.forward_flops < 1.0


def test_stage_1_of_the_paper_used_a_fifth_of_its_gpus(sdxl: PassCost) -> None:
    flops = stage_1(sdxl).model_flops()
    assert flops == pytest.approx(9.7e20, rel=0.01)
    assert flops / (24 * WEEK * 312 * TERA) == pytest.approx(0.21, abs=0.01)
    # At that utilisation the plan has to say a week, where nothing is computed again.
    booking = book(stage_1(sdxl), gpu_of("a100-80"), 24, 0.214)
    assert booking.suggested is not None
    assert not booking.suggested.checkpointing
    assert booking.seconds == pytest.approx(WEEK, rel=0.02)
    assert booking.suggested.micro_batch * booking.accumulation * booking.used == 120


def test_the_papers_recipe_fits_its_gpus(sdxl: PassCost) -> None:
    """With a sixth of the memory to spare, and computing nothing twice."""
    config = load_recipe("paper").sdxl_finetune
    assert not config.gradient_checkpointing
    needed = memory_of(
        sdxl, zero=config.zero_stage, gpus=config.world_size, micro_batch=config.micro_batch_size,
        checkpointing=False, ema=config.ema_decay > 0,
    ).total  # fmt: skip
    assert needed < 5 / 6 * GPUS["A100-80"].usable_bytes


def test_stage_2_of_the_paper_used_less_than_a_tenth(sdxl: PassCost) -> None:
    lora = replace(sdxl, training_flops=14.1 * TERA, trained=5_806_080)
    available = 32 * 18 * 3600 * 312 * TERA
    assert stage_2(lora, 1).model_flops() == pytest.approx(2.9e19, rel=0.02)
    assert stage_2(lora, 1).model_flops() / available < 0.05
    assert stage_2(lora, 2).model_flops() / available < 0.10  # with guidance in both passes


def test_one_pass_saves_a_third_of_stage_2(sdxl: PassCost) -> None:
    config, model = load_recipe("paper").ddpo_lora, describe(SDXL_BASE)
    assert config.one_pass
    one = reinforcement(config, model)
    two = reinforcement(config.model_copy(update={"one_pass": False}), model)
    assert (one.sampled, one.trained) == (0, two.trained)
    assert two.sampled == two.trained
    assert two.model_flops() / one.model_flops() == pytest.approx(20.9 / 14.1, rel=0.02)


def test_an_adapter_saves_the_gradients_of_weights(
    small: Model, counted: dict[bool, PassCost]
) -> None:
    lora = count_unet(small, autocast=False, rank=4)
    assert lora.trained < lora.parameters / 20
    # No product is made for weights' gradients: about two products where the whole takes three.
    whole = counted[False]
    assert lora.training_flops / lora.forward_flops == pytest.approx(2.0, abs=0.3)
    assert whole.training_flops / whole.forward_flops == pytest.approx(3.0, abs=0.15)


@pytest.mark.parametrize("autocast", [False, True])
@pytest.mark.parametrize("checkpointing", [False, True])
def test_memory_is_that_of_a_real_step(
    small: Model, counted: dict[bool, PassCost], autocast: bool, checkpointing: bool
) -> None:
    """States to the byte; activations within 2 %, with checkpointing from -10 % to +20 %."""
    batch, cost = 3, counted[autocast]
    unet = UNet2DConditionModel(**small.unet).train()
    if checkpointing:
        unet.enable_gradient_checkpointing()
    parameters = list(unet.parameters())
    optimizer = torch.optim.AdamW(parameters)
    for parameter in parameters:
        parameter.grad = torch.zeros_like(parameter)
    inputs = unet_inputs(small, batch)
    gradients = [p.grad for p in parameters if p.grad is not None]
    with LiveBytes([*parameters, *gradients]) as live:
        with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
            velocity = unet(**inputs, return_dict=False)[0]
        velocity.float().square().mean().backward()
    optimizer.step()
    memory = memory_of(cost, zero=0, gpus=1, micro_batch=batch, checkpointing=checkpointing)
    assert memory.weights == sum(p.nbytes for p in parameters)
    assert memory.gradients == sum(g.nbytes for g in gradients)
    moments = [optimizer.state[p][name] for p in parameters for name in ("exp_avg", "exp_avg_sq")]
    assert memory.optimizer == sum(moment.nbytes for moment in moments)
    low, high = (0.9, 1.2) if checkpointing else (0.98, 1.02)
    assert low <= memory.activations / live.peak <= high


@pytest.mark.parametrize("checkpointing", [False, True])
def test_the_sum_is_the_peak_of_a_real_training(
    small: Model, counted: dict[bool, PassCost], checkpointing: bool
) -> None:
    """Everything alive at once in a later step, from the model's making on: 3 %, and with
    checkpointing, as above, a little too much rather than too little."""
    batch = 3
    with LiveBytes([]) as live:
        unet = UNet2DConditionModel(**small.unet).train()
        if checkpointing:
            unet.enable_gradient_checkpointing()
        optimizer, average = torch.optim.AdamW(unet.parameters()), Average(unet, 0.9)
        inputs = unet_inputs(small, batch)
        for _ in range(2):
            unet(**inputs, return_dict=False)[0].square().mean().backward()
            optimizer.step()
            optimizer.zero_grad(set_to_none=False)
            average.update()
    memory = memory_of(
        counted[False], zero=0, gpus=1, micro_batch=batch, checkpointing=checkpointing, ema=True
    )
    low, high = (0.97, 1.1) if checkpointing else (0.97, 1.03)
    assert low <= memory.total / live.peak <= high


def test_activations_are_what_autograd_saves(small: Model, counted: dict[bool, PassCost]) -> None:
    """By another way of measuring: hooks on the tensors that a real forward pass saves."""
    unet = UNet2DConditionModel(**small.unet).train()
    weights = {p.untyped_storage().data_ptr() for p in unet.parameters()}
    saved: dict[int, torch.UntypedStorage] = {}

    def pack(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in weights:
            saved[storage.data_ptr()] = storage
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        velocity = unet(**unet_inputs(small, 3), return_dict=False)[0]
    measured = sum(storage.nbytes() for storage in saved.values())
    assert velocity.requires_grad
    assert counted[False].peak(3, checkpointing=False) == pytest.approx(measured, rel=0.05)


def test_each_zero_stage_divides_one_thing_more(sdxl: PassCost) -> None:
    def at(zero: int, gpus: int = 24) -> dict[str, float]:
        memory = memory_of(sdxl, zero=zero, gpus=gpus, micro_batch=5, checkpointing=True, ema=True)
        return {name: getattr(memory, name) / sdxl.trained for name in memory.__dict__}

    none, optimizer, gradients, weights = (at(stage) for stage in range(4))
    assert (none["weights"], none["gradients"], none["optimizer"]) == (4, 4, 8)
    assert optimizer["optimizer"] == pytest.approx((8 + 4) / 24)
    assert (optimizer["gradients"], gradients["gradients"]) == (4, pytest.approx(4 / 24))
    assert (gradients["weights"], weights["weights"]) == (4, pytest.approx(4 / 24))
    assert (gradients["average"], weights["average"]) == (4, pytest.approx(4 / 24))
    assert optimizer["buffers"] * sdxl.trained == 4 * BUCKET
    assert none["activations"] == weights["activations"]


def test_the_table_says_what_to_book(sdxl: PassCost) -> None:
    lines = list(text(book(stage_1(sdxl), gpu_of("a100-80"), 25, 0.4)))
    assert "9.71e+20 FLOP, batch 120 on 24 x A100-80" in lines[0]
    assert lines[1] == "  25 GPUs cannot share a batch of 120 evenly: 24 of them are used."
    assert sum(line.startswith("  ZeRO") for line in lines) == 8
    assert "Suggested: ZeRO 1, micro-batch 5 x accumulation 1" in lines[-1]


def test_deepspeed_keeps_the_optimizer_states_that_are_said(
    small: Model, counted: dict[bool, PassCost]
) -> None:
    """At ZeRO 2 with one process: a float32 copy of the weights and both moments."""
    announce_device("cpu")
    from components.sdxl_finetune.engine import start_engine

    unet = UNet2DConditionModel(**small.unet).train()
    settings = Config(batch_size=2, micro_batch_size=2, zero_stage=2, device="cpu")
    engine = start_engine(unet, settings)
    engine.backward(engine(**unet_inputs(small, 2), return_dict=False)[0].square().mean())
    engine.step()
    states = engine.optimizer.optimizer.state.values()
    kept = sum(copy.nbytes for copy in engine.optimizer.single_partition_of_fp32_groups)
    kept += sum(state[name].nbytes for state in states for name in ("exp_avg", "exp_avg_sq"))
    memory = memory_of(counted[False], zero=2, gpus=1, micro_batch=2, checkpointing=False)
    assert kept == pytest.approx(memory.optimizer, rel=1e-4)  # but for padding


def test_checkpointing_is_proposed_where_memory_is_short(sdxl: PassCost) -> None:
    work = stage_1(sdxl)
    plans = {name: book(work, GPUS[name], 24, 0.4) for name in ("H200", "A100-40", "RTX4090")}
    large, middle, little = (plans[name].suggested for name in ("H200", "A100-40", "RTX4090"))
    assert large is not None
    assert middle is not None
    assert not large.checkpointing
    assert middle.checkpointing
    assert middle.memory.total <= GPUS["A100-40"].usable_bytes
    assert little is None or little.zero == 3 or little.memory.total <= 24 * 2**30
    assert plans["A100-40"].seconds > plans["H200"].seconds * 989 / 312


def test_what_fits_nowhere_says_where_it_would(sdxl: PassCost) -> None:
    booking = book(replace(stage_1(sdxl), zero_stages=(0,)), GPUS["L4"], 8, 0.4)
    assert booking.suggested is None
    assert booking.fitting[-2:] == ["H200", "B200"]
    assert "A100-40" not in booking.fitting


def test_a_batch_is_shared_evenly() -> None:
    cost = PassCost(10, 10, 1.0, 3.0, 1.0, Line(0, 1), Line(0, 1), Line(0, 1), 0)
    assert book(stage_1(cost), GPUS["H100"], 32, 0.4).used == 30
    assert book(stage_1(cost), GPUS["H100"], 500, 0.4).used == 120


def test_a_window_saves_passes_of_both_kinds(small: Model) -> None:
    mixed = load_recipe("laptop").ddpo_lora
    plain = mixed.model_copy(update={"window": 0, "window_stride": 1, "branch": False})
    samples = plain.epochs * plain.samples_per_epoch
    work = reinforcement(plain, small)
    assert (work.sampled, work.trained) == (10 * samples, 10 * samples)
    saved = reinforcement(mixed, small)
    assert saved.trained == 2 * samples
    assert 5.0 * samples < saved.sampled < 5.5 * samples


def test_the_command_prints_json(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    base_model = f"sdxl_finetune.base_model={folder}"
    words = ["plan", "laptop", "--gpus", "2", "--gpu-type", "rtx 4090", "--set", base_model]
    assert main([*words, "--json"]) == 0
    plan = json.loads(capsys.readouterr().out)
    first, second = plan["stages"]
    assert (first["stage"], second["stage"]) == ("sdxl_finetune", "ddpo_lora")
    assert first["gpu_type"] == "RTX4090"
    assert len(first["memory"]) == 8
    suggested = first["suggested"]
    assert suggested["micro_batch"] * suggested["accumulation"] * first["gpus"] == 32
    expected = suggested["executed_flops"] / (2 * 165e12 * 0.4) / 3600
    assert suggested["hours"] == pytest.approx(expected)


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        ("labtop --gpus 1 --gpu-type H100", "did you mean 'laptop'"),
        ("laptop --gpus 0 --gpu-type H100", "whole number from 1"),
        ("laptop --gpus 1 --gpu-type H20O", "did you mean 'H200'"),
        ("laptop --gpus 1 --gpu-type H100 --utilisation 1.2", "is no share"),
        ("laptop --gpus 1 --gpu-type H100 --set sdxl_finetune.base_model=gone", "gone cannot be"),
        ("laptop --gpus 1", "--gpu-type"),
    ],
)
def test_bad_input_is_one_sentence(
    arguments: str, part: str, capsys: pytest.CaptureFixture[str]
) -> None:
    try:
        code = main(["plan", *arguments.split()])
    except SystemExit as stop:
        code = int(str(stop.code))
    told = capsys.readouterr().err.strip()
    assert code == 2
    assert part in told
    assert len(told.splitlines()) == 1


def test_a_folder_without_a_model_is_a_user_error(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="cannot be planned for"):
        describe(str(tmp_path))
