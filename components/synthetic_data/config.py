"""What can be set about the synthetic data. Defaults are the paper's (sections 4.1 and 5)."""

from pydantic import BaseModel, Field, model_validator

from components.core.platform.config_types import Rendering


class Config(BaseModel, frozen=True, extra="forbid"):
    """Settings of the stage `synthetic_data`."""

    seed: int = Field(0, ge=0, description="Everything random in this stage follows from it.")
    base_materials: int = Field(
        8615, ge=16, description="Library materials, spread evenly over the 16 categories."
    )
    variations: int = Field(
        126_000, ge=16, description="Grids to make; each base material is varied about as often."
    )
    pieces: int = Field(
        0,
        ge=0,
        description="Different pieces of a library material with the same caption; 0: endless.",
    )
    map_size: int = Field(
        512, ge=16, le=4096, description="Side of one map in pixels; a grid is twice that."
    )
    oversampling: int = Field(
        2, ge=1, le=4, description="Maps are painted this many times larger and averaged down."
    )
    material_share: float = Field(
        0.5, gt=0, le=1, description="Share of the grids that given materials (if any) become."
    )
    renderings: int = Field(
        800_000,
        ge=0,
        description="Renderings of the variations, spread evenly over them: an output for others, "
        "which no later stage reads; 0 leaves them out.",
    )
    rendering: Rendering = Field(default_factory=Rendering, description="How they are rendered.")
    samples_per_shard: int = Field(1000, ge=1, description="Grids in one tar file.")
    processes: int = Field(0, ge=0, description="Processes that make shards; 0: one a core.")
    sample_timeout: float = Field(
        600.0,
        gt=0,
        description="Seconds for one grid with its renderings; whatever takes longer is ended.",
    )
    parts: int = Field(
        1, ge=1, description="Tasks of the pipeline that share the shards, side by side."
    )
    part: int = Field(0, ge=0, description="Which of them this is; the pipeline says so.")

    @property
    def shards(self) -> int:
        """How many shards there are, of all tasks together."""
        return -(-self.variations // self.samples_per_shard)

    @model_validator(mode="after")
    def _every_task_has_a_shard(self) -> "Config":
        if self.parts > self.shards:
            raise ValueError(f"there are fewer shards ({self.shards}) than parts ({self.parts})")
        if self.part >= self.parts:
            raise ValueError(f"there is no part {self.part} of {self.parts}, counted from 0")
        return self
