"""What can be set about the choice of training prompts. Defaults are the paper's (section 4.3)."""

from pydantic import BaseModel, Field, model_validator

from components.core.platform.config_types import Rendering


class Config(BaseModel, frozen=True, extra="forbid"):
    """Settings of the stage `prompt_selection`."""

    seed: int = Field(0, ge=0, description="Everything random in this stage follows from it.")
    candidates: int = Field(1000, ge=16, description="Prompts that are tried, over all categories.")
    samples_per_prompt: int = Field(10, ge=1, description="Materials sampled to score a prompt.")
    train_prompts: int = Field(100, ge=1, description="Lowest scored prompts kept for training.")
    heldout_prompts: int = Field(
        64, ge=1, description="Further prompts, never trained on and not scored here."
    )
    batch_size: int = Field(16, ge=1, description="Materials sampled and decoded at a time.")
    steps: int = Field(50, ge=2, le=1000, description="Denoising steps.")
    guidance: float = Field(5.0, ge=1, description="Classifier-free guidance; 1 switches it off.")
    device: str = Field("auto", pattern="^(auto|cpu|cuda)$", description="Where to compute.")
    rendering: Rendering = Field(default_factory=Rendering, description="How scores are rendered.")

    @model_validator(mode="after")
    def _enough_candidates(self) -> "Config":
        if self.train_prompts > self.candidates:
            raise ValueError("train_prompts must not exceed candidates")
        return self
