"""The pipeline task of the stage `sdxl_finetune`."""

from typing import List  # noqa: UP035 (kfp knows no other list of artifacts)

from kfp.dsl import Dataset, Input, Model, Output

from components.core.platform.component import stage_component


@stage_component
def sdxl_finetune(
    config: str,
    parent_run: str,
    dataset: Input[List[Dataset]],  # noqa: UP006
    model: Output[Model],
) -> None:
    """Fine-tunes all of SDXL's UNet on the grids (stage 1 of the paper)."""
    from components.core.platform.stage import run_task

    run_task(
        "sdxl_finetune",
        config=config,
        inputs={"dataset": [part.path for part in dataset]},
        output=model.path,
        parent_run=parent_run,
    )
