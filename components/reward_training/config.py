"""What can be set about the reward. Defaults are the paper's (section 5)."""

from pydantic import BaseModel, Field


class Config(BaseModel, frozen=True, extra="forbid"):
    """Settings of the stage `reward_training`."""

    seed: int = Field(0, ge=0, description="Everything random in this stage follows from it.")
    clip: str = Field("small", description="CLIP model whose features the reward reads.")
    device: str = Field("auto", pattern="^(auto|cpu|cuda)$", description="Where to compute.")
    learning_rate: float = Field(1e-3, gt=0, description="Learning rate of the linear layer.")
    weight_decay: float = Field(
        0.0,
        ge=0,
        description="AdamW's weight decay of the linear layer. With a few hundred labels a large "
        "one makes scorers of different items agree about the samples of a prompt.",
    )
    batch_size: int = Field(64, ge=2, description="Images in one step.")
    steps: int = Field(3000, ge=1, description="Steps of training of each scorer.")
    mse_weight: float = Field(1.0, ge=0, description="Lambda 1 of equation 5.")
    tv_weight: float = Field(100.0, ge=0, description="Lambda 2 of equation 5.")
    preference_weight: float = Field(
        0.5, ge=0, description="Weight of the Bradley-Terry loss, where preferences are given."
    )
    preference_scale: float = Field(
        4.0, gt=0, description="Log-odds of being preferred for one unit more of the score."
    )
    within_sets: bool = Field(
        True, description="Join photographs with photographs only, and generated images likewise."
    )
    neighbours: int = Field(
        5,
        ge=1,
        description="Nearest images of its set that each image is joined with in the TV graph.",
    )
