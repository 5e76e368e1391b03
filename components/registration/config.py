"""What can be set about the registration."""

from pydantic import BaseModel, Field, model_validator

from components.core.platform.aliases import CANDIDATE, CHAMPION


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
    alias: str = Field(
        CANDIDATE,
        pattern=f"^({CHAMPION}|{CANDIDATE})$",
        description="What the promotion gate said; the pipeline sets it.",
    )

    @model_validator(mode="after")
    def _two_names(self) -> "Config":
        if self.name == self.reward_name:
            raise ValueError(f"model and reward cannot both be registered as '{self.name}'")
        return self
