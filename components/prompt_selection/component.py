"""The pipeline task of the stage `prompt_selection`."""

from kfp.dsl import Dataset, Input, Model, Output

from components.core.platform.component import stage_component


@stage_component
def prompt_selection(
    config: str,
    parent_run: str,
    model: Input[Model],
    reward: Input[Model],
    environments: str,
    prompts: Output[Dataset],
) -> None:
    """Keeps the prompts whose materials look the least realistic."""
    from components.core.platform.stage import run_task

    run_task(
        "prompt_selection",
        config=config,
        inputs={"model": model.path, "reward": reward.path},
        output=prompts.path,
        parameters={"environments": environments},
        parent_run=parent_run,
    )
