"""The pipeline task of the stage `synthetic_data`."""

from kfp.dsl import Dataset, Output

from components.core.platform.component import stage_component


@stage_component
def synthetic_data(
    config: str,
    parent_run: str,
    part: int,
    materials: str,
    environments: str,
    dataset: Output[Dataset],
) -> None:
    """Varies materials and packs their maps into grids with captions."""
    from components.core.platform.stage import run_task

    run_task(
        "synthetic_data",
        config=config,
        inputs={},
        output=dataset.path,
        parameters={"materials": materials, "environments": environments},
        settings={"part": part},
        parent_run=parent_run,
    )
