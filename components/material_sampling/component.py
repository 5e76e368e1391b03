"""The pipeline task of the stage `material_sampling`."""

from kfp.dsl import Dataset, Input, Model, Output

from components.core.platform.component import stage_component


@stage_component
def material_sampling(
    config: str,
    parent_run: str,
    model: Input[Model],
    environments: str,
    generated: Output[Dataset],
) -> None:
    """Samples the Generated Materials set and renders it under random light."""
    from components.core.platform.stage import run_task

    run_task(
        "material_sampling",
        config=config,
        inputs={"model": model.path},
        output=generated.path,
        parameters={"environments": environments},
        parent_run=parent_run,
    )
