"""The mesh that a rendering of each size is measured with: the one that the recipes have."""

from components.core.platform.config_types import Rendering
from pipelines.recipe import load_recipe

RECIPES = ("laptop", "paper")
OTHER = 128
"""Cells along the side of large images of a size that no recipe has."""


def rendering_of(recipe: str) -> Rendering:
    """How a recipe renders what is scored."""
    return load_recipe(recipe).shared.rendering


def mesh_of(size: int) -> int:
    """Cells along the tile's side in an image of `size` pixels."""
    for rendering in map(rendering_of, RECIPES):
        if rendering.size == size:
            return rendering.mesh_resolution
    return min(size, OTHER)
