"""`realmat doctor` and `serve`: what of this machine is usable, and the web application on it."""

import argparse
import json
import os
import shutil
import socket
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal
from urllib.parse import urlparse

from components.core.errors import UserError
from pipelines.arguments import add_model, find_registry, number
from pipelines.commands_study import add_place, place_of
from pipelines.runs import registry_uri, runs_folder

MEMORY_GB = 8
DISK_GB = 5


@dataclass(frozen=True)
class Check:
    """One finding. "missing" hinders only what needs it; "broken" hinders every run."""

    name: str
    state: Literal["ok", "missing", "broken"]
    detail: str
    mend: str = ""


def add(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Adds the commands to the parser."""
    serve = commands.add_parser(
        "serve",
        help="serve the web application",
        description="Serves the demo of the registered model and the comparison studies.",
        epilog="example: realmat serve --port 8080",
    )
    serve.add_argument("--host", metavar="NAME", default="127.0.0.1", help="default: 127.0.0.1")
    serve.add_argument("--port", metavar="N", type=number(1, 65535), default=7860)
    serve.add_argument(
        "--root-path", metavar="PATH", default="", help="prefix that a reverse proxy strips"
    )
    serve.add_argument(
        "--rate", metavar="N", type=number(1, 1_000_000), default=200,
        help="requests a second that one address may make (default: 200)",
    )  # fmt: skip
    serve.add_argument(
        "--rendering-size", metavar="N", type=number(32, 2048), default=384,
        help="pixels of the demo's renderings; fewer are faster (default: 384)",
    )  # fmt: skip
    serve.add_argument(
        "--meanwhile", metavar="MODEL", default="",
        help="served until the registry has --model, such as 'small' (default: none, do not start)",
    )  # fmt: skip
    serve.add_argument("--study-only", action="store_true", help="no model, only the studies")
    add_model(serve)
    add_place(serve)
    serve.set_defaults(call=_serve)

    doctor = commands.add_parser(
        "doctor",
        help="what of this machine is usable",
        description="Tells what of this machine is usable, and how to mend what is not.",
        epilog="example: realmat doctor --json",
    )
    doctor.add_argument("--json", action="store_true", help="one JSON object")
    doctor.set_defaults(call=_doctor)


def _serve(given: argparse.Namespace) -> int:
    if not given.study_only:
        find_registry(given.model)
    from apps.server import serve

    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((given.host, given.port))
        except OSError as error:
            raise UserError(
                f"{given.host}:{given.port} cannot be served ({error.strerror or error}): choose "
                "another --port or --host."
            ) from error
    model = "" if given.study_only else given.model
    serve(
        given.host, given.port, model, place_of(given), root_path=given.root_path, rate=given.rate,
        rendering_size=given.rendering_size, meanwhile=given.meanwhile,
    )  # fmt: skip
    return 0


def _doctor(given: argparse.Namespace) -> int:
    found = [check for group in CHECKS for check in group()]
    if given.json:
        print(json.dumps({"checks": [asdict(check) for check in found]}, indent=2))
    else:
        for check in found:
            print(f"{check.state:8}{check.name}: {check.detail}")
            if check.mend:
                print(f"{'':8}{check.mend}")
    return 1 if any(check.state == "broken" for check in found) else 0


def _python() -> Iterator[Check]:
    version = ".".join(map(str, sys.version_info[:3]))
    good = sys.version_info >= (3, 11)
    yield Check("python", "ok" if good else "broken", version, "" if good else "Install 3.11.")


def _llvm() -> Iterator[Check]:
    from components.core.rendering.variant import CUDA, LIBRARY_VARIABLE, LLVM, select_variant

    try:
        found = select_variant()
    except UserError as error:
        yield Check("mitsuba", "broken", str(error))
        return
    if found == CUDA:
        yield Check("mitsuba", "ok", "renders on the GPU")
    elif found == LLVM:
        yield Check("llvm", "ok", os.environ.get(LIBRARY_VARIABLE, "found"))
    else:
        yield Check(
            "llvm",
            "missing",
            "no libLLVM that works; rendering is 5 to 10 times slower",
            "On Debian or Ubuntu: apt-get install libllvm19",
        )


def _gpu() -> Iterator[Check]:
    import torch

    if torch.cuda.is_available():
        properties = torch.cuda.get_device_properties(0)
        memory = properties.total_memory / 2**30
        yield Check("gpu", "ok", f"{properties.name}, {memory:.0f} GiB")
    else:
        yield Check("gpu", "missing", "none; the smoke and laptop recipes need none")


def _memory() -> Iterator[Check]:
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    limit = Path("/sys/fs/cgroup/memory.max")
    if limit.exists() and (text := limit.read_text().strip()).isdigit():
        total = min(total, int(text) / 2**30)
    enough = total >= MEMORY_GB
    yield Check(
        "memory",
        "ok" if enough else "missing",
        f"{total:.1f} GiB, {os.cpu_count()} cores",
        "" if enough else f"The laptop recipe needs {MEMORY_GB} GiB: close other programs.",
    )


def _disk() -> Iterator[Check]:
    folder = runs_folder()
    while not folder.exists():
        folder = folder.parent
    free = shutil.disk_usage(folder).free / 2**30
    enough = free >= DISK_GB and os.access(folder, os.W_OK)
    yield Check(
        "disk",
        "ok" if enough else "broken",
        f"{free:.1f} GiB free in {folder}",
        "" if enough else f"Make {DISK_GB} GiB free there, or set REALMAT_RUNS to another folder.",
    )


def _caches() -> Iterator[Check]:
    """Where downloads and compiled kernels go, by the variables that the images set."""
    home = Path.home()
    cache = Path(os.environ.get("XDG_CACHE_HOME") or home / ".cache")
    for name, variable, usual in (
        ("cache", "XDG_CACHE_HOME", cache),
        ("cache of Hugging Face", "HF_HOME", cache / "huggingface"),
        ("cache of the renderer", "DRJIT_CACHE_DIR", home / ".drjit"),
    ):
        path = Path(os.environ.get(variable) or usual)
        folder = next(one for one in (path, *path.absolute().parents) if one.exists())
        free = shutil.disk_usage(folder).free / 2**30
        good = os.access(folder, os.W_OK)
        yield Check(
            name,
            "ok" if good else "missing",
            f"{path}, {free:.1f} GiB free" if good else f"{path} cannot be written",
            "" if good else f"Set {variable} to a folder that can be.",
        )


def _weights() -> Iterator[Check]:
    import components.core

    folder = Path(components.core.__file__).parent / "weights"
    missing = [
        name
        for name in ("sdxl-small", "clip-small")
        if not any((folder / name).rglob("*.safetensors"))
    ]
    if missing:
        yield Check("weights", "broken", f"{', '.join(missing)} not found", "Install again.")
    else:
        yield Check("weights", "ok", f"sdxl-small, clip-small in {folder}")


def _champion() -> Iterator[Check]:
    try:
        yield Check("champion", "ok", f"registry {_without_password(registry_uri())}")
    except UserError as error:
        yield Check("champion", "missing", "no registered model", str(error))


def _services() -> Iterator[Check]:
    """Looks for the services whose addresses the environment gives."""
    for name, variable in (
        ("mlflow", "MLFLOW_TRACKING_URI"),
        ("label studio", "LABEL_STUDIO_URL"),
        ("object storage", "AWS_ENDPOINT_URL"),
    ):
        address = os.environ.get(variable, "")
        if not address.startswith("http"):
            yield Check(name, "missing", f"{variable} is not set; not needed on one machine")
        elif _answers(address):
            yield Check(name, "ok", _without_password(address))
        else:
            yield Check(
                name,
                "missing",
                f"{_without_password(address)} does not answer",
                f"Start the service or correct {variable}.",
            )


def _answers(address: str) -> bool:
    """Whether something listens there."""
    parts = urlparse(address)
    try:
        port = parts.port or (443 if parts.scheme == "https" else 80)
        with socket.create_connection((parts.hostname or "", port), timeout=3):
            return True
    except (OSError, ValueError):
        return False


def _without_password(address: str) -> str:
    """Leaves out what stands before @ in an address."""
    scheme, mark, rest = address.partition("://")
    return f"{scheme}{mark}{rest.rpartition('@')[2]}" if mark else address


CHECKS: tuple[Callable[[], Iterator[Check]], ...] = (
    _python,
    _llvm,
    _gpu,
    _memory,
    _disk,
    _caches,
    _weights,
    _champion,
    _services,
)
