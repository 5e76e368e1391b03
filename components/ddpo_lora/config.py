"""What can be set about DDPO. Defaults are the paper's (sections 4.3 and 5), then DDPO's own."""

from typing import Literal

from pydantic import BaseModel, Field, model_validator

from components.core.platform.config_types import Rendering


class Config(BaseModel, frozen=True, extra="forbid"):
    """Settings of the stage `ddpo_lora`."""

    seed: int = Field(0, ge=0, description="Everything random in this stage follows from it.")
    method: Literal["ddpo", "direct"] = Field(
        "ddpo",
        description="Policy gradients (the paper's), or the reward differentiated through CLIP, a "
        "shading, the decoder and the last denoising steps, to compare with.",
    )
    direct_steps: int = Field(
        1, ge=1, description="With method 'direct': last denoising steps that are differentiated."
    )
    rank: int = Field(4, ge=1, description="Rank of the LoRA matrices.")
    learning_rate: float = Field(3e-4, gt=0, description="Fixed learning rate of AdamW.")
    weight_decay: float = Field(1e-4, ge=0, description="Weight decay of AdamW.")
    adam_epsilon: float = Field(
        1e-8,
        gt=0,
        description="AdamW divides by each gradient's usual size and this. Where it is far larger "
        "than the gradients, steps are proportional to them, as in SGD with momentum: the "
        "learning rate then counts in units of it.",
    )
    max_gradient_norm: float = Field(1.0, gt=0, description="Gradients are clipped to this norm.")
    epochs: int = Field(110, ge=1, description="Rounds of sampling followed by an update.")
    samples_per_epoch: int = Field(
        256,
        ge=1,
        description="Materials sampled an epoch; a multiple of batch_size * accumulation.",
    )
    samples_per_prompt: int = Field(
        1, ge=1, description="Materials sampled in a row of each drawn prompt (1: as in DDPO)."
    )
    batch_size: int = Field(
        128, ge=1, description="Samples in one minibatch (the paper: 4 on each of 32 GPUs)."
    )
    forward_batch: int = Field(
        4, ge=1, description="Samples in one forward pass, in sampling and update alike."
    )
    accumulation: int = Field(2, ge=1, description="Minibatches in one optimizer step.")
    inner_epochs: int = Field(1, ge=1, description="Passes of the update over an epoch's samples.")
    one_pass: bool = Field(
        False,
        description="Differentiate transitions as they are sampled and weigh each sample's "
        "gradient once its reward is known, instead of passing through the UNet again: the same "
        "gradient, but for rounding. Where all steps are trained it takes two thirds of the "
        "arithmetic, with gradient_checkpointing three quarters, and one gradient of the adapter "
        "for each of the process's samples in memory. For one optimizer step an epoch.",
    )
    steps: int = Field(50, ge=2, le=1000, description="Denoising steps of a trajectory.")
    train_timestep_fraction: float = Field(
        1.0, gt=0, le=1, description="Share of the denoising steps, drawn anew, that is trained."
    )
    window: int = Field(
        0,
        ge=0,
        description="Train so many denoising steps in a row, at a place drawn anew for each "
        "forward batch, instead of train_timestep_fraction; 0 switches this off.",
    )
    window_stride: int = Field(
        1,
        ge=1,
        description="With a window: up to so many steps outside of it become one, without noise, "
        "which saves passes; 1: all steps are sampled, with noise. Those of less noise than "
        "smallest_deviation count as outside.",
    )
    branch: bool = Field(
        False,
        description="With a window: the samples drawn in a row of one prompt share what comes "
        "before it, which is sampled once: they differ in what is trained and what follows, late "
        "windows by little. Where the window wraps around, it is their first noise alone.",
    )
    smallest_deviation: float = Field(
        0.0,
        ge=0,
        lt=1,
        description="Transitions with less noise than this are sampled but not trained.",
    )
    transition_weighting: Literal["uniform", "variance"] = Field(
        "uniform",
        description="Weight of a transition: 1 for all, or its noise's variance, which evens "
        "out gradients that grow as the noise falls.",
    )
    guidance: float = Field(
        5.0, ge=1, description="Classifier-free guidance in sampling and update; 1 switches it off."
    )
    clip_range: float = Field(1e-4, gt=0, description="PPO: allowed distance of the ratio from 1.")
    advantages: Literal["history", "group"] = Field(
        "history",
        description="What a sample is compared with: its prompt's recent rewards (DDPO), or the "
        "samples of its prompt in this epoch alone (GRPO). With shared_light, those of its prompt "
        "that share its light stand for the epoch's.",
    )
    advantage_scale: Literal["own", "batch"] = Field(
        "own",
        description="What advantages are divided by: the deviation of what a sample is compared "
        "with (DDPO, GRPO), or the root mean square of all the epoch's differences, so that "
        "prompts whose samples hardly differ count for little.",
    )
    advantage_clip: float = Field(5.0, gt=0, description="Advantages are clipped to this size.")
    statistics_buffer: int = Field(
        16,
        ge=1,
        description="Rewards remembered for each prompt. Of an epoch with more of them all count.",
    )
    statistics_min_count: int = Field(
        16, ge=1, description="Below this many rewards a prompt is compared with its whole batch."
    )
    kl_coefficient: float = Field(
        0.0, ge=0, description="Weight of the KL divergence to the model without the adapter."
    )
    skip_gradients_above: float = Field(
        0.0,
        ge=0,
        description="Optimizer steps whose gradient norm exceeds so many times the median of "
        "recent ones, or is not finite, are skipped and counted; 0 switches this off.",
    )
    stop_patience: int = Field(
        0,
        ge=0,
        description="The run ends, with the adapter that was best, when so many held-out "
        "measurements in a row find the gold score below that of the best one; if the last "
        "measurement of a run does, the best adapter is returned to. 0 switches this off.",
    )
    scorer: Literal["reward", "reward_without_tv"] = Field(
        "reward", description="What is trained on; the other is for the ablation of figure 8."
    )
    overlap: bool = Field(
        False,
        description="Decode, render and score in a thread while the next batch is sampled; the "
        "results are those of doing one after the other.",
    )
    render_workers: int = Field(
        0,
        ge=0,
        description="Processes that render; a crash or a late rendering then costs one sample. "
        "0: the training process renders, and a crash of the renderer ends it: the run continues "
        "from its last epoch when it is started again. Of several GPUs these processes use that of "
        "their training process, which by itself would render on the first.",
    )
    render_timeout: float = Field(
        120.0,
        gt=0,
        description="Seconds after which a render process, once started, drops a sample.",
    )
    max_dropped: float = Field(
        0.5, ge=0, lt=1, description="Share of an epoch's samples that may have no reward."
    )
    processes: int = Field(
        1, ge=1, description="Training processes of each node, one for each GPU (torchrun)."
    )
    nodes: int = Field(1, ge=1, description="Machines; more than one make a TrainJob on a cluster.")
    lights_per_sample: int = Field(
        1, ge=1, description="Environments that a material's reward is averaged over."
    )
    shared_light: bool = Field(
        False,
        description="Samples drawn in a row of one prompt are rendered under the same light, so "
        "that they are told apart by their material alone.",
    )
    heldout_every: int = Field(
        10,
        ge=1,
        description="Epochs between held-out measurements. With one_pass, one forward batch is "
        "judged again in those epochs, for its importance ratio and what follows from it.",
    )
    heldout_samples: int = Field(
        64, ge=0, description="Materials of a held-out measurement: fixed prompts, seeds and light."
    )
    precision: Literal["float32", "bfloat16"] = Field(
        "float32", description="Of the UNet's forward passes (autocast), sampling and update alike."
    )
    base_precision: Literal["float32", "bfloat16"] = Field(
        "float32",
        description="Of the frozen UNet's weights; the adapter's are float32 always. bfloat16, "
        "which needs that precision, halves their memory and saves casting them in every pass.",
    )
    gradient_checkpointing: bool = Field(
        False, description="Trade a third more computing for much less memory."
    )
    channels_last: bool = Field(
        False, description="Lay images out channel by pixel, which GPUs' convolutions prefer."
    )
    compile: bool = Field(
        False,
        description="Compile the UNet (torch.compile), for sampling and update alike; takes "
        "minutes at the start.",
    )
    strips_every: int = Field(
        0, ge=0, description="Epochs between pictures of the same samples; 0: none."
    )
    strip_prompts: int = Field(6, ge=1, description="Held-out prompts shown in these pictures.")
    strip_seeds: int = Field(1, ge=1, description="Samples of each of them, side by side.")
    device: str = Field("auto", pattern="^(auto|cpu|cuda)$", description="Where to compute.")
    rendering: Rendering = Field(default_factory=Rendering, description="How rewards are rendered.")

    @model_validator(mode="after")
    def _sizes_fit(self) -> "Config":
        if self.batch_size % self.forward_batch:
            raise ValueError("batch_size must be a multiple of forward_batch")
        if self.samples_per_epoch % (self.batch_size * self.accumulation):
            raise ValueError("samples_per_epoch must be a multiple of batch_size * accumulation")
        if self.samples_per_epoch % self.samples_per_prompt:
            raise ValueError("samples_per_epoch must be a multiple of samples_per_prompt")
        if self.statistics_min_count > self.statistics_buffer:
            raise ValueError("statistics_min_count must not exceed statistics_buffer")
        if self.batch_size * self.accumulation // self.forward_batch % self.world_size:
            raise ValueError(
                "batch_size * accumulation / forward_batch must be a multiple of processes * nodes"
            )
        if self.base_precision == "bfloat16" and self.precision != "bfloat16":
            raise ValueError('base_precision = "bfloat16" needs precision = "bfloat16"')
        if self.window and self.train_timestep_fraction < 1.0:
            raise ValueError("set window or train_timestep_fraction, not both")
        if self.mixed and (not self.window or self.method != "ddpo"):
            raise ValueError('window_stride and branch need a window and method = "ddpo"')
        if self.branch and (
            self.samples_per_prompt < 2 or self.forward_batch % self.samples_per_prompt
        ):
            raise ValueError(
                "branch needs a samples_per_prompt of at least 2 that divides forward_batch"
            )
        if self.branch and not self.shared_light:
            raise ValueError(
                "branch needs shared_light = true: samples so alike differ less than their lights"
            )
        if self.advantages == "group" and self.samples_per_prompt < 2:
            raise ValueError('advantages = "group" needs a samples_per_prompt of at least 2')
        if self.method == "direct" and self.inner_epochs > 1:
            raise ValueError(
                'method = "direct" learns from new samples only: set inner_epochs to 1'
            )
        self._one_pass_fits()
        if self.direct_steps > self.steps:
            raise ValueError("direct_steps must not exceed steps")
        if self.stop_patience and self.heldout_samples < 2:
            raise ValueError("stop_patience needs a heldout_samples of at least 2")
        return self

    def _one_pass_fits(self) -> None:
        if not self.one_pass:
            return
        if self.method != "ddpo" or self.compile:
            raise ValueError('one_pass needs method = "ddpo" and compile = false')
        if self.kl_coefficient:
            raise ValueError("one_pass has no second pass for kl_coefficient: set it to 0")
        if self.optimizer_steps_per_epoch > 1:
            raise ValueError(
                "one_pass needs one optimizer step an epoch, as the policy must not have moved: "
                "set inner_epochs to 1 and samples_per_epoch to batch_size * accumulation"
            )

    @property
    def mixed(self) -> bool:
        """Whether steps outside of the window are sampled in a way of their own."""
        return self.window_stride > 1 or self.branch

    @property
    def world_size(self) -> int:
        """Training processes in all."""
        return self.nodes * self.processes

    @property
    def optimizer_steps_per_epoch(self) -> int:
        """Samples / (minibatch * accumulation), once for each inner epoch."""
        return self.samples_per_epoch // (self.batch_size * self.accumulation) * self.inner_epochs
