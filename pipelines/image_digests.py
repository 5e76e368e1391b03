"""Which images a run on a cluster uses: by digest, so that what ran can be run again.

The digests stand in one place, the `images:` of an overlay's kustomization.yaml, from which the
services take them too. `submit` and `compile` put them in the place of the recipe's names.
"""

import re
from pathlib import Path

import yaml

from components.core.errors import UserError
from pipelines.recipe import Recipe

DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
UNSET = f"sha256:{'0' * 64}"
KEYS = ("image", "training_image")


def take_digests(recipe: Recipe, overlay: Path) -> Recipe:
    """The recipe with the images that an overlay (a folder or its kustomization.yaml) pins."""
    file = overlay / "kustomization.yaml" if overlay.is_dir() else overlay
    known = _read(file)
    images = {}
    for key in KEYS:
        given = getattr(recipe.cluster, key)
        name = given.partition("@")[0].rpartition("/")[2].partition(":")[0]
        if not name:
            continue  # no image of its own: the other one serves
        if name not in known:
            raise UserError(
                f"{file} pins no image '{name}', which cluster.{key} names: add it to its `images:`"
                " with newName and digest."
            )
        images[key] = known[name]
    cluster = recipe.cluster.model_copy(update=images)
    return recipe.model_copy(update={"cluster": cluster})


def _read(file: Path) -> dict[str, str]:
    try:
        images = yaml.safe_load(file.read_text(encoding="utf-8"))["images"]
        return {one["name"]: f"{one['newName']}@{one['digest']}" for one in images}
    except OSError as error:
        raise UserError(
            f"{file} cannot be read ({error.strerror}): give the folder of an overlay, such as "
            "manifests/overlays/production."
        ) from error
    except (KeyError, TypeError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise UserError(
            f"{file} has no `images:` with name, newName and digest: give the kustomization.yaml "
            "of an overlay."
        ) from error


def unpinned(recipe: Recipe) -> str:
    """What to do about an image of the recipe that is not pinned to something a registry can hold;
    "" where each is."""
    for key in KEYS:
        image = getattr(recipe.cluster, key)
        digest = image.partition("@")[2]
        if image and (not DIGEST.fullmatch(digest) or digest == UNSET):
            return (
                f"cluster.{key} is '{image}', which is not pinned by digest: give --images "
                "manifests/overlays/production with its digests set (manifests/README.md)"
            )
    return ""


def require_digests(recipe: Recipe) -> None:
    """UserError unless each image of the recipe is pinned."""
    if advice := unpinned(recipe):
        raise UserError(f"{advice}, or --allow-tags.")
