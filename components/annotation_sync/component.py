"""The pipeline task of the stage `annotation_sync`."""

from kfp.dsl import Dataset, Input, Output

from components.core.platform.component import stage_component


@stage_component
def annotation_sync(
    config: str,
    parent_run: str,
    photographs: Input[Dataset],
    generated: Input[Dataset],
    annotations: Output[Dataset],
) -> None:
    """Has images judged for realism and collects the judgements."""
    from components.core.platform.stage import run_task

    run_task(
        "annotation_sync",
        config=config,
        inputs={"photographs": photographs.path, "generated": generated.path},
        output=annotations.path,
        parent_run=parent_run,
    )
