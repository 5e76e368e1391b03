"""The pipeline compiled to one file, for a cluster and for one machine."""

from contextlib import suppress
from pathlib import Path

from components.core.errors import UserError
from pipelines.recipe import Recipe


def compile_pipeline(recipe: Recipe, path: Path) -> Path:
    """Writes the compiled pipeline of a recipe to a .yaml file, whole or not at all."""
    if path.suffix not in (".yaml", ".yml"):
        raise UserError(f"{path} must end in .yaml: a compiled pipeline is a YAML file.")
    partial = path.with_name(f".{path.stem}.partial{path.suffix}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        from kfp import compiler

        from pipelines.realmat import pipeline_of

        compiler.Compiler().compile(pipeline_of(recipe), str(partial))
        partial.rename(path)
    except OSError as error:
        raise UserError(
            f"{path} cannot be written ({error.strerror}): choose another -o."
        ) from error
    finally:
        with suppress(OSError):  # where nothing could be written, nothing can be removed
            partial.unlink()
    return path
