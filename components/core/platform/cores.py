"""How many cores this process may use: a pod sees all of its machine, and has time on a few."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from pathlib import Path

GROUPS = Path("/sys/fs/cgroup")
OWN = Path("/proc/self/cgroup")


def cores(groups: Path = GROUPS, own: Path = OWN) -> int:
    """The cores that this process may run on, or as many as its time is worth, rounded up.

    groups: where Linux shows its control groups, of version 1 or 2. own: the file that names those
    of this process.
    """
    if hasattr(os, "sched_getaffinity"):
        allowed = len(os.sched_getaffinity(0))
    else:
        allowed = os.cpu_count() or 1
    quotas = (math.ceil(quota) for quota in map(_quota, _folders(groups, own)) if quota)
    return max(1, min([allowed, *quotas]))


def _folders(groups: Path, own: Path) -> Iterator[Path]:
    """The folders of this process's groups and of those around them, which limit it too.

    In a container its own group may be shown as the root, while its name is that of the machine.
    """
    lines = own.read_text(encoding="utf-8").splitlines() if own.is_file() else []
    names = {"": "", "cpu": ""}  # of version 2, and of the controller of version 1
    for line in lines:
        _, controllers, name = line.split(":", 2)
        if not controllers or "cpu" in controllers.split(","):
            names["cpu" if controllers else ""] = name.lstrip("/")
    for controller, name in names.items():
        for part in (Path(name), *Path(name).parents):
            yield groups / controller / part


def _quota(folder: Path) -> float:
    """Seconds of processor time a second that a group may use; 0 if it has no limit."""
    try:
        if (folder / "cpu.max").is_file():
            quota, period = (folder / "cpu.max").read_text(encoding="utf-8").split()
        else:
            quota, period = (
                (folder / f"cpu.cfs_{name}_us").read_text(encoding="utf-8").strip()
                for name in ("quota", "period")
            )
        return 0.0 if quota in ("max", "-1") else int(quota) / int(period)
    except (OSError, ValueError, ZeroDivisionError):
        return 0.0
