"""The pipeline task of the stage `photo_retrieval`."""

from typing import List  # noqa: UP035 (kfp knows no other list of artifacts)

from kfp.dsl import Dataset, Input, Output

from components.core.platform.component import stage_component


@stage_component
def photo_retrieval(
    config: str,
    parent_run: str,
    examples: str,
    features: Input[List[Dataset]],  # noqa: UP006
    photographs: Output[Dataset],
) -> None:
    """Searches a photo database for material photographs."""
    from components.core.platform.stage import run_task

    run_task(
        "photo_retrieval",
        config=config,
        inputs={"features": [part.path for part in features]},
        output=photographs.path,
        parameters={"examples": examples},
        parent_run=parent_run,
    )
