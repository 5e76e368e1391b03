"""Which CLIP model a scorer reads: its name and a hash of its weights.

A scorer is a direction in the features of one CLIP model. Another one of the same size, such as the
shipped small model trained anew, gives it features that it says nothing about, and scores that look
like scores. A name does not tell them apart; the weights do.

    clip.json   {"uri": name, "weights": hash}; artifacts from before lack the hash
"""

import json
from pathlib import Path
from typing import Any

from components.core.errors import UserError
from components.core.realism.clip import ClipFeatures

CLIP_FILE = "clip.json"


def write_clip(folder: Path, uri: str, clip: ClipFeatures) -> None:
    """Note beside a scorer which CLIP model it was trained on."""
    text = json.dumps({"uri": uri, "weights": clip.fingerprint})
    (folder / CLIP_FILE).write_text(text + "\n", encoding="utf-8")


def read_clip(
    file: Path, *, key: str = "uri", kept: Path | None = None, device: str = "cpu"
) -> ClipFeatures:
    """The CLIP model that `key` of a JSON file names; UserError if it has other weights now.

    kept: the folder that holds the model, where it need not be fetched by its name.
    """
    try:
        noted: dict[str, Any] = json.loads(file.read_text("utf-8"))
        uri = str(noted.get(key, "small"))
    except (OSError, ValueError, AttributeError) as error:
        raise UserError(
            f"{file} is missing or not valid JSON ({error}): write it again, with the name of the "
            f"CLIP model under {key!r}"
        ) from error
    features = ClipFeatures.load(str(kept or uri), device=device)
    if "weights" in noted and noted["weights"] != features.fingerprint:
        raise UserError(
            f"{file} belongs to a scorer that was trained on a CLIP model of the name {uri!r} with "
            "other weights: give that model, or train the reward again"
        )
    return features
