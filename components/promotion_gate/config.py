"""What can be set about the promotion gate."""

from pydantic import BaseModel, Field


class Config(BaseModel, frozen=True, extra="forbid"):
    """Settings of the stage `promotion_gate`."""

    seed: int = Field(0, ge=0, description="Unused; every stage has one.")
    name: str = Field(
        "realmat",
        description="Model whose present champion is shown beside the new one; the pipeline sets "
        "it to registration.name.",
    )
    gold_margin: float = Field(
        0.02, ge=0, le=1,
        description="Gold score that may be lost at worst (non-inferiority): the lower end of its "
        "95 % interval must not lie further below 0.",
    )  # fmt: skip
    keep_diversity: float = Field(
        0.9, ge=0, le=1,
        description="Share of the diversity, over all prompts and within a prompt, that must be "
        "left.",
    )  # fmt: skip
    keep_clip_score: float | None = Field(
        0.9, ge=0, le=1, description="Share of the CLIP score that must be left; none: no rule."
    )
    votes: str = Field(
        "",
        description="Path or URI of what `realmat study results NAME --json` prints: people must "
        "prefer it then, flagged participants left out; '' is no such rule.",
    )
    votes_after: str = Field(
        "after", min_length=1, description="The study's name of the materials after training."
    )
    votes_before: str = Field(
        "before", min_length=1, description="The study's name of the materials before training."
    )
