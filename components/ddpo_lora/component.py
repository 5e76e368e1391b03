"""The pipeline task of the stage `ddpo_lora`."""

from kfp.dsl import Dataset, Input, Model, Output

from components.core.platform.component import stage_component


@stage_component
def ddpo_lora(
    config: str,
    parent_run: str,
    model: Input[Model],
    reward: Input[Model],
    prompts: Input[Dataset],
    environments: str,
    lora: Output[Model],
) -> None:
    """Raises realism by reinforcement learning (stage 2 of the paper)."""
    from components.core.platform.stage import run_task

    run_task(
        "ddpo_lora",
        config=config,
        inputs={"model": model.path, "reward": reward.path, "prompts": prompts.path},
        output=lora.path,
        parameters={"environments": environments},
        parent_run=parent_run,
    )
