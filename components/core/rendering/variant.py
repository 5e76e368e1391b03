"""Which Mitsuba variant this machine can run: CUDA or LLVM where it works, scalar code elsewhere.

Dr.Jit loads the system's libLLVM, and some versions of it abort the whole process, which no
`except` can catch; so may a GPU's driver. So each candidate renders one pixel in a subprocess
first; the answer is kept in the user's cache, keyed by the library's path and modification time or
the driver's version, and costs nothing afterwards.
"""

from __future__ import annotations

import functools
import importlib
import json
import logging
import os
import re
import subprocess
import sys
from collections.abc import Callable, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

from components.core.errors import UserError
from components.core.rendering.threads import keep_to_share

CUDA = "cuda_ad_rgb"
LLVM = "llvm_ad_rgb"
SCALAR = "scalar_rgb"
LIBRARY_VARIABLE = "DRJIT_LIBLLVM_PATH"
DEVICES_VARIABLE = "CUDA_VISIBLE_DEVICES"
DRIVER = Path("/proc/driver/nvidia/version")
"""Exists where a CUDA device can be; its text names the driver."""

_LIBRARIES = (
    "usr/lib/*-linux-gnu/libLLVM.so.*",
    "usr/lib/*-linux-gnu/libLLVM-*.so*",
    "usr/lib*/libLLVM*.so*",
    "usr/lib/llvm-*/lib/libLLVM*.so*",
    "usr/lib*/llvm*/lib*/libLLVM*.so*",
    "usr/local/lib/libLLVM*.so*",
    "opt/homebrew/opt/llvm*/lib/libLLVM*.dylib",
    "usr/local/opt/llvm*/lib/libLLVM*.dylib",
)
_PROBE = """
import sys
import mitsuba as mi
mi.set_variant(sys.argv[1])
scene = mi.load_dict({"type": "scene", "integrator": {"type": "path"}, "shape": {"type": "sphere"},
    "light": {"type": "constant"}, "sensor": {"type": "perspective",
    "film": {"type": "hdrfilm", "width": 2, "height": 2}}})
assert mi.render(scene, spp=1).numpy().shape[0] == 2
print("renders")
"""
_OLDEST_LLVM = 15

log = logging.getLogger(__name__)


def mitsuba() -> Any:
    """The mitsuba module with the variant of `select_variant` active."""
    variant = select_variant()
    module = importlib.import_module("mitsuba")
    if module.variant() != variant:
        module.set_variant(variant)
        keep_to_share()
    return module


@functools.cache
def select_variant() -> str:
    """`cuda_ad_rgb` if a GPU of this machine can render, `llvm_ad_rgb` if a libLLVM can, else
    `scalar_rgb` with one message.

    CUDA_VISIBLE_DEVICES="" keeps it from the GPU. Pins the library that works by the environment
    variable DRJIT_LIBLLVM_PATH; a value that the
    user has set is the only candidate then. UserError if Mitsuba itself cannot be loaded, which
    says nothing about the libraries, so that no answer about them is kept.
    """
    _require_mitsuba()
    if _cuda_renders():
        return CUDA
    given = os.environ.get(LIBRARY_VARIABLE)
    for library in [Path(given)] if given else _candidates():
        if library.exists() and _renders(library):
            os.environ[LIBRARY_VARIABLE] = str(library)
            return LLVM
    log.warning(
        "No usable libLLVM (%s): rendering with the scalar variant of Mitsuba, 5 to 10 times "
        "slower. On Debian or Ubuntu, `apt-get install libllvm19` mends it.",
        f"{LIBRARY_VARIABLE}={given} does not work" if given else "versions 17 and later work",
    )
    return SCALAR


def see_one_gpu(number: int) -> None:
    """Let this process see GPU `number` alone, of those that it may: Dr.Jit renders on the first
    that it sees. For a process that has not used CUDA yet."""
    visible = os.environ.get(DEVICES_VARIABLE)
    os.environ[DEVICES_VARIABLE] = visible.split(",")[number] if visible else str(number)


def traced(module: Any) -> bool:
    """Whether the module's active variant records kernels (CUDA, LLVM) instead of running code."""
    return bool(module.variant() != SCALAR)


def _require_mitsuba() -> None:
    try:
        importlib.import_module("mitsuba")
    except ImportError as error:
        raise UserError(
            f"Mitsuba cannot be loaded ({error}): if a library of the system is missing, "
            "install it (on Debian or Ubuntu `apt-get install libatomic1`, or `make system`)."
        ) from error


def cache_folder() -> Path:
    """The user's cache folder of this project; it may not exist yet."""
    root = os.environ.get("XDG_CACHE_HOME")
    return (Path(root) if root else Path.home() / ".cache") / "realmat"


def _candidates() -> list[Path]:
    """The libLLVM files of this machine, newest version first, each file once."""
    root = Path("/")
    files = {found.resolve() for pattern in _LIBRARIES for found in root.glob(pattern)}
    recent = [file for file in files if _major(file) >= _OLDEST_LLVM]
    return sorted(recent, key=lambda file: (_major(file), str(file)), reverse=True)


def _major(library: Path) -> int:
    """LLVM's major version by the file's name; an unnumbered name counts as recent."""
    numbers = re.findall(r"\d+", library.name)
    return int(numbers[0]) if numbers else _OLDEST_LLVM


def _renders(library: Path) -> bool:
    """Whether a subprocess with this library renders, from the cache where it is known."""
    key = f"{library}@{library.stat().st_mtime_ns}"
    return _known(key, lambda: _probe(LLVM, {LIBRARY_VARIABLE: str(library)}))


def _cuda_renders() -> bool:
    """Whether there is a GPU that a subprocess renders with, likewise."""
    visible = os.environ.get(DEVICES_VARIABLE, "all")
    if visible in ("", "-1") or not DRIVER.exists():
        return False
    driver = DRIVER.read_text(encoding="utf-8", errors="replace").strip()
    return _known(f"cuda {visible} {driver}", lambda: _probe(CUDA, {}))


def _known(key: str, probe: Callable[[], bool]) -> bool:
    file = cache_folder() / "variants.json"
    key = f"{key} mitsuba {version('mitsuba')}"
    known = _read(file)
    if key not in known:
        known[key] = probe()
        _write(file, known)
    return known[key]


def _probe(variant: str, settings: Mapping[str, str]) -> bool:
    """Render in a subprocess, which is all that an aborting library takes down."""
    try:
        probe = subprocess.run(  # noqa: S603 - this Python and a constant
            [sys.executable, "-c", _PROBE, variant],
            env={**os.environ, **settings},
            capture_output=True,
            text=True,
            timeout=120,
        )
    except subprocess.TimeoutExpired:
        return False
    return probe.returncode == 0 and "renders" in probe.stdout


def _read(file: Path) -> dict[str, bool]:
    try:
        content = json.loads(file.read_text())
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def _write(file: Path, known: dict[str, bool]) -> None:
    """Keep the answers; a cache that cannot be written only costs the probe again."""
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        beside = file.with_suffix(f".{os.getpid()}.tmp")
        beside.write_text(json.dumps(known, indent=1))
        beside.replace(file)
    except OSError as error:
        log.debug("the probe of a variant was not cached: %s", error)
