"""Whether the fine-tuning fits into this machine's GPUs, known before the first stage starts."""

from __future__ import annotations

import shutil
import subprocess
import sys

from components.core.errors import UserError
from components.sdxl_finetune.config import Config
from pipelines.plan.gpus import Gpu

GIB = 2**30
QUERY = ("--query-gpu=name,memory.total", "--format=csv,noheader,nounits")


def check_memory(config: Config) -> None:
    """UserError when training on this machine's GPUs needs more of them than there is.

    By the arithmetic of `realmat plan`. On a cluster, where a TrainJob may get any GPU, and on a
    CPU there is nothing to check; the training's own error says then what would fit.
    """
    gpus = [] if config.device == "cpu" or config.nodes > 1 else gpus_here()
    if not gpus:
        return
    config = config.resolved(len(gpus))
    if config.processes > len(gpus):
        raise UserError(
            f"sdxl_finetune.processes is {config.processes}, but this machine has {len(gpus)} "
            f"GPU{'' if len(gpus) == 1 else 's'}: set it to at most that"
        )
    check_fits(config, min(gpus[: config.processes], key=lambda gpu: gpu.memory_gib))


def gpus_here() -> list[Gpu]:
    """The GPUs by NVIDIA's own tool, which answers faster than torch is imported."""
    tool = shutil.which("nvidia-smi")
    if tool is None:
        return []
    said = subprocess.run([tool, *QUERY], capture_output=True, text=True, check=False)  # noqa: S603
    rows = [line.rsplit(",", 1) for line in said.stdout.splitlines() if said.returncode == 0]
    return [Gpu(row[0].strip(), float(row[1]) / 1024, 0.0) for row in rows if len(row) == 2]


def check_fits(config: Config, gpu: Gpu) -> None:
    """UserError, with what would fit, unless each process of the training fits into the GPU."""
    from pipelines.plan.booking import lay_out, suggest
    from pipelines.plan.memory import memory_of
    from pipelines.plan.model import describe
    from pipelines.plan.work import finetuning

    try:
        model = describe(config.base_model)
    except UserError as error:
        print(f"realmat: memory is not checked: {error}", file=sys.stderr)
        return
    work = finetuning(config, model)
    needed = memory_of(
        work.cost, zero=config.zero_stage, gpus=config.processes,
        micro_batch=config.micro_batch_size, checkpointing=config.gradient_checkpointing,
        ema=work.ema,
    ).total  # fmt: skip
    if needed <= gpu.usable_bytes:
        return
    fits = suggest(lay_out(work, gpu, config.processes), work.batch // config.processes)
    advice = (
        f"set sdxl_finetune.zero_stage={fits.zero}, micro_batch_size={fits.micro_batch} and "
        f"gradient_checkpointing={str(fits.checkpointing).lower()}, which fit"
        if fits
        else "use more or larger GPUs; `realmat plan` says which would do"
    )
    raise UserError(
        f"sdxl_finetune needs {needed / GIB:.1f} GiB of each GPU with micro_batch_size "
        f"{config.micro_batch_size} at zero_stage {config.zero_stage}, but {gpu.name} has "
        f"{gpu.usable_bytes / GIB:.1f} GiB for it: {advice}"
    )
