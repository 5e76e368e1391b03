"""What the machine does while a stage runs, as MLflow's own monitor measures it: `system/…`.

Processors, memory, disk, network and, where NVIDIA's library for it (nvidia-ml-py) is installed,
GPUs, every ten seconds. They go to MLflow alone: while it is away they are not kept. The variable
MLFLOW_ENABLE_SYSTEM_METRICS_LOGGING=false switches them off.
"""

from __future__ import annotations

from typing import Any


def are_wanted() -> bool:
    """Whether the environment has them, which is so unless it says otherwise."""
    from mlflow.environment_variables import MLFLOW_ENABLE_SYSTEM_METRICS_LOGGING as SWITCH

    return not SWITCH.is_set() or bool(SWITCH.get())


class Monitors:
    """Measures for runs that other processes of this machine fill."""

    def __init__(self) -> None:
        self._running: dict[str, Any] = {}

    def start(self, run: str) -> None:
        """Begin to measure for a run, or go on with what was measured for it before.

        A machine that cannot be measured is said, and hinders nobody.
        """
        if run in self._running or not are_wanted():
            return
        from mlflow.system_metrics.system_metrics_monitor import SystemMetricsMonitor

        try:
            monitor = SystemMetricsMonitor(run, resume_logging=True)
        except Exception as error:
            print(f"tracking: no system metrics: {error}", flush=True)
            return
        monitor.start()
        self._running[run] = monitor

    def finish(self, run: str) -> None:
        """Leave off, before the run is marked as ended."""
        if monitor := self._running.pop(run, None):
            monitor.finish()
