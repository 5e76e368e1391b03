"""The model that the demo uses now, which follows its alias in the registry.

A new version is loaded beside the old one and takes over between two batches: no request fails and
none waits. While the registry does not answer, the last model goes on.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Protocol

import numpy as np
import numpy.typing as npt

from components.core.errors import UserError
from components.core.generator import ModelVersion
from components.core.materials.material import Material

if TYPE_CHECKING:
    from components.core.diffusion.sampler import Progress, Seed

log = logging.getLogger(__name__)
SECONDS = 15.0
"""Between two looks at the registry."""


class Generator(Protocol):
    """What the demo asks of `components.core.generator.MaterialGenerator`."""

    version: ModelVersion

    @property
    def has_adapter(self) -> bool: ...

    def generate(
        self,
        prompts: Sequence[str],
        seeds: Sequence[Seed],
        *,
        tileable: bool,
        adapted: bool,
        progress: Progress | None,
    ) -> list[Material]: ...

    def realism(self, images_nhwc: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]: ...


class Champion:
    """Holds the model in use; `follow` starts to look for newer ones every `seconds`.

    version: which version the alias stands for now, UserError if the registry does not say; absent
    for a model that has no alias. load: the model of that version.
    """

    def __init__(
        self,
        first: Generator,
        load: Callable[[], Generator] | None = None,
        version: Callable[[], ModelVersion] | None = None,
        seconds: float = SECONDS,
    ) -> None:
        self.current = first
        self._load, self._version, self._seconds = load, version, seconds
        self._reachable = True
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None

    def follow(self) -> None:
        """Start to look for newer versions, if there can be any."""
        if self._load is not None and self._version is not None and self._thread is None:
            self._thread = threading.Thread(target=self._go_on, name="champion", daemon=True)
            self._thread.start()

    def stop(self) -> None:
        """End it."""
        self._ended.set()
        if self._thread is not None:
            self._thread.join()

    def look(self) -> bool:
        """Look once; whether another version took over."""
        assert self._load is not None
        assert self._version is not None
        try:
            found = self._version()
            if found == self.current.version:
                self._heard(True)
                return False
            self.current = self._load()
        except UserError as error:
            self._heard(False, str(error))
            return False
        self._heard(True)
        log.info("model changed", extra={"model": str(self.current.version)})
        return True

    def _heard(self, reachable: bool, reason: str = "") -> None:
        """Says once that the registry went away, and once that it is back."""
        if reachable != self._reachable:
            words = "registry answers again" if reachable else "registry does not answer"
            log.warning(words, extra={"model": str(self.current.version), "reason": reason})
        self._reachable = reachable

    def _go_on(self) -> None:
        while not self._ended.wait(self._seconds):
            try:
                self.look()
            except Exception:
                # A broken new version must not end the service of the old one.
                log.exception("the new model could not be loaded")
