"""The program of a TrainJob's node: torchrun, for as long as the stage that made the job lives.

    python -m components.core.platform.node HEARTBEAT [arguments of torchrun]

A pipeline that is cancelled may leave the job behind: its task's process can be killed before it
has removed the job, and the pod that owns the job may stay for hours. So each node follows the
task's heartbeat on the volume. When that has stopped, the processes are told to end, which saves
their work, and the exit code says that no node should be started again (see
manifests/trainer/runtime.yaml).
"""

import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from components.core.platform.heartbeat import Pulse
from components.core.platform.preemption import ended_by_sigterm

PATIENCE = 300.0
"""Seconds without a heartbeat: longer than a volume's server is away to be started again."""
ABANDONED = 75
"""Exit code of a node whose stage has ended."""


def follow(
    command: Sequence[str], pulse: Pulse, patience: float = PATIENCE, poll: float = 1.0
) -> int:
    """Runs the command while the pulse goes on; returns its exit code, or ABANDONED.

    SIGTERM is passed on to the command, which is then waited for.
    """
    with (
        ended_by_sigterm(),
        subprocess.Popen(command) as process,  # noqa: S603 - torchrun
    ):
        try:
            while process.poll() is None:
                if pulse.still() > patience:
                    print(
                        f"the stage that started this training has not written {pulse.file} for "
                        f"{patience:.0f} s: the training saves its work and ends",
                        flush=True,
                    )
                    process.terminate()
                    process.wait()
                    return ABANDONED
                time.sleep(poll)
        except BaseException:
            process.terminate()
            raise
    return process.returncode if process.returncode >= 0 else 128 - process.returncode


def main() -> None:
    """Entry point of a node's container."""
    heartbeat, *arguments = sys.argv[1:]
    torchrun = [sys.executable, "-m", "torch.distributed.run", *arguments]
    sys.exit(follow(torchrun, Pulse(Path(heartbeat))))


if __name__ == "__main__":
    main()
