"""What a result was made with: the machine and the versions, in words."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from components.core.platform.cores import cores

PACKAGES = ("realmat", "torch", "diffusers", "peft", "open-clip-torch", "mitsuba", "mlflow", "kfp")


def hardware() -> dict[str, str]:
    """The machine in words."""
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30
    return {
        "processor": f"{_processor()}, {cores()} cores usable",
        "memory": f"{memory:.0f} GB",
        "accelerator": _accelerator(),
        "system": f"{platform.system()} {platform.release()}, Python {platform.python_version()}",
    }


def versions(packages: Iterable[str] = PACKAGES) -> dict[str, str]:
    """Installed versions of the packages that results depend on most."""
    found = []
    for name in packages:
        try:
            found.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            continue
    return {"packages": ", ".join(found)}


def _processor() -> str:
    path = Path("/proc/cpuinfo")
    lines = path.read_text().splitlines() if path.is_file() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def _accelerator() -> str:
    # Asked of the driver's own tool: importing torch for a name would take seconds.
    tool = shutil.which("nvidia-smi")
    if tool is None:
        return "none"
    query = [tool, "--query-gpu=name", "--format=csv,noheader"]
    # Nothing of what it runs comes from outside.
    answer = subprocess.run(query, capture_output=True, text=True, check=False)  # noqa: S603
    return ", ".join(answer.stdout.split("\n")).strip(", ") if answer.returncode == 0 else "none"
