"""One training process; what torchrun, or a TrainJob on a cluster, starts.

    torchrun --nproc-per-node 8 -m components.sdxl_finetune.worker WORK

WORK holds `config.json` and the cache that the stage has made; the result is `WORK/unet`, metrics
go to `WORK/metrics.jsonl`, which the stage forwards to its tracker.
"""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import torch

from components.core.diffusion.model import load_model
from components.sdxl_finetune.config import Config
from components.sdxl_finetune.data import TrainingData
from components.sdxl_finetune.device import announce_device

CONFIG, CACHE, CHECKPOINTS = "config.json", "cache", "checkpoints"
METRICS, RESULT = "metrics.jsonl", "unet"

Log = Callable[[Mapping[str, float], int], None]


def train_in_process(config: Config, work: Path, log: Log) -> None:
    """Train as a member of the process group and have rank 0 write the trained UNet."""
    announce_device(config.device)
    from components.sdxl_finetune.trainer import Trainer

    model = load_model(config.base_model)
    trainer = Trainer(config, model, TrainingData(work / CACHE))
    trainer.train(work / CHECKPOINTS, log)
    if torch.distributed.get_rank() == 0:
        trainer.result()
        partial = work / f".{RESULT}.partial"
        shutil.rmtree(partial, ignore_errors=True)
        model.unet.save_pretrained(partial, safe_serialization=True)
        shutil.rmtree(work / RESULT, ignore_errors=True)
        partial.rename(work / RESULT)


def main() -> None:
    """Entry point of a torchrun process."""
    work = Path(sys.argv[1])
    config = Config.model_validate_json((work / CONFIG).read_text())

    def log(metrics: Mapping[str, float], step: int) -> None:
        with (work / METRICS).open("a", encoding="utf-8") as file:
            file.write(json.dumps({"step": step, **metrics}) + "\n")

    train_in_process(config, work, log)
    torch.distributed.destroy_process_group()


if __name__ == "__main__":
    main()
