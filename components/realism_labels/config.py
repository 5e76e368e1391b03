"""What can be set about the realism labels. Defaults are the paper's (sections 4.1 and 5)."""

from pydantic import BaseModel, Field, model_validator


class Config(BaseModel, frozen=True, extra="forbid"):
    """Settings of the stage `realism_labels`."""

    seed: int = Field(0, ge=0, description="Everything random in this stage follows from it.")
    clip: str = Field("small", description="CLIP model of the features.")
    device: str = Field("auto", pattern="^(auto|cpu|cuda)$", description="Where to compute.")
    learning_rate: float = Field(1e-3, gt=0, description="Learning rate of the classifiers.")
    batch_size: int = Field(64, ge=1, description="Images in one step.")
    steps: int = Field(2000, ge=1, description="Steps of training of each classifier.")
    weight_decay: float = Field(1e-2, ge=0, description="AdamW's weight decay.")
    folds: int = Field(5, ge=2, description="Folds of the cross-validation of each classifier.")
    photograph_threshold: float = Field(
        0.2, gt=0, lt=1, description="Probability above which a photograph counts as realistic."
    )
    generated_threshold: float = Field(
        0.4, gt=0, lt=1, description="Probability above which a rendering counts as realistic."
    )
    gold_share: float = Field(0.3, gt=0, lt=1, description="Items kept for the gold scorer.")
    test_share: float = Field(0.2, gt=0, lt=1, description="Items that no scorer is trained on.")

    @model_validator(mode="after")
    def _something_is_left(self) -> "Config":
        if self.gold_share + self.test_share >= 1:
            raise ValueError("gold_share + test_share must be below 1: the reward needs items too")
        return self
