"""The MLflow run of a whole pipeline, opened by its first task and closed by its last.

Who starts the pipeline may have opened one already and gives its id: then it is theirs to close,
and neither task imports MLflow.
"""

from components.core.platform.component import stage_component


@stage_component
def open_run(given: str, recipe: str, settings: str) -> str:
    """Returns the id of the run below which each stage opens its own."""
    if given:
        return given
    from components.core.platform.pipeline_run import open_pipeline_run

    return open_pipeline_run(recipe, settings)


@stage_component
def close_run(given: str, run: str) -> None:
    """Marks the run as finished, after the last stage."""
    if not given:
        from components.core.platform.pipeline_run import close_pipeline_run

        close_pipeline_run(run)
