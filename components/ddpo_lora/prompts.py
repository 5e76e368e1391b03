"""The prompts of a run: what is trained on, what is only measured, and their categories."""

import json
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from components.core.errors import UserError

FILE = "prompts.jsonl"


@dataclass(frozen=True)
class Prompts:
    """Prompts of both splits; categories may be empty."""

    train: list[str]
    heldout: list[str]
    categories: dict[str, str]


def read_prompts(folder: Path) -> Prompts:
    """Read a "prompts" artifact; UserError if it is empty or repeats itself.

    A prompt that is given twice would be trained twice as often as the others, and one that is in
    both splits would make the held-out measurement measure what was trained.
    """
    file = folder / FILE
    try:
        rows = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
        pairs = [(str(row["split"]), str(row["prompt"]).strip()) for row in rows]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(
            f"{file} is missing or unreadable ({error!r}); expected one JSON object a line with "
            "prompt and split"
        ) from error
    repeated = [p for p, count in Counter(prompt for _, prompt in pairs).items() if count > 1]
    if repeated:
        raise UserError(f"{file} gives the prompt {repeated[0]!r} more than once: remove one")
    if not all(prompt for _, prompt in pairs):
        raise UserError(f"{file} holds an empty prompt: remove it or write one")
    train = [prompt for split, prompt in pairs if split == "train"]
    if not train:
        raise UserError(f"{file} holds no prompt with split 'train'")
    kinds = {
        pair[1]: str(row["category"]) for pair, row in zip(pairs, rows, strict=True)
        if "category" in row
    }  # fmt: skip
    heldout = [prompt for split, prompt in pairs if split == "heldout"]
    return Prompts(train, heldout, kinds if len(kinds) == len(pairs) else {})
