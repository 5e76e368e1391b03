"""The words of styles whose caption is a state before a kind's own phrase."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

Kinds = Mapping[str, tuple[str, tuple[str, ...]]]
"""Of each kind, its phrase with {} for the colour, and the colours that it comes in."""


@dataclass(frozen=True)
class Wording:
    """A kind of `kinds`, one of its colours, and a state, which may be none."""

    kinds: ClassVar[Kinds] = {}

    kind: str
    colour: str
    state: str = ""

    @property
    def caption(self) -> str:
        """What a person would call it."""
        return f"{self.state} {self.kinds[self.kind][0].format(self.colour)}".strip()
