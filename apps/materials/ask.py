"""What may be asked of the demo, the same for its page, its HTTP API and gradio_client."""

from __future__ import annotations

import secrets
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from components.core.errors import UserError
from components.core.generator import check_prompt

MAX_COUNT = 8
MAX_SEED = 2**31 - 1
MAX_TEXT = 20_000
"""Longer prompts are not even read; those above `MAX_PROMPT` get a sentence."""


class Strict(BaseModel):
    """A body without unknown keys."""

    model_config = ConfigDict(extra="forbid")


class Like(Strict):
    """Ask for materials near one that is there already."""

    material: Annotated[str, Field(max_length=64, description="The id of that material.")]
    strength: float = Field(
        0.35, gt=0, le=1, description="How far away: 1 has nothing in common but the prompt."
    )


class Ask(Strict):
    """Materials to be made."""

    prompt: Annotated[str, Field(max_length=MAX_TEXT, description="What it is: 'old brick wall'.")]
    count: int = Field(1, ge=1, le=MAX_COUNT, description="Variations, each with its own seed.")
    seed: int | None = Field(
        None, ge=0, le=MAX_SEED, description="Of the first; the others count up. Random if absent."
    )
    tileable: bool = Field(True, description="Whether the maps repeat without a seam.")
    compare: bool = Field(
        False, description="Also with the model before reinforcement learning, on the same seeds."
    )
    light: Annotated[str, Field(max_length=64)] = Field(
        "", description="Environment of the rendering; the first if absent."
    )
    like: Like | None = None


def seeds_of(ask: Ask) -> list[int]:
    """The seed of each variation; they wrap around at the largest."""
    first = secrets.randbelow(MAX_SEED) if ask.seed is None else ask.seed
    return [(first + number) % (MAX_SEED + 1) for number in range(ask.count)]


def checked(ask: Ask, lights: list[str]) -> Ask:
    """With a clean prompt and a light that exists; UserError otherwise."""
    light = ask.light or lights[0]
    if light not in lights:
        raise UserError(f"there is no light called '{light[:64]}': choose one of the list")
    return ask.model_copy(update={"prompt": check_prompt(ask.prompt), "light": light})
