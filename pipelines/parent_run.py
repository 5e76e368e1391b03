"""The MLflow run of a whole pipeline, opened by its first task and closed by its last.

Who starts the pipeline may have opened one already and gives its id: then it is theirs to close
and to report on, and neither task imports MLflow.
"""

from typing import List  # noqa: UP035 (kfp knows no other list of artifacts)

from kfp.dsl import Artifact, Dataset, Input, Model

from components.core.platform.component import stage_component


@stage_component
def open_run(given: str, recipe: str, settings: str) -> str:
    """Returns the id of the run below which each stage opens its own."""
    if given:
        return given
    from components.core.platform.pipeline_run import open_pipeline_run

    return open_pipeline_run(recipe, settings)


@stage_component
def close_run(
    given: str,
    run: str,
    recipe: str,
    settings: str,
    photos: str,
    environments: str,
    materials: str,
    synthetic_data: Input[List[Dataset]],  # noqa: UP006
    sdxl_finetune: Input[Model],
    material_sampling: Input[Dataset],
    photo_embedding: Input[List[Dataset]],  # noqa: UP006
    photo_retrieval: Input[Dataset],
    annotation_sync: Input[Dataset],
    realism_labels: Input[Dataset],
    reward_training: Input[Model],
    prompt_selection: Input[Dataset],
    ddpo_lora: Input[Model],
    evaluation: Input[Artifact],
    promotion_gate: Input[Artifact],
    registration: str,
) -> None:
    """Puts the report of all stages into the run and marks it as finished.

    registration: what the branch that ran has registered, as JSON.
    """
    if given:
        return
    from pathlib import Path

    from components.core.platform.pipeline_run import close_pipeline_run
    from components.evaluation.publish import publish_report

    publish_report(
        run,
        recipe=recipe,
        settings=settings,
        artifacts={
            "synthetic_data": [Path(part.path) for part in synthetic_data],
            "sdxl_finetune": Path(sdxl_finetune.path),
            "material_sampling": Path(material_sampling.path),
            "photo_embedding": [Path(part.path) for part in photo_embedding],
            "photo_retrieval": Path(photo_retrieval.path),
            "annotation_sync": Path(annotation_sync.path),
            "realism_labels": Path(realism_labels.path),
            "reward_training": Path(reward_training.path),
            "prompt_selection": Path(prompt_selection.path),
            "ddpo_lora": Path(ddpo_lora.path),
            "evaluation": Path(evaluation.path),
            "promotion_gate": Path(promotion_gate.path),
        },
        registered=registration,
        parameters={"photos": photos, "environments": environments, "materials": materials},
    )
    close_pipeline_run(run)
