"""What can be set about fine-tuning. Defaults are the paper's (section 5) where it states one."""

from typing import ClassVar

from pydantic import BaseModel, Field, model_validator

from components.core.platform.config_types import Rendering

LARGEST_DERIVED_PASS = 5
"""Grids; the paper's 24 GPUs divide its batch of 120 so."""


class Config(BaseModel, frozen=True, extra="forbid"):
    """Settings of the stage `sdxl_finetune`."""

    MAY_CHANGE: ClassVar[frozenset[str]] = frozenset(
        {
            # How far, how often, how divided, where: what two attempts at one training may differ
            # in. A checkpoint of another division is refused with a sentence.
            "iterations", "micro_batch_size", "processes", "nodes", "zero_stage",
            "checkpoint_every", "keep_checkpoints", "log_every", "device", "encode_batch_size",
            "stream_cache", "gradient_checkpointing", "channels_last", "compile", "saved_precision",
            "heldout_every", "heldout_items", "preview_every", "preview_prompts", "preview_steps",
            "preview_guidance", "preview_renderings", "rendering",
        }
    )  # fmt: skip

    seed: int = Field(0, ge=0, description="Everything random in this stage follows from it.")
    base_model: str = Field(
        "small", min_length=1, description="'small', or a diffusers SDXL folder, name or URI."
    )
    iterations: int = Field(400_000, ge=1, description="Optimizer steps.")
    batch_size: int = Field(
        120, ge=1, description="Grids in one optimizer step, over all processes."
    )
    micro_batch_size: int = Field(
        5, ge=0, description="Grids in one forward pass of a process; 0: up to 5, as divides."
    )
    processes: int = Field(
        1, ge=0, description="Training processes of each node (torchrun); 0: one for each GPU here."
    )
    nodes: int = Field(1, ge=1, description="Machines; more than one make a TrainJob on a cluster.")
    learning_rate: float = Field(2e-6, gt=0, description="AdamW's learning rate.")
    warmup_steps: int = Field(0, ge=0, description="Steps in which the learning rate grows to it.")
    cooldown_steps: int = Field(
        0, ge=0, description="Last steps in which the learning rate falls to nothing; 0: fixed."
    )
    timestep_shift: float = Field(
        1.0, ge=1, le=20, description="Above 1, timesteps of much noise are drawn more often."
    )
    weight_decay: float = Field(1e-2, ge=0, description="AdamW's weight decay.")
    max_gradient_norm: float = Field(1.0, gt=0, description="Gradients are clipped to this norm.")
    caption_dropout: float = Field(
        0.1, ge=0, le=1, description="Share of captions replaced by nothing, for guidance."
    )
    ema_decay: float = Field(
        0.0, ge=0, lt=1, description="Decay of averaged weights, which are then saved; 0: none."
    )
    precision: str = Field(
        "float32",
        pattern="^(float32|bfloat16)$",
        description="Precision of the passes (autocast); weights and optimizer stay float32.",
    )
    zero_stage: int = Field(
        0,
        ge=0,
        le=3,
        description="DeepSpeed ZeRO, what is divided among processes: 0 nothing, 1 optimizer, "
        "2 gradients too, 3 weights too.",
    )
    gradient_checkpointing: bool = Field(
        False, description="Trade a third more computing for much less memory."
    )
    channels_last: bool = Field(
        False, description="Lay images out channel by pixel, which GPUs' convolutions prefer."
    )
    compile: bool = Field(
        False, description="Compile the UNet (torch.compile); takes minutes at the start."
    )
    variants_per_grid: int = Field(
        1, ge=1, description="Augmented versions of each grid; the first one is the grid itself."
    )
    rolls: bool = Field(True, description="Augment by shifting tileable maps around their edges.")
    flips: bool = Field(True, description="Augment by mirroring the maps.")
    quarter_turns: bool = Field(True, description="Augment by turning the maps by 90 degrees.")
    enlargement: float = Field(
        1.0, ge=1, le=4,
        description="Augment by enlarging the maps by up to this factor and cropping them, which "
        "the model is told by SDXL's crop conditioning; 1: no crops.",
    )  # fmt: skip
    encode_batch_size: int = Field(16, ge=1, description="Grids that the VAE encodes at a time.")
    stream_cache: bool = Field(
        False,
        description="Leave a cache that the archive has there and read each step's rows from it, "
        "for machines whose disk is too small for it.",
    )
    checkpoint_every: int = Field(1000, ge=1, description="Steps between checkpoints.")
    keep_checkpoints: int = Field(2, ge=1, description="How many of the last checkpoints stay.")
    log_every: int = Field(50, ge=1, description="Steps between logged metrics.")
    heldout_every: int = Field(
        1000, ge=0, description="Steps between measurements of the held-out loss; 0: none."
    )
    heldout_items: int = Field(64, ge=1, description="Held-out grids, at most, that it is of.")
    preview_every: int = Field(
        0, ge=0, description="Steps between pictures of sample grids; 0: only at the end."
    )
    preview_prompts: int = Field(8, ge=0, description="Sample grids in a picture; 0: no pictures.")
    preview_steps: int = Field(20, ge=2, le=1000, description="Denoising steps of a sample grid.")
    preview_guidance: float = Field(5.0, ge=1, description="Guidance of a sample grid.")
    preview_renderings: bool = Field(True, description="Show the sample grids rendered, too.")
    rendering: Rendering = Field(default_factory=Rendering, description="How, see Rendering.")
    saved_precision: str = Field(
        "float32", pattern="^(float32|float16)$", description="Precision of the saved weights."
    )
    device: str = Field("auto", pattern="^(auto|cpu|cuda)$", description="Where to compute.")

    def resolved(self, gpus: int) -> "Config":
        """With what was left open (0) set for a machine with so many GPUs.

        As many GPUs as the batch can be divided among; then passes as large as the paper's 5 grids,
        from which on larger ones hardly use a GPU better.
        """
        micro = self.micro_batch_size or 1
        counts = [n for n in range(1, max(1, gpus) + 1) if self.batch_size % (n * micro) == 0]
        processes = self.processes or max(counts, default=1)
        own = self.batch_size // (processes * self.nodes)
        sizes = [n for n in range(1, LARGEST_DERIVED_PASS + 1) if own % n == 0]
        changes = {"processes": processes, "micro_batch_size": self.micro_batch_size or max(sizes)}
        return Config.model_validate(self.model_dump() | changes)

    @property
    def accumulation(self) -> int:
        """Forward passes of each process in one optimizer step."""
        return self.batch_size // (self.micro_batch_size * self.world_size)

    @property
    def world_size(self) -> int:
        """Training processes in all."""
        return self.nodes * self.processes

    @model_validator(mode="after")
    def _batch_divides(self) -> "Config":
        if not self.processes and self.nodes > 1:
            raise ValueError(
                f"processes must be given for {self.nodes} nodes, whose GPUs are not this machine's"
            )
        if not (self.processes and self.micro_batch_size):
            least = max(1, self.processes) * self.nodes * max(1, self.micro_batch_size)
            if self.batch_size % least:
                raise ValueError(
                    f"batch_size ({self.batch_size}) must be a multiple of {least}, by processes, "
                    "nodes and micro_batch_size"
                )
            return self
        if self.accumulation * self.micro_batch_size * self.world_size != self.batch_size:
            raise ValueError(
                f"batch_size ({self.batch_size}) must be a multiple of micro_batch_size "
                f"({self.micro_batch_size}) times nodes ({self.nodes}) times processes "
                f"({self.processes})"
            )
        return self

    @model_validator(mode="after")
    def _whole_weights_are_compiled(self) -> "Config":
        if self.compile and self.zero_stage == 3:
            raise ValueError(
                "compile needs whole weights, which zero_stage 3 has only layer by layer: set "
                "compile to false, or zero_stage to 2"
            )
        return self
