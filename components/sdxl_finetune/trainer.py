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
from components.core.errors import UserError
from components.core.platform.full_disk import naming_full_disk
from components.core.platform.preemption import Preempted, noticing_sigterm
from components.sdxl_finetune.average import Average
from components.sdxl_finetune.batch import Ahead, Batches
from components.sdxl_finetune.checkpoint import (
    checkpoints,
    load_checkpoint,
    newest_step,
    remove_partial,
    save_checkpoint,
    what_stays,
)
from components.sdxl_finetune.clock import Clock
from components.sdxl_finetune.config import Config
from components.sdxl_finetune.data import TrainingData
from components.sdxl_finetune.engine import start_engine
from components.sdxl_finetune.fingerprint import fingerprint
from components.sdxl_finetune.safety import (
    anywhere,
    gradient_norm,
    require_finite_step,
    require_finite_weights,
    require_no_dropout,
    summed,
)
from components.sdxl_finetune.shortage import described, naming_shortage, remedies
from components.sdxl_finetune.window import Usage, Window

Log = Callable[[Mapping[str, float], int], None]
ResultWeights = Callable[[], AbstractContextManager[None]]
Stop = Callable[[], bool]
Observe = Callable[[Any, int, ResultWeights, Stop], None]


def unobserved(engine: Any, done: int, result_weights: ResultWeights, stop: Stop) -> None:
    """Look at nothing."""


class Trainer:
    """Trains `model.unet` in place; every process of the group has one.

    Args:
        checkpoints: folder of the checkpoints, the same in all processes.
        log: receives metrics and the number of finished steps, in rank 0 alone.
        observe: called in all processes with the engine, the number of finished steps, what to
            hold while looking, so that the weights are those that the result would have, and a
            function, to be called by all of them, that tells whether to leave off looking.
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
        require_no_dropout(model.unet, config.base_model)
        self._owner = fingerprint(config, model.unet, len(data))
        model.unet.requires_grad_(True).train()
        if config.gradient_checkpointing:
            model.unet.enable_gradient_checkpointing()
        with self._naming_shortage("for the optimizer"):
            self.engine = start_engine(model.unet, config)
            self.average = Average(model.unet, config.ema_decay) if config.ema_decay > 0 else None
        # Where its numbers are looked up, a step needs not wait for the device.
        self.schedule = self.schedule.to(self.engine.device)
        batches = Batches(
            config, data, torch.distributed.get_rank(), latent_shape=model.latent_shape,
            train_steps=self.schedule.train_steps, locked=self.engine.device.type == "cuda",
        )  # fmt: skip
        self.batches = Ahead(batches, config.iterations, self.engine.device)

    def train(self) -> None:
        """Run from the newest checkpoint to the last iteration; the last one is saved too.

        At SIGTERM, in any of the processes, all finish the step, save and raise `Preempted`.
        """
        config = self.config
        with noticing_sigterm() as asked_to_end:

            def ending() -> bool:
                return anywhere(asked_to_end(), self.engine.device)

            with self._naming_shortage("for the checkpoint"):
                done = self._resume()
            if done == 0:
                self._look(done, ending)
            clock, window, usage = Clock(), Window(), Usage(self.engine.device)
            while done < config.iterations:
                with clock, self._naming_shortage(f"in step {done + 1}"):
                    window.add(self._step(done))
                done += 1
                last = done == config.iterations
                if done % config.log_every == 0 or last:
                    rates = clock.rates(config.batch_size) | usage.of_all()
                    self._report(window.means() | rates, done)
                if not ending():
                    self._look(done, ending)
                # Asked again, for it may have come while looking.
                left_off = ending()
                if done % config.checkpoint_every == 0 or last or left_off:
                    self._save(done)
                if left_off and not last:
                    raise Preempted(
                        f"stopped by SIGTERM after step {done} of {config.iterations}, which is "
                        "saved: start again to continue"
                    )

    def _look(self, done: int, stop: Stop) -> None:
        with self._naming_shortage(f"to look at step {done}"):
            self.observe(self.engine, done, self._result_weights, stop)

    def _naming_shortage(self, doing: str) -> AbstractContextManager[None]:
        return naming_shortage(
            f"{doing} {described(self.config)}",
            lambda: remedies(
                self.config, self.checkpoints if checkpoints(self.checkpoints) else None
            ),
            lambda: what_stays(self.checkpoints),
        )

    def _result_weights(self) -> AbstractContextManager[None]:
        return nullcontext() if self.average is None else self.average.in_place()

    def _resume(self) -> int:
        self.checkpoints.mkdir(parents=True, exist_ok=True)
        if torch.distributed.get_rank() == 0:
            remove_partial(self.checkpoints)
        done = newest_step(self.checkpoints, self.engine.device)
        if done:
            extra = load_checkpoint(self.engine, self.checkpoints, done, self._owner)
            if self.average is not None:
                self.average.restore(extra["average"])
        if done > self.config.iterations:
            raise UserError(
                f"the checkpoint of step {done} in {self.checkpoints} is further than "
                f"sdxl_finetune.iterations ({self.config.iterations}): set it to at least {done}, "
                "or remove that folder to start again"
            )
        return done

    def _save(self, done: int) -> None:
        kept = what_stays(self.checkpoints)
        require_finite_weights(self.model.unet, done, self.engine.device, kept)
        extra = {} if self.average is None else {"average": self.average.state()}
        folder, keep = self.checkpoints, self.config.keep_checkpoints
        with naming_full_disk(folder, f" at step {done}", lambda: kept):
            save_checkpoint(self.engine, folder, done, extra, self._owner, keep)

    def _step(self, step: int) -> dict[str, float]:
        """One optimizer step; metrics are those of the whole batch, over all processes."""
        config, engine = self.config, self.engine
        batch = self.batches.of(step)
        self._set_learning_rate(step)
        # Of the whole batch: each process fills in its own part, and the sum is then all of it.
        losses_b = torch.zeros(config.batch_size, device=engine.device)
        for own in batch.parts:
            part = own.to(engine.device)
            losses = v_prediction_loss(
                engine,
                self.schedule,
                part.latents_bchw,
                part.embeds.dropped(part.drop_b),
                part.noise_bchw,
                part.t_b,
                self.model.image_size,
                part.time_ids_b6,
            )
            engine.backward(losses.mean())
            losses_b[part.rows] = losses.detach()
            if own is batch.parts[-1]:
                norm = self._checked_norm(step, batch.items_b.tolist(), summed(losses_b))
            engine.step()
        if self.average is not None:
            self.average.update()
        return {
            "loss": float(losses_b.mean()),
            "gradient_norm": norm,
            "learning_rate": float(engine.optimizer.param_groups[0]["lr"]),
            **loss_by_timestep(losses_b, batch.t_b, self.schedule.train_steps),
        }

    def _checked_norm(self, step: int, items: list[int], losses_b: Tensor) -> float:
        norm = gradient_norm(self.engine, self.config.zero_stage)
        kept = what_stays(self.checkpoints)
        require_finite_step(step + 1, items, losses_b, norm, kept, self.data.name_of)
        return norm

    def _set_learning_rate(self, step: int) -> None:
        warmup = self.config.warmup_steps
        factor = min(1.0, (step + 1) / warmup) if warmup else 1.0
        if cooldown := self.config.cooldown_steps:
            factor = min(factor, (self.config.iterations - step) / cooldown)
        for group in self.engine.optimizer.param_groups:
            group["lr"] = self.config.learning_rate * factor

    def _report(self, metrics: Mapping[str, float], step: int) -> None:
        if torch.distributed.get_rank() == 0:
            self.log(metrics, step)
