"""Prompts: how a category and a material's name become the text that conditions the model.

Section 5 of the paper: prompts combine the category ("wood", "metal") with the material's name.
"""

from __future__ import annotations

import zlib

HELDOUT_SHARE = 0.2


def prompt_of(category: str, caption: str) -> str:
    """The training and sampling prompt, lower case: "brick, old red brick wall"."""
    text = " ".join(caption.lower().split())
    return f"{category}, {text}" if category else text


def is_heldout(prompt: str) -> bool:
    """Whether a prompt belongs to the share that no training ever sees.

    By a hash of the text, so that every stage and every script agrees without a list.
    """
    return zlib.crc32(prompt.encode()) % 1000 < HELDOUT_SHARE * 1000
