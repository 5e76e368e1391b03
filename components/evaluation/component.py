"""The pipeline task of the stage `evaluation`."""

from typing import List  # noqa: UP035 (kfp knows no other list of artifacts)

from kfp.dsl import Artifact, Dataset, Input, Model, Output

from components.core.platform.component import stage_component


@stage_component
def evaluation(
    config: str,
    parent_run: str,
    model: Input[Model],
    lora: Input[Model],
    reward: Input[Model],
    prompts: Input[Dataset],
    photographs: Input[Dataset],
    dataset: Input[List[Dataset]],  # noqa: UP006
    environments: str,
    result: Output[Artifact],
) -> None:
    """Compares before and after on held-out prompts."""
    from components.core.platform.stage import run_task

    run_task(
        "evaluation",
        config=config,
        inputs={
            "model": model.path,
            "lora": lora.path,
            "reward": reward.path,
            "prompts": prompts.path,
            "photographs": photographs.path,
            "dataset": [part.path for part in dataset],
        },
        output=result.path,
        parameters={"environments": environments},
        parent_run=parent_run,
    )
