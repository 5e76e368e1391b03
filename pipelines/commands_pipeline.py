"""`realmat run`, `compile` and `submit`: the pipeline on this machine and on a cluster."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from components.core.errors import UserError
from pipelines.runs import runs_folder

if TYPE_CHECKING:
    from pipelines.local import Sources
    from pipelines.recipe import Recipe


def add(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Adds the commands to the parser."""
    run = _command(commands, "run", "run a recipe's pipeline on this machine", RUN_EXAMPLE)
    run.add_argument(
        "recipe", metavar="RECIPE", nargs="?", default="laptop", help="a name or a .toml file"
    )
    _add_sources(run)
    run.add_argument("--output", metavar="DIR", help="folder of the run (default: runs/RECIPE)")
    _add_settings(run)
    run.add_argument("--until", metavar="STAGE", default="", help="stop after this stage")
    run.set_defaults(call=_run)

    build = _command(
        commands,
        "compile",
        "write a recipe's pipeline for Kubeflow Pipelines",
        "realmat compile paper -o pipeline.yaml",
    )
    build.add_argument("recipe", metavar="RECIPE", help="a name or a .toml file")
    build.add_argument("-o", "--output", metavar="FILE", required=True, help="a .yaml file")
    _add_settings(build)
    build.set_defaults(call=_compile)

    submit = _command(
        commands,
        "submit",
        "start a recipe's pipeline on Kubeflow Pipelines",
        "realmat submit paper --host https://pipelines.example.org --wait",
    )
    submit.add_argument("recipe", metavar="RECIPE", help="a name or a .toml file")
    submit.add_argument("--host", metavar="URL", required=True, help="address of the service")
    submit.add_argument("--wait", action="store_true", help="until the run has ended")
    _add_sources(submit)
    _add_settings(submit)
    submit.set_defaults(call=_submit)


RUN_EXAMPLE = "realmat run laptop --photos photos/ --set ddpo_lora.epochs=8"


def _command(
    commands: "argparse._SubParsersAction[argparse.ArgumentParser]",
    name: str,
    summary: str,
    example: str,
) -> argparse.ArgumentParser:
    return commands.add_parser(
        name, help=summary, description=summary, epilog=f"example: {example}"
    )


def _add_sources(command: argparse.ArgumentParser) -> None:
    for name, what in (
        ("photos", "photographs of materials"),
        ("environments", ".hdr or .exr environment maps"),
        ("materials", "PBR material sets"),
    ):
        command.add_argument(
            f"--{name}", metavar="URI", default="", help=f"folder or s3:// address of {what}"
        )


def _add_settings(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--set",
        dest="settings",
        metavar="STAGE.KEY=VALUE",
        action="append",
        default=[],
        help="change one setting of the recipe; may be given again",
    )


def _recipe(given: argparse.Namespace) -> "Recipe":
    from pipelines.recipe import load_recipe

    return load_recipe(given.recipe, given.settings)


def _sources(given: argparse.Namespace) -> "Sources":
    from pipelines.local import Sources

    def absolute(uri: str) -> str:
        return str(Path(uri).expanduser().absolute()) if uri and "://" not in uri else uri

    return Sources(
        photos=absolute(given.photos),
        environments=absolute(given.environments),
        materials=absolute(given.materials),
    )


def _run(given: argparse.Namespace) -> int:
    from pipelines.local import run_local
    from pipelines.recipe import STAGES

    recipe = _recipe(given)
    if given.until and given.until not in STAGES:
        raise UserError(f"--until {given.until} names no stage: give one of {', '.join(STAGES)}.")
    output = Path(given.output) if given.output else runs_folder() / recipe.name
    report = run_local(recipe, output, _sources(given), given.until)
    if "model" in report:
        model = report["model"]
        print(f"model:  {model['name']} version {model['version']} is {model['alias']}")
    print(f"report: {output / 'report' / 'report.html'}")
    return 0


def _compile(given: argparse.Namespace) -> int:
    from pipelines.cluster import compile_pipeline

    print(compile_pipeline(_recipe(given), Path(given.output)))
    return 0


def _submit(given: argparse.Namespace) -> int:
    import json
    import tempfile

    from pipelines.cluster import compile_pipeline, submit

    recipe, sources = _recipe(given), _sources(given)
    for name, uri in sources.model_dump().items():
        if uri and "://" not in uri:
            raise UserError(f"--{name} {uri} is a local path: give an s3:// address on a cluster.")
    with tempfile.TemporaryDirectory() as folder:
        pipeline = compile_pipeline(recipe, Path(folder) / "pipeline.yaml")
        result = submit(recipe, pipeline, sources.model_dump(), given.host, given.wait)
    print(json.dumps(result))
    return 0 if result.get("state", "SUCCEEDED").upper().endswith("SUCCEEDED") else 1
