"""The pipeline task of the stage `annotation_sync`."""

from kfp.dsl import Dataset, Input, Output

from components.core.platform.component import stage_component


@stage_component
def annotation_sync(
    config: str,
    parent_run: str,
    labels: str,
    photographs: Input[Dataset],
    generated: Input[Dataset],
    annotations: Output[Dataset],
) -> None:
    """Has images judged for realism and collects the judgements."""
    import json

    from components.core.platform.stage import run_task

    # People go on judging: what they said by now is looked up at every run, and the stages behind
    # are reused if it is what it was.
    people = bool(labels) or json.loads(config)["source"] == "label_studio"
    run_task(
        "annotation_sync",
        config=config,
        inputs={"photographs": photographs.path, "generated": generated.path},
        output=annotations.path,
        parameters={"labels": labels},
        parent_run=parent_run,
        cached=not people,
    )
