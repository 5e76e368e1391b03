"""What can be set about the embedding of the photo database."""

from pydantic import BaseModel, Field, model_validator

from components.core.platform.config_types import Rendering


class Config(BaseModel, frozen=True, extra="forbid"):
    """Settings of the stage `photo_embedding`."""

    seed: int = Field(0, ge=0, description="Everything random in this stage follows from it.")
    clip: str = Field("small", description="CLIP model: small, a folder, hf-hub:... or NAME|TAG.")
    device: str = Field("auto", pattern="^(auto|cpu|cuda)$", description="Where to compute.")
    rendering: Rendering = Field(
        default_factory=Rendering,
        description="Photographs are read at its size; embedded ones are rendered with it.",
    )
    batch_size: int = Field(256, ge=1, description="Images read and embedded at a time.")
    embedded_photographs: int = Field(
        480, ge=16, description="Rendered stand-ins for photographs when no photos are given."
    )
    embedded_distractors: int = Field(
        96, ge=0, description="Images of no material among the embedded stand-ins."
    )
    processes: int = Field(0, ge=0, description="Processes that read images; 0: one a core.")
    parts: int = Field(
        1, ge=1, description="Tasks of the pipeline that share the images, side by side."
    )
    part: int = Field(0, ge=0, description="Which of them this is; the pipeline says so.")

    @model_validator(mode="after")
    def _part_exists(self) -> "Config":
        if self.part >= self.parts:
            raise ValueError(f"there is no part {self.part} of {self.parts}, counted from 0")
        return self
