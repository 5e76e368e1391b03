"""Where made materials wait to be looked at and taken away: a folder for each, for a while.

An id is random and long: who knows it may fetch the material, nobody can guess one. What a session
made is found by a hash of its token, also after a restart.
"""

from __future__ import annotations

import hashlib
import io
import json
import re
import secrets
import shutil
import tempfile
import threading
import time
import zipfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from components.core.errors import UserError
from components.core.materials.export import write_mtlx, write_zip
from components.core.materials.files import load_material, save_material, write_whole
from components.core.materials.gltf import glb
from components.core.materials.material import Material
from components.core.materials.occlusion import occlusion
from components.core.materials.pixels import png_8
from components.core.materials.seam import material_seam
from components.core.rendering.batch import SrgbRenderer
from components.core.rendering.environments import Environment

ID = re.compile(r"[A-Za-z0-9_-]{16}")
ABOUT = "about.json"
KEEP_SECONDS = 24 * 3600.0
KEEP_COUNT = 2000
RELIEF = 0.06
MAPS = ("albedo.png", "height.png", "roughness.png", "metallic.png", "normal.png")


class Missing(UserError):
    """There is no such material (any more)."""


@dataclass(frozen=True)
class Card:
    """What a page shows of a material without opening its maps."""

    id: str
    prompt: str
    category: str
    seed: int
    model: str
    version: str
    reinforced: bool
    tileable: bool
    score: float | None
    light: str
    made: float
    variation: bool
    seam: float | None

    @property
    def by(self) -> str:
        """The model that made it, in words."""
        name = f"{self.model} version {self.version}" if self.version else self.model
        return name if self.reinforced else f"{name}, before RL"


