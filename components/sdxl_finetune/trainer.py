"""The training loop: v-prediction with zero terminal SNR over cached latents.

Everything random in a step (items, timesteps, noise, dropped captions) is a function of the seed
and the step's number, drawn for the whole batch at once. So a resumed run continues bit by bit, and
the number of processes and the micro-batch do not change what a step trains on.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from components.core.diffusion.loss import loss_by_timestep, v_prediction_loss
from components.core.diffusion.model import TextToImage
from components.core.errors import UserError
from components.core.platform.seeds import derive_seed
from components.sdxl_finetune.checkpoint import load_checkpoint, save_checkpoint
from components.sdxl_finetune.config import Config
from components.sdxl_finetune.data import TrainingData, batch_items
from components.sdxl_finetune.engine import start_engine

Log = Callable[[Mapping[str, float], int], None]


@dataclass(frozen=True)
class Draw:
    """The random part of one optimizer step, for the whole batch."""

    t_b: Tensor  # (B,) timesteps
    noise_bchw: Tensor
    drop_b: Tensor  # (B,) bool, captions left out

    @classmethod
    def of_step(
        cls, seed: int, step: int, shape: tuple[int, ...], train_steps: int, dropout: float
    ) -> Draw:
        """Draw step number `step`. Timesteps are uniform and stratified over the batch."""
        generator = torch.Generator().manual_seed(derive_seed(seed, "step", str(step)))
        batch = shape[0]
        strata = (torch.arange(batch) + torch.rand(batch, generator=generator)) / batch
        strata = strata[torch.randperm(batch, generator=generator)]
        return cls(
            (strata * train_steps).long().clamp(max=train_steps - 1),
            torch.randn(shape, generator=generator),
            torch.rand(batch, generator=generator) < dropout,
        )


class Trainer:
    """Trains `model.unet` in place; every process of the group has one."""

    def __init__(self, config: Config, model: TextToImage, data: TrainingData) -> None:
        self.config, self.model, self.data = config, model, data
        self.schedule = model.schedule
        model.unet.requires_grad_(True).train()
        if config.gradient_checkpointing:
            model.unet.enable_gradient_checkpointing()
        self.engine = start_engine(model.unet, config)
        self.average: dict[str, Tensor] | None = None
        if config.ema_decay > 0:
            self.average = {n: p.detach().clone() for n, p in model.unet.named_parameters()}

    def train(self, checkpoints: Path, log: Log) -> None:
        """Run from the newest checkpoint to the last iteration; the last one is saved too."""
        checkpoints.mkdir(parents=True, exist_ok=True)
        done, extra = load_checkpoint(self.engine, checkpoints)
        if self.average is not None and "average" in extra:
            device = self.engine.device
            self.average = {name: value.to(device) for name, value in extra["average"].items()}
        started, first = time.monotonic(), done
        while done < self.config.iterations:
            metrics = self._step(done)
            done += 1
            if done % self.config.log_every == 0 or done == self.config.iterations:
                images = (done - first) * self.config.batch_size
                rate = images / (time.monotonic() - started)
                self._report(metrics | {"images_per_second": rate}, done, log)
            if done % self.config.checkpoint_every == 0 or done == self.config.iterations:
                state = {} if self.average is None else {"average": self.average}
                save_checkpoint(self.engine, checkpoints, done, state)

    def _step(self, step: int) -> dict[str, float]:
        """One optimizer step; metrics are this process's own share of the batch."""
        config, engine = self.config, self.engine
        items = batch_items(config.seed, step, config.batch_size, len(self.data))
        shape = (config.batch_size, *self.model.latent_shape)
        train_steps = self.schedule.train_steps
        draw = Draw.of_step(config.seed, step, shape, train_steps, config.caption_dropout)
        self._set_learning_rate(step)
        losses, timesteps = [], []
        for part in self._own_parts():
            latents, embeds = self.data.batch(items[part], engine.device)
            t_b = draw.t_b[part].to(engine.device)
            losses_b = v_prediction_loss(
                engine,
                self.schedule,
                latents,
                embeds.dropped(draw.drop_b[part].to(engine.device)),
                draw.noise_bchw[part].to(engine.device),
                t_b,
                self.model.image_size,
            )
            engine.backward(losses_b.mean())
            norm = self._gradient_norm()
            engine.step()
            losses.append(losses_b.detach())
            timesteps.append(t_b)
        self._update_average()
        losses_b, t_b = torch.cat(losses), torch.cat(timesteps)
        after = engine.get_global_grad_norm() if config.zero_stage else norm
        return {
            "loss": float(losses_b.mean()),
            "gradient_norm": float(after or 0.0),
            **loss_by_timestep(losses_b, t_b, train_steps),
        }

    def _own_parts(self) -> list[slice]:
        """The micro-batches of this process within the batch."""
        size, count = self.config.micro_batch_size, self.config.accumulation
        first = torch.distributed.get_rank() * count * size
        return [slice(first + i * size, first + (i + 1) * size) for i in range(count)]

    def _gradient_norm(self) -> float:
        """Norm before clipping at the end of a step; ZeRO keeps its own."""
        if self.config.zero_stage or not self.engine.is_gradient_accumulation_boundary():
            return 0.0
        gradients = [p.grad for p in self.model.unet.parameters() if p.grad is not None]
        return float(torch.nn.utils.get_total_norm(gradients))

    def _set_learning_rate(self, step: int) -> None:
        warmup = self.config.warmup_steps
        factor = min(1.0, (step + 1) / warmup) if warmup else 1.0
        for group in self.engine.optimizer.param_groups:
            group["lr"] = self.config.learning_rate * factor

    @torch.no_grad()
    def _update_average(self) -> None:
        if self.average is None:
            return
        for name, parameter in self.model.unet.named_parameters():
            self.average[name].lerp_(parameter, 1.0 - self.config.ema_decay)

    def _report(self, metrics: Mapping[str, float], step: int, log: Log) -> None:
        if not torch.isfinite(torch.tensor(metrics["loss"])):
            raise UserError(
                f"the training loss is {metrics['loss']} at step {step}: lower "
                "sdxl_finetune.learning_rate or set sdxl_finetune.precision to 'float32'"
            )
        if torch.distributed.get_rank() == 0:
            log(metrics, step)

    def result(self) -> nn.Module:
        """The trained UNet, with averaged weights if there are any."""
        unet = self.model.unet
        if self.average is not None:
            unet.load_state_dict(self.average, strict=False)
        return unet.eval().requires_grad_(False)
