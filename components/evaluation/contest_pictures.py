"""The pictures of a contest: renderings, the same under one point light (Fig. 11), and maps.

Of the first prompts, all methods under the same lights; files in a folder and, as plates, in the
page (`plates_page`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from components.core.materials.material import Material
from components.core.rendering.color import to_srgb_uint8
from components.core.rendering.environments import Environment
from components.evaluation.comparison import Pair
from components.evaluation.media import map_pictures
from components.evaluation.plates import PlateRenderer, plate

SHOWN = 8
"""Materials of each method that are rendered for the page, the first ones."""
MAPS_OF = 4
"""Materials whose maps are shown."""
LARGEST = 256
"""Pixels of a map's side on the page, at most."""

Images = npt.NDArray[np.uint8]
Entry = dict[str, str]


@dataclass(frozen=True)
class Gallery:
    """Renders the methods' materials, one for each pair, into a folder."""

    folder: Path
    renderer: PlateRenderer
    environments: Sequence[Environment]
    pairs: Sequence[Pair]
    methods: Mapping[str, Sequence[Material]]
    _numbers: list[int] = field(default_factory=lambda: [0])

    def plates(self) -> list[dict[str, Any]]:
        """The page's plates in their order; what the folder held before is gone."""
        self.folder.mkdir(parents=True, exist_ok=True)
        for old in self.folder.glob("*.png"):
            old.unlink()
        return [self._renderings(), self._point_light(), self._maps()]

    def _renderings(self) -> dict[str, Any]:
        rows = []
        for i, pair in enumerate(self.pairs[:SHOWN]):
            light = pair.lights[0]
            images = [
                self._save(
                    self.renderer.render_srgb(
                        materials[i], self.environments[light.environment],
                        rotation=light.rotation, seed=light.seed,
                    ),
                    name,
                )
                for name, materials in self.methods.items()
            ]  # fmt: skip
            rows.append({"name": pair.prompt, "images": images})
        note = "Each prompt under one light of its own, the same for all methods."
        return plate("Renderings", "all methods side by side", note, rows)

    def _point_light(self) -> dict[str, Any]:
        rows = [
            {
                "name": name,
                "images": [
                    self._save(self._lamp(materials[i], i), f"{pair.prompt}: {name}")
                    for i, pair in enumerate(self.pairs[:SHOWN])
                ],
            }
            for name, materials in self.methods.items()
        ]
        note = "One lamp above the top edge, the same for all: light in an albedo stands out."
        return plate("Fig. 11", "Under one point light", note, rows)

    def _lamp(self, material: Material, seed: int) -> Images:
        return to_srgb_uint8(self.renderer.render_point_light(material, np.pi / 2, seed=seed))

    def _maps(self) -> dict[str, Any]:
        rows = [
            {
                "name": f"{pair.prompt}: {name}",
                "images": [
                    self._save(picture, word)
                    for word, picture in map_pictures(materials[i]).items()
                ],
            }
            for i, pair in enumerate(self.pairs[:MAPS_OF])
            for name, materials in self.methods.items()
        ]
        note = "Of other methods after conversion, as they were measured."
        return plate("Maps", "what was rendered", note, rows)

    def _save(self, image: Images, caption: str) -> Entry:
        picture = Image.fromarray(image)
        picture.thumbnail((LARGEST, LARGEST))
        file = f"{self._numbers[0]:04d}.png"
        self._numbers[0] += 1
        picture.save(self.folder / file, optimize=True)
        return {"file": file, "caption": caption}
