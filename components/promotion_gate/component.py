"""The pipeline task of the stage `promotion_gate`."""

from kfp.dsl import Artifact, Input, Output

from components.core.platform.component import stage_component


@stage_component
def promotion_gate(
    config: str,
    parent_run: str,
    name: str,
    evaluation: Input[Artifact],
    gate: Output[Artifact],
) -> str:
    """Returns the alias that the model has earned: champion or candidate."""
    import json
    from pathlib import Path

    from components.core.platform.artifacts import located
    from components.core.platform.stage import run_task

    run_task(
        "promotion_gate",
        config=config,
        inputs={"evaluation": evaluation.path},
        output=gate.path,
        settings={"name": name},
        parent_run=parent_run,
        cached=False,  # who is champion now lies outside
    )
    return str(json.loads((located(Path(gate.path)) / "gate.json").read_text())["verdict"])
