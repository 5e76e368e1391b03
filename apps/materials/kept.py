"""Models of a registry, kept on this machine: a restart downloads nothing twice.

A server that is started again while the registry does not answer goes on with the model that it
served last. The one before it stays until a third comes, so that no more than two lie there and a
rollback is quick.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

from components.core.errors import Unreachable, UserError
from components.core.generator import ARTIFACT, ModelVersion, download, registered_version
from components.core.platform.storage import cache_folder

NOTE = "last.json"
DAY = 86400.0
"""Seconds after which an unfinished download is nobody's any more."""


def is_remote() -> bool:
    """Whether models come from a server; those of a registry in a folder need no copy."""
    import mlflow

    return str(mlflow.get_tracking_uri()).startswith("http")


def kept_models() -> KeptModels:
    """Those of MLflow's present server, in this user's cache."""
    import mlflow

    server = hashlib.sha256(mlflow.get_tracking_uri().encode()).hexdigest()[:16]
    return KeptModels(cache_folder("models") / server)


class KeptModels:
    """Finds registered models, as `components.core.generator.locate` does, in a folder of its own.

    version, download: what asks the registry and what fetches a version into a folder.
    """

    def __init__(
        self,
        folder: Path,
        version: Callable[[str], ModelVersion] = registered_version,
        fetch: Callable[[ModelVersion, Path], Path] = download,
    ) -> None:
        self._folder, self._version, self._fetch = folder, version, fetch

    def find(self, uri: str) -> tuple[Path, ModelVersion]:
        """The folder of a registered model; UserError if there is none and none was kept."""
        try:
            version = self._version(uri)
        except Unreachable:
            if (last := self._last(uri)) is None:
                raise
            return last
        place = self._place(version)
        if not place.is_dir():
            self._tidy()
            self._bring(version, place)
        os.utime(place)
        found = self._generator(uri, place)
        self._note(uri, version)
        return found, version

    def _place(self, version: ModelVersion) -> Path:
        return self._folder / f"{version.name}-{version.version}"

    def _bring(self, version: ModelVersion, place: Path) -> None:
        """Download it; it appears whole or not at all."""
        self._folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=self._folder, prefix=".partial-") as half:
            found = self._fetch(version, Path(half))
            if not place.is_dir():  # another server of this user may have been faster
                found.replace(place)

    def _note(self, uri: str, version: ModelVersion) -> None:
        partial = self._folder / f".{NOTE}"
        partial.write_text(json.dumps({"uri": uri, **asdict(version)}), encoding="utf-8")
        partial.replace(self._folder / NOTE)

    def _last(self, uri: str) -> tuple[Path, ModelVersion] | None:
        """What was served last under this address."""
        file = self._folder / NOTE
        if not file.is_file():
            return None
        values = json.loads(file.read_text(encoding="utf-8"))
        if values.pop("uri") != uri:
            return None
        version = ModelVersion(**values)
        return self._generator(uri, self._place(version)), version

    def _generator(self, uri: str, place: Path) -> Path:
        if not (place / "artifacts" / ARTIFACT).is_dir():
            raise UserError(f"{uri} is no material model: give one that `realmat run` registered")
        return place / "artifacts" / ARTIFACT

    def _tidy(self) -> None:
        """Remove all but the model that was asked for last, and what a killed download left."""
        if not self._folder.is_dir():
            return
        kept = [p for p in self._folder.iterdir() if p.is_dir() and not p.name.startswith(".")]
        kept.sort(key=lambda p: p.stat().st_mtime, reverse=True)
        halves = self._folder.glob(".partial-*")
        dead = [p for p in halves if time.time() - p.stat().st_mtime > DAY]
        for old in [*kept[1:], *dead]:
            shutil.rmtree(old, ignore_errors=True)
