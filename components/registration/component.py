"""The pipeline task of the stage `registration`."""

from kfp.dsl import Artifact, Input, Model, Output

from components.core.platform.component import stage_component


@stage_component
def registration(
    config: str,
    parent_run: str,
    model: Input[Model],
    lora: Input[Model],
    reward: Input[Model],
    evaluation: Input[Artifact],
    result: Output[Artifact],
) -> None:
    """Registers model and reward, which become champions if the gate passes."""
    from components.core.platform.stage import run_task

    run_task(
        "registration",
        config=config,
        inputs={
            "model": model.path,
            "lora": lora.path,
            "reward": reward.path,
            "evaluation": evaluation.path,
        },
        output=result.path,
        parent_run=parent_run,
        cached=False,
    )
