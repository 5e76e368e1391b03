"""What can be known to be wrong with a run's sources before its first stage starts."""

from pathlib import Path
from urllib.parse import urlparse

from components.core.catalogues.address import parse
from components.core.errors import UserError
from components.core.platform.archive import require_archive
from components.core.platform.storage import CATALOGUES, addresses, fingerprint, local_path
from pipelines.recipe import STAGES, Recipe

PATIENCE = 10.0
"""Seconds for which a server that does not answer is asked again, before anything has begun."""


def check_sources(photos: str, environments: str, materials: str) -> None:
    """UserError when one of the sources is missing, or holds nothing that its stage could use.
    Each may be several addresses.

    Folders on this machine are looked into; remote ones, which may be huge, are only listed.
    """
    for uri, check in (
        *((one, _check_photos) for one in addresses(photos)),
        *((one, _check_environments) for one in addresses(environments)),
        *((one, _check_materials) for one in addresses(materials)),
    ):
        fingerprint(uri)
        if urlparse(uri).scheme in CATALOGUES:
            parse(uri)
        elif uri and "://" not in uri:
            check(local_path(uri))


def check_labels(recipe: Recipe, labels: str, until: str) -> None:
    """UserError when people are to judge, but Label Studio does not answer or refuses the key."""
    stages = STAGES[: STAGES.index(until) + 1] if until else STAGES
    people = bool(labels) or recipe.annotation_sync.source == "label_studio"
    if not people or "annotation_sync" not in stages:
        return
    from labeling.address import parse
    from labeling.label_studio import connect, default_address

    project = recipe.annotation_sync.project
    connect(parse(labels) if labels else default_address(project), patience=PATIENCE).check()


def check_training(recipe: Recipe, until: str) -> None:
    """UserError when the fine-tuning needs more memory than this machine's GPUs have, or an archive
    that there is not."""
    stages = STAGES[: STAGES.index(until) + 1] if until else STAGES
    if "sdxl_finetune" in stages:
        from pipelines.preflight_memory import check_memory

        check_memory(recipe.sdxl_finetune)
        if recipe.sdxl_finetune.stream_cache:
            require_archive("sdxl_finetune.stream_cache")


def check_preferences(uri: str) -> None:
    """UserError when the table of preferences is missing or is none with images."""
    fingerprint(uri)
    if uri and "://" not in uri:
        from components.reward_training.preferences import check_table

        check_table(uri)


def check_examples(uri: str) -> None:
    """UserError when the folder of examples is missing, or names a category that there is not."""
    fingerprint(uri)
    if uri:
        from components.photo_retrieval.examples import list_examples

        list_examples(uri)


def _check_photos(folder: Path) -> None:
    from components.core.materials.photo_chunks import chunks_of

    chunks_of(str(folder), 1)


def _check_environments(folder: Path) -> None:
    from components.core.rendering.environments import load_environments

    load_environments(folder)


def _check_materials(folder: Path) -> None:
    from components.core.materials.sources import material_sets

    if not material_sets(folder):
        raise UserError(
            f"{folder}: no material found; expected folders with an albedo map (albedo.png, "
            "*_Color.jpg, *_diff_1k.png)"
        )
