"""What can be set about the evaluation. Defaults: the size of the paper's study (section 6.2)."""

from pydantic import BaseModel, Field

from components.core.platform.config_types import Rendering


class Config(BaseModel, frozen=True, extra="forbid"):
    """Settings of the stage `evaluation`."""

    seed: int = Field(0, ge=0, description="Everything random in this stage follows from it.")
    prompts: int = Field(105, ge=2, description="Held-out prompts that are compared, at most.")
    seeds_per_prompt: int = Field(
        4, ge=1, description="Pairs of one prompt; the paper compared 421 pairs in all."
    )
    lights: int = Field(
        4, ge=1, description="Renderings of a material, each under a light of its prompt."
    )
    steps: int = Field(50, ge=2, le=1000, description="Denoising steps of a sample.")
    guidance: float = Field(5.0, ge=1, description="Classifier-free guidance; 1 switches it off.")
    tiling: float = Field(
        1.0, gt=0, le=1,
        description="Share of the schedule, from its end, in which tileable samples are rolled; "
        "the registered model does so too.",
    )  # fmt: skip
    batch_size: int = Field(16, ge=1, description="Materials sampled at once.")
    resamples: int = Field(
        10_000, ge=100, description="Draws of the bootstrap and of the sign-flip test."
    )
    score_images: int = Field(
        512, ge=1, description="Photographs whose scores are shown beside the samples', at most."
    )
    shown: int = Field(12, ge=1, description="Pairs shown in the report, evenly spaced by gain.")
    rendering: Rendering = Field(
        default_factory=Rendering, description="How materials are rendered for their scores."
    )
    shown_rendering: Rendering = Field(
        default_factory=lambda: Rendering(size=256, spp=36, displacement=0.06, mesh_resolution=96),
        description="How the shown pairs are rendered for the eye.",
    )
    device: str = Field("auto", pattern="^(auto|cpu|cuda)$", description="Where to compute.")
