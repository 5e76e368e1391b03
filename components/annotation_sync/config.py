"""What can be set about the judgements. Defaults are the paper's (section 4.1)."""

from typing import Literal

from pydantic import BaseModel, Field


class Config(BaseModel, frozen=True, extra="forbid"):
    """Settings of the stage `annotation_sync`."""

    seed: int = Field(0, ge=0, description="Everything random in this stage follows from it.")
    source: Literal["label_studio", "simulated"] = Field(
        "label_studio",
        description="Who judges: people in Label Studio, or the simulated annotator.",
    )
    items_per_set: int = Field(2000, ge=1, description="Images of each set offered for judgement.")
    minimum_annotations: int = Field(
        1000,
        ge=1,
        description="Judgements of each set needed to go on (fewer if a set is smaller).",
    )
    project: str = Field("RealMat realism", min_length=1, description="Label Studio project title.")
    label_noise: float = Field(
        0.06, ge=0, lt=0.5, description="Share of random labels of the simulated annotator."
    )
    recognition: float = Field(
        0.75,
        ge=0,
        le=1,
        description="Share of generated images that the simulated annotator recognises as such.",
    )