class Shelf:
    """Materials below `folder`; the oldest go when they are too old or too many."""

    def __init__(
        self,
        folder: Path,
        renderer: SrgbRenderer,
        environments: Sequence[Environment],
        *,
        keep_seconds: float = KEEP_SECONDS,
        keep_count: int = KEEP_COUNT,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.folder = folder
        self.renderer = renderer
        self.environments = {environment.name: environment for environment in environments}
        self._keep_seconds, self._keep_count, self._clock = keep_seconds, keep_count, clock
        self._cards: dict[str, tuple[Card, str]] = {}
        self._lock = threading.Lock()
        folder.mkdir(parents=True, exist_ok=True)
        for path in sorted(folder.iterdir()):
            self._read(path)

    def put(self, material: Material, session: str, light: str, score: float | None) -> str:
        """Keep a material; returns its id."""
        self.forget_old(room=1)
        name = secrets.token_urlsafe(12)
        words = {
            "owner": _hashed(session), "score": score, "light": light, "made": self._clock(),
            "seam": round(material_seam(material), 2),
        }  # fmt: skip
        known = {} if score is None else {"realism": round(score, 4)}
        save_material(material, self.folder / name, **known)
        # Written last: a folder without it is not a material yet.
        write_whole(self.folder / name / ABOUT, json.dumps(words).encode())
        self._read(self.folder / name)
        return name

    def card(self, name: str) -> Card:
        """What is known of a material; `Missing` if there is none of this id."""
        found = self._cards.get(name) if ID.fullmatch(name) else None
        if found is None:
            raise Missing("this material is not here (any more): materials are kept for a day")
        return found[0]

    def of_session(self, session: str) -> list[Card]:
        """Everything that a session made, the newest first."""
        owner = _hashed(session)
        cards = [card for card, of in list(self._cards.values()) if of == owner]
        return sorted(cards, key=lambda card: card.made, reverse=True)

    def material(self, name: str) -> Material:
        """Its maps."""
        self.card(name)
        return load_material(self.folder / name)

    def words(self, name: str) -> dict[str, Any]:
        """Its sidecar."""
        self.card(name)
        known: dict[str, Any] = json.loads((self.folder / name / "material.json").read_text())
        return known

    def rendering(self, name: str, light: str = "") -> bytes:
        """A PNG of the tile seen from above, rendered once for each light."""
        card = self.card(name)
        environment = self.environments.get(light or card.light)
        if environment is None:
            raise UserError("there is no light of this name: choose one of the list")
        file = self.folder / name / f"rendering-{_hashed(environment.name)[:16]}.png"
        if not file.exists():
            image = self.renderer.render_srgb(
                load_material(self.folder / name), environment, rotation=0.0, seed=0
            )
            self.keep_rendering(name, environment.name, image)
        return file.read_bytes()

    def keep_rendering(self, name: str, light: str, image: np.ndarray[Any, Any]) -> None:
        """Keep a rendering that is there already."""
        png = png_8((image / 255.0).astype(np.float32))
        write_whole(self.folder / name / f"rendering-{_hashed(light)[:16]}.png", png)

    def file(self, name: str, kind: str) -> bytes:
        """A download of `DOWNLOADS`, made once; or one of `MAPS`."""
        self.card(name)
        if kind in MAPS or kind == "material.json":
            return (self.folder / name / kind).read_bytes()
        file = self.folder / name / f"download-{kind}"
        if not file.exists():
            write_whole(file, DOWNLOADS[kind](load_material(self.folder / name)))
        return file.read_bytes()

    def forget_old(self, room: int = 0) -> None:
        """Remove what is too old, and the oldest of what is too many, less `room` for new ones."""
        with self._lock:
            by_age = sorted(self._cards.values(), key=lambda entry: entry[0].made)
            too_many = len(by_age) - self._keep_count + room
            for number, (card, _) in enumerate(by_age):
                if number < too_many or self._clock() - card.made > self._keep_seconds:
                    del self._cards[card.id]
                    shutil.rmtree(self.folder / card.id, ignore_errors=True)

    def _read(self, path: Path) -> None:
        if not (ID.fullmatch(path.name) and (path / ABOUT).is_file()):
            return
        about = json.loads((path / ABOUT).read_text("utf-8"))
        words: Mapping[str, Any] = json.loads((path / "material.json").read_text("utf-8"))
        card = Card(
            path.name, str(words["caption"]), str(words["category"]), int(words["seed"]),
            str(words.get("model", "")), str(words.get("version", "")),
            bool(words.get("reinforced", False)), bool(words.get("tileable", False)),
            about["score"], str(about["light"]), float(about["made"]), "variation_of" in words,
            about.get("seam"),
        )  # fmt: skip
        self._cards[path.name] = (card, str(about["owner"]))


def _hashed(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def surface(material: Material) -> bytes:
    """Height, roughness, metalness and occlusion as half floats (H, W, 4), for the 3D preview."""
    channels = [
        material.height, material.roughness, material.metallic,
        occlusion(material.height, RELIEF),
    ]  # fmt: skip
    return np.stack(channels, axis=-1).astype("<f2").tobytes()


def _zipped(material: Material) -> bytes:
    return _through_file(lambda file: write_zip(material, file), "material.zip")


def _mtlx(material: Material) -> bytes:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "material"
        write_mtlx(material, folder, displacement=RELIEF)
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
            for file in sorted(folder.iterdir()):
                archive.write(file, file.name)
        return buffer.getvalue()


def _usdz(material: Material) -> bytes:
    from components.core.materials.usd import write_usdz

    return _through_file(
        lambda file: write_usdz(material, file, displacement=RELIEF), "material.usdz"
    )


def _through_file(write: Callable[[Path], None], name: str) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        write(Path(folder) / name)
        return (Path(folder) / name).read_bytes()


DOWNLOADS: Mapping[str, Callable[[Material], bytes]] = {
    "surface.bin": surface,
    "material.zip": _zipped,
    "materialx.zip": _mtlx,
    "material.usdz": _usdz,
    "plane.glb": lambda material: glb(material, displacement=RELIEF),
    "sphere.glb": lambda material: glb(material, displacement=RELIEF, shape="sphere"),
}
"""From a download's name to what makes it."""
