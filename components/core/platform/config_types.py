"""Parts of configuration that several stages share; data only."""

from pydantic import BaseModel, Field, model_validator


class Rendering(BaseModel, frozen=True, extra="forbid"):
    """How a material is rendered, the same in every stage so that scores compare."""

    size: int = Field(64, ge=8, le=4096, description="side of the square rendering in pixels")
    spp: int = Field(16, ge=1, le=65536, description="samples per pixel")
    displacement: float = Field(
        0.06, ge=0, le=1, description="height range as a share of the plane's side"
    )
    mesh_resolution: int = Field(
        64, ge=2, le=4096, description="vertices along one side of the displaced mesh"
    )
    max_depth: int = Field(
        3, ge=2, le=64, description="2 is direct light only, each more adds one bounce"
    )
    sampler: str = Field(
        "multijitter",
        pattern="^(independent|stratified|multijitter|orthogonal|ldsampler|interleaved)$",
        description="what places the samples of a pixel: a sampler of Mitsuba's, or "
        "'interleaved', which makes no grain and so disturbs a score least; spp is a power of two",
    )
    interleave: int = Field(
        1,
        ge=1,
        le=64,
        description="with 'interleaved', side of the square of pixels that share one pattern: "
        "how many pixels CLIP averages into one of its own along a side; a power of two",
    )

    @model_validator(mode="after")
    def _powers_of_two(self) -> "Rendering":
        if self.sampler == "interleaved":
            for name in ("spp", "interleave"):
                value = getattr(self, name)
                if value & (value - 1):
                    raise ValueError(
                        f"with the sampler 'interleaved', {name} is a power of two, not {value}"
                    )
        return self
