"""The pipeline task of the stage `photo_retrieval`."""

from kfp.dsl import Dataset, Output

from components.core.platform.component import stage_component


@stage_component
def photo_retrieval(
    config: str,
    parent_run: str,
    photos: str,
    environments: str,
    photographs: Output[Dataset],
) -> None:
    """Searches a photo database for material photographs."""
    from components.core.platform.stage import run_task

    run_task(
        "photo_retrieval",
        config=config,
        inputs={},
        output=photographs.path,
        parameters={"photos": photos, "environments": environments},
        parent_run=parent_run,
    )
