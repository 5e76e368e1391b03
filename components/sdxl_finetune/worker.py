"""One training process; what torchrun, or a TrainJob on a cluster, starts.

    torchrun --nproc-per-node 8 -m components.sdxl_finetune.worker WORK

WORK holds `config.json` and the cache, or what is to be encoded into it before training. The result
is `WORK/unet`, metrics go to `WORK/metrics.jsonl` and sampled grids to `WORK/samples`, which the
stage forwards to its tracker, and the sentence of a user's error to `WORK/failure.txt`.
"""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch

from components.core.diffusion.model import TextToImage, load_model
from components.core.platform.processes import ending_well
from components.sdxl_finetune.config import Config
from components.sdxl_finetune.data import TrainingData
from components.sdxl_finetune.device import announce_device
from components.sdxl_finetune.encode import encode_in_rank
from components.sdxl_finetune.samples import FOLDER, Images, leave_file

CONFIG, CACHE, CHECKPOINTS = "config.json", "cache", "checkpoints"
METRICS, RESULT = "metrics.jsonl", "unet"
STEPS = "steps.txt"  # in the result

Log = Callable[[Mapping[str, float], int], None]
Show = Callable[[Images, int], None]


def train_in_process(config: Config, work: Path, log: Log, show: Show, model: TextToImage) -> None:
    """Train as a member of the process group and have rank 0 write the trained UNet.

    model: the base model, on the CPU.
    """
    announce_device(config.device)
    from components.sdxl_finetune.observer import Observer
    from components.sdxl_finetune.trainer import Trainer

    observer = Observer(config, model, work, work / CACHE, log, show)
    data, checkpoints = TrainingData(work / CACHE), work / CHECKPOINTS
    trainer = Trainer(config, model, data, checkpoints, log, observer)
    trainer.train()
    if trainer.average is not None:
        trainer.average.copy_to_parameters()
    write_result(model.unet, work, config.iterations)


def is_trained(work: Path, steps: int) -> bool:
    """Whether the result of so many steps is there; a longer training continues that of before."""
    note = work / RESULT / STEPS
    return note.exists() and note.read_text() == str(steps)


def write_result(unet: Any, work: Path, steps: int) -> None:
    """Write the UNet after so many steps, whole or not at all; all processes call this."""
    import deepspeed

    # At ZeRO 3 this brings every parameter's shards together; else it does nothing.
    with deepspeed.zero.GatheredParameters(list(unet.parameters())):
        if torch.distributed.get_rank() == 0:
            partial = work / f".{RESULT}.partial"
            shutil.rmtree(partial, ignore_errors=True)
            unet.save_pretrained(partial, safe_serialization=True)
            (partial / STEPS).write_text(str(steps))
            shutil.rmtree(work / RESULT, ignore_errors=True)
            partial.rename(work / RESULT)
    torch.distributed.barrier()


def main() -> None:
    """Entry point of a torchrun process."""
    work = Path(sys.argv[1])
    config = Config.model_validate_json((work / CONFIG).read_text())

    def log(metrics: Mapping[str, float], step: int) -> None:
        with (work / METRICS).open("a", encoding="utf-8") as file:
            file.write(json.dumps({"step": step, **metrics}) + "\n")

    def show(grids: Images, step: int) -> None:
        leave_file(grids, step, work / FOLDER)

    with ending_well("sdxl_finetune", work):
        model = load_model(config.base_model)
        encode_in_rank(work / CACHE, model)
        train_in_process(config, work, log, show, model)
    torch.distributed.destroy_process_group()


if __name__ == "__main__":
    main()
