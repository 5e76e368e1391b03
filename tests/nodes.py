"""A cluster's nodes on this machine: what the Kubeflow Trainer does in its pods."""

import os
import socket
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from pipelines.recipe import STAGES

ROOT = Path(__file__).resolve().parents[1]


def two_nodes_here(
    stage: str, key: str, *, nodes: int, processes: int, command: Sequence[str],
    watch: Callable[[], None],
) -> None:  # fmt: skip
    """Does with the command what the Trainer does in each pod, all nodes on this machine."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    shared = {
        "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "PET_NNODES": str(nodes),
        "PET_NPROC_PER_NODE": str(processes), "PET_MASTER_ADDR": "127.0.0.1",
        "PET_MASTER_PORT": str(port),
    }  # fmt: skip
    assert stage in STAGES
    assert command[0] == "python"
    pods = [
        subprocess.Popen(
            [sys.executable, *command[1:]], env=os.environ | shared | {"PET_NODE_RANK": str(node)}
        )
        for node in range(nodes)
    ]
    assert [pod.wait() for pod in pods] == [0] * nodes
    watch()
