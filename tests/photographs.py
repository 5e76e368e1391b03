"""Real photographs for the tests that use them: `../shared/real/photos`, a folder a kind.

They are data and no part of the repository: without them such a test is skipped with its reason.
`REALMAT_TEST_PHOTOS` names another folder of the same form.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[2] / "shared" / "real" / "photos"

CATEGORIES_OF: Mapping[str, tuple[str, ...]] = {
    "Asphalt": ("ground", "stone"),
    "Bamboo": ("wood",),
    "Bark": ("wood",),
    "Bricks": ("brick",),
    "Cardboard": ("paper",),
    "Carpet": ("fabric",),
    "Chainmail": ("metal",),
    "Chipboard": ("wood",),
    "Clay": ("ground", "ceramic"),
    "Concrete": ("stone",),
    "Cork": ("wood",),
    "CorrugatedSteel": ("metal",),
    "DiamondPlate": ("metal",),
    "Fabric": ("fabric",),
    "GlazedTerracotta": ("ceramic",),
    "Granite": ("granite", "stone"),
    "Grass": ("grass",),
    "Gravel": ("pebble", "ground"),
    "Ground": ("ground",),
    "Marble": ("marble", "stone"),
    "Metal": ("metal",),
    "Moss": ("grass", "ground"),
    "OfficeCeiling": (),
    "Paint": (),
    "Paper": ("paper",),
    "PavingStones": ("stone", "brick"),
    "PineNeedles": ("leaves", "ground"),
    "Planks": ("wood",),
    "Plaster": ("stone",),
    "Plastic": (),
    "Porcelain": ("ceramic",),
    "Road": ("ground", "stone"),
    "Rock": ("rock", "stone"),
    "Rocks": ("rock", "pebble", "stone"),
    "RoofingTiles": ("ceramic", "brick"),
    "Rust": ("metal",),
    "Snow": (),
    "SolarPanel": (),
    "Terrazzo": ("granite", "stone", "marble"),
    "ThatchedRoof": ("grass", "leaves"),
    "Tiles": ("ceramic", "stone"),
    "Wallpaper": ("paper", "fabric"),
    "Wood": ("wood",),
    "WoodChips": ("wood", "ground"),
    "WoodFloor": ("wood",),
    "WoodSiding": ("wood",),
}
"""The categories that a photograph of each kind may be filed under; none of the 16: empty."""


def photograph_folder() -> Path:
    """Where the photographs lie; skips the test where they do not."""
    folder = Path(os.environ.get("REALMAT_TEST_PHOTOS") or FOLDER)
    if not folder.is_dir():
        pytest.skip(f"there are no photographs at {folder}")
    return folder


def kind_of(source: str) -> str:
    """The kind of a photograph, by its path below the folder or its address."""
    return Path(source).parent.name
