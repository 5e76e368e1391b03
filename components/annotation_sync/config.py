"""What can be set about the judgements. Defaults are the paper's (section 4.1)."""

from typing import Literal

from pydantic import BaseModel, Field


class Config(BaseModel, frozen=True, extra="forbid"):
    """Settings of the stage `annotation_sync`."""

    seed: int = Field(0, ge=0, description="Everything random in this stage follows from it.")
    source: Literal["label_studio", "simulated"] = Field(
        "label_studio",
        description="Who judges: people in Label Studio, or the simulated annotator. A run that "
        "is given an address of labels asks people.",
    )
    project: str = Field(
        "RealMat realism",
        min_length=3,
        description="Title of the Label Studio project, where no address of labels names one.",
    )
    items_per_set: int = Field(2000, ge=1, description="Images of each set offered for judgement.")
    minimum_annotations: int = Field(
        1000,
        ge=1,
        description="Judged images of each set needed to go on (fewer if a set is smaller).",
    )
    minimum_per_class: int = Field(
        20,
        ge=0,
        description="Images of each set needed of each class, realistic and unrealistic.",
    )
    wait_hours: float = Field(
        168.0, ge=0, description="How long to wait for people before giving up for now."
    )
    poll_seconds: float = Field(30.0, gt=0, description="Pause between looks at the server.")
    overlap: float = Field(
        0.2, ge=0, le=1, description="Share of the images that two people judge."
    )
    random_share: float = Field(
        0.2,
        ge=0,
        le=1,
        description="Share of each category that is judged in random order, the most doubtful "
        "images come first otherwise.",
    )
    reorder_every: int = Field(
        200, ge=1, description="New judgements after which the order is estimated anew."
    )
    agreement_threshold: float = Field(
        0.6, ge=0, le=1, description="Agreement with others below which an annotator is flagged."
    )
    excluded_annotators: tuple[str, ...] = Field(
        (), description="Annotators whose judgements do not count, as the artifact names them."
    )
    clip: str = Field("small", description="CLIP model that tells doubtful images.")
    device: str = Field("auto", pattern="^(auto|cpu|cuda)$", description="Where to compute.")
    label_noise: float = Field(
        0.06, ge=0, lt=0.5, description="Share of random labels of the simulated annotator."
    )
    recognition: float = Field(
        0.75,
        ge=0,
        le=1,
        description="Share of generated images that the simulated annotator recognises as such.",
    )
