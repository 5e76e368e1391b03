"""The pipeline task of the stage `realism_labels`."""

from kfp.dsl import Dataset, Input, Output

from components.core.platform.component import stage_component


@stage_component
def realism_labels(
    config: str,
    parent_run: str,
    photographs: Input[Dataset],
    generated: Input[Dataset],
    annotations: Input[Dataset],
    labels: Output[Dataset],
) -> None:
    """Labels every image by one linear classifier for each set."""
    from components.core.platform.stage import run_task

    run_task(
        "realism_labels",
        config=config,
        inputs={
            "photographs": photographs.path,
            "generated": generated.path,
            "annotations": annotations.path,
        },
        output=labels.path,
        parent_run=parent_run,
    )
