"""A DeepSpeed engine around the UNet, on a CPU, one GPU or many.

Two habits of DeepSpeed are switched off on a CPU: compiling a shared-memory operator at the first
start (a minute and a half, and a hang for ever if that is killed half-way), for which gloo is a
full replacement, and looking for MPI when one process was started without a launcher.
"""

from __future__ import annotations

import logging
import os
from typing import Any

import deepspeed
import torch
from diffusers.models.attention_processor import AttnProcessor
from torch import nn
from torch._C._distributed_c10d import HashStore

from components.core.diffusion.acceleration import use_channels_last
from components.core.platform.memory import keep_freed_memory
from components.sdxl_finetune.checkpoint import SafetensorsCheckpoints
from components.sdxl_finetune.config import Config
from components.sdxl_finetune.device import compute_device

MOST_TOKENS = 32 * 32
"""Of a latent image, for attention to hold all pairs of them in memory at once."""


def deepspeed_settings(config: Config) -> dict[str, Any]:
    """DeepSpeed's own configuration; it checks that the three batch numbers agree."""
    return {
        "train_batch_size": config.batch_size,
        "train_micro_batch_size_per_gpu": config.micro_batch_size,
        "gradient_accumulation_steps": config.accumulation,
        "gradient_clipping": config.max_gradient_norm,
        "zero_optimization": {"stage": config.zero_stage},
        # We pass torch's AdamW, which needs no compiled operator.
        "zero_allow_untested_optimizer": True,
        "torch_autocast": {"enabled": config.precision == "bfloat16", "dtype": "bfloat16"},
        "steps_per_print": 2**31,
    }


def start_engine(unet: nn.Module, config: Config) -> Any:
    """Wrap the UNet for training with AdamW; call from every process of the group."""
    logging.getLogger("DeepSpeed").setLevel(logging.WARNING)
    deepspeed.ops.__compatible_ops__["deepspeed_shm_comm"] = False
    device = compute_device(config.device)
    join_process_group(device)
    if device == "cpu":
        keep_freed_memory()
        if config.precision == "bfloat16":
            use_plain_attention(unet)
    if config.channels_last:
        use_channels_last(unet)
    if config.compile:
        unet.compile()
    optimizer = torch.optim.AdamW(
        unet.parameters(),
        lr=config.learning_rate,
        weight_decay=config.weight_decay,
        fused=device == "cuda",
    )
    engine, *_ = deepspeed.initialize(
        model=unet, optimizer=optimizer, config=deepspeed_settings(config)
    )
    scaler = engine.optimizer.loss_scaler if config.zero_stage else None
    engine.checkpoint_engine = SafetensorsCheckpoints(scaler)
    return engine


def use_plain_attention(unet: Any) -> None:
    """Have a UNet of small images write out its attention weights.

    The backward pass of torch's fused attention takes a fifth of a training step on a CPU in
    bfloat16, and ten times as long as the products it is made of. Large images keep it, for the
    weights grow with the square of the number of tokens.
    """
    if unet.config.sample_size**2 <= MOST_TOKENS:
        unet.set_attn_processor(AttnProcessor())


def join_process_group(device: str) -> None:
    """Join torchrun's group, or form a group of one without any network."""
    if torch.distributed.is_initialized():
        return
    backend = "nccl" if device == "cuda" else "gloo"
    if "WORLD_SIZE" in os.environ:
        if device == "cuda":
            torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
        torch.distributed.init_process_group(backend)
        return
    os.environ["LOCAL_RANK"] = "0"  # which DeepSpeed reads
    torch.distributed.init_process_group(backend, store=HashStore(), rank=0, world_size=1)
