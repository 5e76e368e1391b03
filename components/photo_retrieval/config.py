"""What can be set about the photo search. Defaults are the paper's scale (section 4.1)."""

from typing import Literal

from pydantic import BaseModel, Field


class Config(BaseModel, frozen=True, extra="forbid"):
    """Settings of the stage `photo_retrieval`."""

    seed: int = Field(0, ge=0, description="Everything random in this stage follows from it.")
    clip: str = Field("small", description="CLIP model: small, a folder, hf-hub:... or NAME|TAG.")
    device: str = Field("auto", pattern="^(auto|cpu|cuda)$", description="Where to compute.")
    per_category: int = Field(
        50_000, ge=1, description="Photographs kept for each of the 16 categories (paper: 800,000)."
    )
    depth: int = Field(
        200_000,
        ge=1,
        description="Nearest neighbours that the search returns for one text or example.",
    )
    index: Literal["auto", "exact", "hnsw", "ivf_pq"] = Field(
        "auto", description="Kind of FAISS index; auto: the most exact one within memory_gb."
    )
    memory_gb: float = Field(64.0, gt=0, description="Memory that the index may take.")
    other_prompts: tuple[str, ...] = Field(
        ("a flat colour", "a colour gradient", "random noise", "a line drawing", "printed text",
         "blurred spots", "a checkerboard"),
        description="Images nearer to one of these texts than to any category are left out.",
    )  # fmt: skip
    other_margin: float = Field(
        0.0,
        ge=0,
        le=2,
        description="Similarity by which one of other_prompts must be nearer. More than 0 suits a "
        "CLIP that has seen few photographs and finds most of them a little like nothing at all.",
    )
    duplicate_similarity: float = Field(
        0.995, gt=0, le=1, description="Images with features more alike than this are duplicates."
    )
    rejected_share: float = Field(
        0.2, ge=0, le=1, description="The stage fails when more of the files are unusable."
    )
