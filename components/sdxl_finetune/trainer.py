"""The training loop: v-prediction with zero terminal SNR over cached latents.

Everything random in a step (items, timesteps, noise, dropped captions) is a function of the seed
and the step's number, drawn for the whole batch at once. So a resumed run continues bit by bit, and
the number of processes and the micro-batch do not change what a step trains on. For the same
reason a checkpoint holds no random state and no position in the data.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from components.core.diffusion.loss import loss_by_timestep, v_prediction_loss
from components.core.diffusion.model import TextToImage
from components.core.platform.preemption import Preempted, noticing_sigterm
from components.sdxl_finetune.average import Average
from components.sdxl_finetune.checkpoint import load_checkpoint, save_checkpoint, what_stays
from components.sdxl_finetune.clock import Clock
from components.sdxl_finetune.config import Config
from components.sdxl_finetune.data import TrainingData, batch_items
from components.sdxl_finetune.draw import Draw
from components.sdxl_finetune.engine import start_engine
from components.sdxl_finetune.fingerprint import fingerprint
from components.sdxl_finetune.safety import (
    anywhere,
    gradient_norm,
    require_finite_step,
    require_finite_weights,
    summed,
)

Log = Callable[[Mapping[str, float], int], None]
ResultWeights = Callable[[], AbstractContextManager[None]]
Observe = Callable[[Any, int, ResultWeights], None]


def unobserved(engine: Any, done: int, result_weights: ResultWeights) -> None:
    """Look at nothing."""


class Trainer:
    """Trains `model.unet` in place; every process of the group has one.

    Args:
        checkpoints: folder of the checkpoints, the same in all processes.
        log: receives metrics and the number of finished steps, in rank 0 alone.
        observe: called in all processes with the engine, the number of finished steps, and what
            to hold while looking, so that the weights are those that the result would have.
    """

    def __init__(
        self,
        config: Config,
        model: TextToImage,
        data: TrainingData,
        checkpoints: Path,
        log: Log,
        observe: Observe = unobserved,
    ) -> None:
        self.config, self.model, self.data = config, model, data
        self.checkpoints, self.log, self.observe = checkpoints, log, observe
        self.schedule = model.schedule
        self._owner = fingerprint(config, model.unet, len(data))
        model.unet.requires_grad_(True).train()
        if config.gradient_checkpointing:
            model.unet.enable_gradient_checkpointing()
        self.engine = start_engine(model.unet, config)
        self.average = Average(model.unet, config.ema_decay) if config.ema_decay > 0 else None

    def train(self) -> None:
        """Run from the newest checkpoint to the last iteration; the last one is saved too.

        At SIGTERM, in any of the processes, all finish the step, save and raise `Preempted`.
        """
        config = self.config
        done = self._resume()
        if done == 0:
            self.observe(self.engine, 0, self._result_weights)
        clock = Clock()
        with noticing_sigterm() as asked_to_end:
            while done < config.iterations:
                with clock:
                    metrics = self._step(done)
                done += 1
                ending = anywhere(asked_to_end(), self.engine.device)
                last = done == config.iterations
                if done % config.log_every == 0 or last:
                    self._report(metrics | clock.rates(config.batch_size), done)
                if not ending:
                    self.observe(self.engine, done, self._result_weights)
                if done % config.checkpoint_every == 0 or last or ending:
                    self._save(done)
                if ending and not last:
                    raise Preempted(
                        f"stopped by SIGTERM after step {done} of {config.iterations}, which is "
                        "saved: start again to continue"
                    )

    def _result_weights(self) -> AbstractContextManager[None]:
        return nullcontext() if self.average is None else self.average.in_place()

    def _resume(self) -> int:
        self.checkpoints.mkdir(parents=True, exist_ok=True)
        done, extra = load_checkpoint(self.engine, self.checkpoints, self._owner)
        if self.average is not None and done:
            self.average.restore(extra["average"])
        return done

    def _save(self, done: int) -> None:
        kept = what_stays(self.checkpoints)
        require_finite_weights(self.model.unet, done, self.engine.device, kept)
        extra = {} if self.average is None else {"average": self.average.state()}
        save_checkpoint(
            self.engine, self.checkpoints, done, extra, self._owner, self.config.keep_checkpoints
        )

    def _step(self, step: int) -> dict[str, float]:
        """One optimizer step; metrics are those of the whole batch, over all processes."""
        config, engine = self.config, self.engine
        items = batch_items(config.seed, step, config.batch_size, len(self.data))
        shape = (config.batch_size, *self.model.latent_shape)
        train_steps = self.schedule.train_steps
        draw = Draw.of_step(config.seed, step, shape, train_steps, config.caption_dropout)
        self._set_learning_rate(step)
        # Of the whole batch: each process fills in its own part, and the sum is then all of it.
        losses_b = torch.zeros(config.batch_size, device=engine.device)
        parts = self._own_parts()
        for part in parts:
            latents, embeds = self.data.batch(items[part], engine.device)
            losses = v_prediction_loss(
                engine,
                self.schedule,
                latents,
                embeds.dropped(draw.drop_b[part].to(engine.device)),
                draw.noise_bchw[part].to(engine.device),
                draw.t_b[part].to(engine.device),
                self.model.image_size,
            )
            engine.backward(losses.mean())
            losses_b[part] = losses.detach()
            if part is parts[-1]:
                norm = self._checked_norm(step, items.tolist(), summed(losses_b))
            engine.step()
        if self.average is not None:
            self.average.update()
        return {
            "loss": float(losses_b.mean()),
            "gradient_norm": norm,
            "learning_rate": float(engine.optimizer.param_groups[0]["lr"]),
            **loss_by_timestep(losses_b, draw.t_b, train_steps),
        }

    def _checked_norm(self, step: int, items: list[int], losses_b: Tensor) -> float:
        norm = gradient_norm(self.engine, self.config.zero_stage)
        require_finite_step(step + 1, items, losses_b, norm, what_stays(self.checkpoints))
        return norm

    def _own_parts(self) -> list[slice]:
        """The micro-batches of this process within the batch."""
        size, count = self.config.micro_batch_size, self.config.accumulation
        first = torch.distributed.get_rank() * count * size
        return [slice(first + i * size, first + (i + 1) * size) for i in range(count)]

    def _set_learning_rate(self, step: int) -> None:
        warmup = self.config.warmup_steps
        factor = min(1.0, (step + 1) / warmup) if warmup else 1.0
        for group in self.engine.optimizer.param_groups:
            group["lr"] = self.config.learning_rate * factor

    def _report(self, metrics: Mapping[str, float], step: int) -> None:
        if torch.distributed.get_rank() == 0:
            self.log(metrics, step)
