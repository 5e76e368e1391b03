"""What can be set about the registration."""

from pydantic import BaseModel, Field, model_validator


class Config(BaseModel, frozen=True, extra="forbid"):
    """Settings of the stage `registration`."""

    seed: int = Field(0, ge=0, description="Unused; every stage has one.")
    name: str = Field(
        "realmat", pattern=r"^[A-Za-z0-9_.-]{1,64}$", description="Name in the model registry."
    )
    reward_name: str = Field(
        "realmat-reward",
        pattern=r"^[A-Za-z0-9_.-]{1,64}$",
        description="Name of the reward in the model registry.",
    )
    keep_diversity: float = Field(
        0.9, ge=0, le=1, description="Share of the diversity that must be left for promotion."
    )

    keep_clip_score: float | None = Field(
        None, ge=0, le=1, description="Share of the CLIP score that must be left; none: no rule."
    )
    require_votes: bool = Field(
        False, description="Promote only what people prefer, by the votes of a study given below."
    )
    votes_after: int = Field(0, ge=0, description="Votes for the materials after training.")
    votes_before: int = Field(0, ge=0, description="Votes for the materials before training.")

    @model_validator(mode="after")
    def _two_names(self) -> "Config":
        if self.name == self.reward_name:
            raise ValueError(f"model and reward cannot both be registered as '{self.name}'")
        return self
