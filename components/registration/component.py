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
    gate: Input[Artifact],
    alias: str,
    result: Output[Artifact],
) -> str:
    """Registers model and reward under the alias that the gate gave; returns what was registered.

    A text, registration.json with the seconds it took: of two branches of which one runs, a later
    task can take a text on one machine as well, but no artifact.
    """
    import json
    from pathlib import Path

    from components.core.platform.artifacts import located, read_manifest
    from components.core.platform.stage import run_task

    run_task(
        "registration",
        config=config,
        inputs={
            "model": model.path,
            "lora": lora.path,
            "reward": reward.path,
            "evaluation": evaluation.path,
            "gate": gate.path,
        },
        output=result.path,
        settings={"alias": alias},
        parent_run=parent_run,
        cached=False,
    )
    folder = located(Path(result.path))
    made = json.loads((folder / "registration.json").read_text())
    return json.dumps({**made, "seconds": read_manifest(folder).seconds})
