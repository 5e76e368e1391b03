"""`realmat run`, `compile` and `submit`: the pipeline on this machine and on a cluster."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from components.core.errors import UserError
from pipelines.arguments import add_sources, sources_of
from pipelines.runs import runs_folder

if TYPE_CHECKING:
    from pipelines.recipe import Recipe


def add(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Adds the commands to the parser."""
    run = _command(commands, "run", "run a recipe's pipeline on this machine", RUN_EXAMPLE)
    run.add_argument(
        "recipe", metavar="RECIPE", nargs="?", default="laptop", help="a name or a .toml file"
    )
    add_sources(run)
    run.add_argument("--output", metavar="DIR", help="folder of the run (default: runs/RECIPE)")
    _add_settings(run)
    run.add_argument("--until", metavar="STAGE", default="", help="stop after this stage")
    run.add_argument(
        "--ablation", metavar="DIR",
        help="output of realmat ablate prompts of this recipe, for the report (figure 7b); a run "
        "that has ended is only reported anew",
    )  # fmt: skip
    run.set_defaults(call=_run)

    build = _command(
        commands,
        "compile",
        "write a recipe's pipeline for Kubeflow Pipelines",
        "realmat compile paper --images manifests/overlays/production -o pipeline.yaml",
    )
    build.add_argument("recipe", metavar="RECIPE", help="a name or a .toml file")
    build.add_argument("-o", "--output", metavar="FILE", required=True, help="a .yaml file")
    _add_images(build)
    _add_settings(build)
    build.set_defaults(call=_compile)

    submit = _command(
        commands,
        "submit",
        "start a recipe's pipeline on Kubeflow Pipelines",
        SUBMIT_EXAMPLE,
    )
    submit.add_argument("recipe", metavar="RECIPE", help="a name or a .toml file")
    submit.add_argument("--host", metavar="URL", required=True, help="address of the service")
    submit.add_argument(
        "--wait", action="store_true", help="until the run has ended, with each stage's state"
    )
    submit.add_argument(
        "--cron",
        metavar="SCHEDULE",
        default="",
        help="start it again and again, such as '0 3 * * 1' for Mondays at three",
    )
    _add_images(submit)
    submit.add_argument(
        "--allow-tags", action="store_true", help="start it although an image has no digest"
    )
    _add_signing_in(submit)
    add_sources(submit)
    _add_settings(submit)
    submit.set_defaults(call=_submit)


def _add_signing_in(submit: argparse.ArgumentParser) -> None:
    signing = submit.add_argument_group("signing in (default: without)")
    for name, metavar, what in (
        ("--namespace", "NAME", "the profile's namespace, where Kubeflow has many users"),
        ("--token-file", "FILE", "file with a token, read at every request"),
        ("--oidc-issuer", "URL", "provider that gives tokens to a client"),
        ("--oidc-client-id", "ID", "that client; its secret is in REALMAT_OIDC_CLIENT_SECRET"),
        ("--certificate", "FILE", "certificates of the authority that --host is signed by"),
    ):
        signing.add_argument(name, metavar=metavar, default="", help=what)


SUBMIT_EXAMPLE = (
    "realmat submit paper --host https://pipelines.example.org --namespace realmat "
    "--images manifests/overlays/production --wait"
)
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


def _add_images(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--images",
        metavar="DIR",
        default="",
        help="overlay whose kustomization.yaml gives the images' registry and digests",
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


def _recipe_of_cluster(given: argparse.Namespace) -> "Recipe":
    from pipelines.image_digests import take_digests

    recipe = _recipe(given)
    return take_digests(recipe, Path(given.images)) if given.images else recipe


def _run(given: argparse.Namespace) -> int:
    from components.evaluation.ablation import read_ablation
    from pipelines.local import run_local
    from pipelines.recipe import STAGES

    recipe = _recipe(given)
    sources = sources_of(given, recipe)
    if given.until and given.until not in STAGES:
        raise UserError(f"--until {given.until} names no stage: give one of {', '.join(STAGES)}.")
    output = Path(given.output) if given.output else runs_folder() / recipe.name
    ablation = None
    if given.ablation:
        ablation = read_ablation(Path(given.ablation), recipe.name, sources.model_dump())
    report = run_local(recipe, output, sources, given.until, ablation)
    if "model" in report:
        model = report["model"]
        print(f"model:  {model['name']} version {model['version']} is {model['alias']}")
    print(f"report: {output / 'report' / 'report.html'}")
    return 0


def _compile(given: argparse.Namespace) -> int:
    import sys

    from pipelines.cluster import compile_pipeline
    from pipelines.image_digests import unpinned

    recipe = _recipe_of_cluster(given)
    print(compile_pipeline(recipe, Path(given.output)))
    if advice := unpinned(recipe):
        print(f"warning: {advice}.", file=sys.stderr)
    return 0


def _submit(given: argparse.Namespace) -> int:
    import json
    import sys
    import tempfile

    from components.core.platform.storage import addresses
    from pipelines.authentication import Credentials
    from pipelines.cluster import compile_pipeline
    from pipelines.image_digests import require_digests
    from pipelines.submission import Service, six_fields

    recipe = _recipe_of_cluster(given)
    sources = sources_of(given, recipe)
    for name, uri in sources.model_dump().items():
        for one in addresses(uri):
            if "://" not in one:
                raise UserError(
                    f"--{name} {one} is a local path: give an s3:// address on a cluster."
                )
    if not given.allow_tags:
        require_digests(recipe)
    if given.cron:
        six_fields(given.cron)
    credentials = Credentials(
        token_file=given.token_file, oidc_issuer=given.oidc_issuer, oidc_client=given.oidc_client_id
    )
    service = Service(given.host, credentials, given.namespace, given.certificate)
    with tempfile.TemporaryDirectory() as folder:
        pipeline = compile_pipeline(recipe, Path(folder) / "pipeline.yaml")
        uploaded = service.upload(recipe, pipeline)
    if given.cron:
        print(json.dumps(service.schedule(recipe, uploaded, sources.model_dump(), given.cron)))
        return 0
    result = service.start(recipe, uploaded, sources.model_dump())
    if given.wait:
        print(f"started {result['link']}", file=sys.stderr, flush=True)
        result["state"] = service.wait(
            result["run"], lambda line: print(line, file=sys.stderr, flush=True)
        )
    print(json.dumps(result))
    return 0 if result.get("state", "SUCCEEDED") == "SUCCEEDED" else 1
