"""The pipeline task of the stage `photo_embedding`."""

from kfp.dsl import Dataset, Output

from components.core.platform.component import stage_component


@stage_component
def photo_embedding(
    config: str,
    parent_run: str,
    part: int,
    photos: str,
    environments: str,
    features: Output[Dataset],
) -> None:
    """Embeds a part of a photo database with CLIP."""
    from components.core.platform.stage import run_task

    run_task(
        "photo_embedding",
        config=config,
        inputs={},
        output=features.path,
        parameters={"photos": photos, "environments": environments},
        settings={"part": part},
        parent_run=parent_run,
    )
