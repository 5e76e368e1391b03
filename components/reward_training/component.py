"""The pipeline task of the stage `reward_training`."""

from kfp.dsl import Dataset, Input, Model, Output

from components.core.platform.component import stage_component


@stage_component
def reward_training(
    config: str,
    parent_run: str,
    photographs: Input[Dataset],
    generated: Input[Dataset],
    labels: Input[Dataset],
    preferences: str,
    reward: Output[Model],
) -> None:
    """Trains the realism reward on the labels, with total variation."""
    from components.core.platform.stage import run_task

    run_task(
        "reward_training",
        config=config,
        inputs={
            "photographs": photographs.path,
            "generated": generated.path,
            "labels": labels.path,
        },
        output=reward.path,
        parameters={"preferences": preferences},
        parent_run=parent_run,
    )
