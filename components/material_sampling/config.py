"""What can be set about the Generated Materials set. Defaults are the paper's (section 4.1)."""

from pydantic import BaseModel, Field

from components.core.platform.config_types import Rendering


class Config(BaseModel, frozen=True, extra="forbid"):
    """Settings of the stage `material_sampling`."""

    seed: int = Field(0, ge=0, description="Everything random in this stage follows from it.")
    materials: int = Field(2000, ge=16, description="Materials to sample, over all categories.")
    environments_per_material: int = Field(
        10, ge=1, description="Random environments that each material is rendered under."
    )
    batch_size: int = Field(16, ge=1, description="Materials sampled and decoded at a time.")
    steps: int = Field(50, ge=2, le=1000, description="Denoising steps.")
    guidance: float = Field(5.0, ge=1, description="Classifier-free guidance; 1 switches it off.")
    device: str = Field("auto", pattern="^(auto|cpu|cuda)$", description="Where to compute.")
    rendering: Rendering = Field(default_factory=Rendering, description="How images are rendered.")
